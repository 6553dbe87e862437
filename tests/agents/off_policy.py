"""What the tests of off-policy agents share: a task of hand-worked size, a batch, and a run on a probe."""

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl import envs
from prospect_rl.agents.ops.replay import Experience
from prospect_rl.envs.api import Box, Spec
from prospect_rl.experiments.run.program import Program

SPEC = Spec(id="test/small", obs=Box((3,), -1.0, 1.0), action=Box((2,), (-4.0, 0.0), (4.0, 1.0)), horizon=5)


def batch(size=8, seed=0):
    """Random transitions of SPEC; every fourth one is terminated."""
    k_obs, k_action, k_reward, k_next = jax.random.split(jax.random.key(seed), 4)
    return Experience(
        jax.random.normal(k_obs, (size, 3)), jax.random.uniform(k_action, (size, 2), minval=-1),
        jax.random.normal(k_reward, (size,)), (jnp.arange(size) % 4 == 3).astype(jnp.float32),
        jax.random.normal(k_next, (size, 3)),
    )  # fmt: skip


def updated(agent, learner, times, seed=0):
    """[(learner, figures)] after each of `times` updates on batches of their own."""
    update, out = jax.jit(agent.update), []
    for i in range(times):
        learner, figures = update(learner, batch(seed=i), jax.random.fold_in(jax.random.key(seed), i))
        out.append((learner, figures))
    return out


def differ(a, b):
    """Whether any leaf of two trees differs in any bit."""
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return any(np.asarray(x).tobytes() != np.asarray(y).tobytes() for x, y in leaves)


def return_on_target(agent, budget=1500):
    """Mean return of greedy episodes on probe/target after `budget` steps: 0 is best, -0.25 ignores the observation."""
    env = envs.make("probe/target")
    program = Program(agent.bind(env.spec), env, (0,), eval_episodes=16, dataset=None)
    run, _, _ = program.advance(program.init(), 0, budget, 10**6)
    return float(program.evaluate(run, 0)["eval/return"])
