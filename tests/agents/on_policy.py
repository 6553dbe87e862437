"""What the tests of PPO and its variants share: a segment of hand-worked size, and runs on environments."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl import envs
from prospect_rl.envs import rollout
from prospect_rl.envs.api import Discrete, Env, Segment, Spec, Step, static
from prospect_rl.experiments.run.program import Program

SMALL = {"num_envs": 8, "length": 16, "minibatches": 4, "hidden": (16,), "learning_rate": 3e-3}


@struct.dataclass
class Ring(Env):
    """Six places in a ring, from place 0; action 1 goes on, 0 stays. Six steps; pays 1 at place 5."""

    ids: bool = static(True)

    @property
    def spec(self):
        info = ("success", "state_id") if self.ids else ("success",)
        return Spec("test/ring", Discrete(6), Discrete(2), horizon=6, info=info)

    def reset(self, key):
        return (jnp.int32(0), jnp.int32(0)), jnp.int32(0)

    def step(self, state, action, key):
        place, time = (state[0] + action) % 6, state[1] + 1
        info = {"success": place == 5} | ({"state_id": place.astype(jnp.uint32)} if self.ids else {})
        return (place, time), Step(place, (place == 5).astype(jnp.float32), place == 5, time >= 6, info)


def program(agent, env, seeds=(0,)):
    return Program(agent.bind(env.spec), env, seeds, eval_episodes=32, dataset=None)


def trained(agent, id, budget, **fields):
    """(program, run state, figures) after `budget` steps in a registered environment."""
    made = program(agent, envs.make(id, **fields))
    run, _, figures = made.advance(made.init(), 0, budget, 10**6)
    return made, run, figures


def evaluated(agent, id, budget, **fields):
    """Mean return of what is shipped after `budget` steps."""
    made, run, _ = trained(agent, id, budget, **fields)
    return float(made.evaluate(run, 0)["eval/return"])


def values(agent, run, observations):
    """V of each observation, without memory."""
    bound = [agent.outputs(run.agent.params, (), jnp.asarray(obs, jnp.float32))[2] for obs in observations]
    return np.asarray(bound)


def played(agent, env, state, key=1, times=1):
    """The last of `times` segments that follow each other, under ONE policy."""
    behaviour, _ = agent.explore(state, jax.random.key(0))
    streams = rollout.open_streams(env, agent, behaviour, jax.random.key(key), num_envs=agent.num_envs)
    play = jax.jit(
        lambda streams, behaviour, key: rollout.segments(env, agent, behaviour, streams, key, length=agent.length)
    )
    segment: Segment | None = None
    for i in range(times):
        streams, segment = play(streams, behaviour, jax.random.fold_in(jax.random.key(key), i))
    return segment


def memories(agent, params, segment):
    """The memory [T, N, ...] after each step of a segment, before an episode's end empties it: step by step."""
    opened, memory, after = agent.network.apply(params, method="open"), segment.memory, []
    opened = jax.tree.map(lambda x, like: jnp.broadcast_to(x, like.shape), opened, memory)
    outputs = jax.jit(jax.vmap(agent.outputs, (None, 0, 0)))
    for obs, first in zip(segment.steps.inputs.obs, segment.steps.inputs.first, strict=True):
        memory = rollout.select(first, opened, memory)
        memory = outputs(params, memory, obs)[0]
        after.append(memory)
    return jax.tree.map(lambda *x: jnp.stack(x), *after)


def same(a, b):
    """Whether all leaves of two trees have the same bits."""
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in leaves)
