"""What tests of agents of text tasks share."""

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl import envs
from prospect_rl.experiments.run.program import Program

TINY = {"prompts": 8, "layers": 2, "width": 16, "heads": 2, "kv_heads": 1, "ffn": 16}
TEXT = envs.make("text/reverse", length=3)


def iterations(agent, env, count, seed=0):
    """[(state before, metrics)] of iterations, and the last state."""
    program = Program(agent.bind(env.spec), env, [seed], eval_episodes=1, dataset=None)
    run, found = program.init(), []
    for _ in range(count):
        before = jax.tree.map(np.array, run.agent)
        run, _, figures = program.advance(run, program.phase(run), 10**6, 1)
        found.append((before, {name: float(x) for name, x in figures.items()}))
    return found, run.agent


def played(agent, env=TEXT):
    """(the first state of a bound agent, the episodes of an iteration)."""
    state, texts = agent.init(jax.random.key(0)), agent.prompts * agent.group
    behaviour, _ = agent.explore(state, jax.random.key(1))
    return state, envs.rollout.episodes(
        env, agent, behaviour, jnp.ones(texts, bool), jax.random.key(2), jax.random.key(3), population=texts,
        group=agent.group, starts="fresh", shared=True, keep_steps=True,
    )  # fmt: skip
