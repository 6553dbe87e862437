"""Environments step on an accelerator as on a processor: to the bit where numbers are whole, else within 1e-5."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.envs.minigrid.env import Bank, MiniGrid
from prospect_rl.envs.minigrid.state import State
from prospect_rl.envs.minigrid.table import FAMILIES, TASKS
from prospect_rl.envs.native import build
from prospect_rl.envs.rollout import open_streams, segments, select
from tests.envs import test_native_cuda as native
from tests.gpu import oracles
from tests.gpu.places import on

pytestmark = pytest.mark.gpu
STREAMS, STEPS, CLOSE = 40, 50, 1e-5
GENERATED = tuple(
    f"minigrid/{name}-v0" for name in ("Empty-Random-5x5", "DoorKey-6x6", "LavaCrossingS9N2", "MultiRoom-N2-S4")
)
"""Tasks whose levels need no minigrid."""
RULES = {FAMILIES[task.family].rule: name for name, task in TASKS.items()}
"""Rule -> one of its tasks, whose levels are those of the stored episodes."""
OTHERS = (
    "maze/hard", "arm/redundant", "point/sparse", "lock/combination", "probe/bandit", "probe/target", "memory/tmaze",
    "memory/remember_color_3", "memory/take_it_back", "mujoco/half_cheetah", "mujoco/ant", "mujoco/reacher",
    "mujoco/hopper_far", "mujoco/pendulum_swingup_sparse", "maze2d/umaze", "pointmaze/umaze",
)  # fmt: skip
POPGYM = tuple(id for id in envs.ENVS if id.startswith("popgym/") and id.endswith("Easy"))
PHYSICS = ("mujoco/", "maze2d/", "pointmaze/")
"""Beginnings of ids whose physics are MuJoCo's, on the processor's cores in either case."""


@cache
def stored(rule):
    """The starts of the stored episodes of a rule, leading [levels], on maps of the largest size."""
    group = next(group for name, group in oracles.read("minigrid").items() if name.startswith(f"{rule}-"))
    return State(**{field[6:]: x for field, x in group.items() if field.startswith("start_")})


def made(id):
    if id in GENERATED:
        return envs.make(id, source="generator", levels=8)
    if id in RULES:
        return MiniGrid(RULES[id], bank=Bank(lambda: stored(id)))
    return envs.make(id)


def keys(number):
    """Those of the steps and the resets [STREAMS] of a step."""
    every = jax.random.split(jax.random.fold_in(jax.random.key(5), number), 2 * STREAMS)
    return every[:STREAMS], every[STREAMS:]


def played(id):
    """(states before each step, actions, what came of them) of random play on the processor, leading [STEPS, STREAMS].

    What came of them: (states, steps) and (states, observations) of resets, which now and then replace them.
    """
    with on("processor"):
        env = made(id)

        def one(state, number):
            k_step, k_reset = keys(number)
            action = jax.vmap(env.spec.action.sample)(jax.vmap(jax.random.fold_in, (0, None))(k_step, 1))
            after, step = jax.vmap(env.step)(state, action, k_step)
            ended = step.terminated | step.truncated | (jnp.arange(STREAMS) % 16 == number % 16)
            fresh = jax.vmap(env.reset_if)(ended, k_reset)
            return select(ended, fresh[0], after), (state, action, ended, (after, step), fresh)

        def roll():
            start, _ = jax.vmap(env.reset)(keys(STEPS)[1])
            return jax.lax.scan(one, start, jnp.arange(STEPS))[1]

        return jax.tree.map(np.asarray, jax.jit(roll)())


def repeated(id, states, actions, ended):
    """The same from these states on the accelerator."""
    with on("accelerator"):
        env = made(id)

        def one(number, state, action, ended):
            k_step, k_reset = keys(number)
            return jax.vmap(env.step)(state, action, k_step), jax.vmap(env.reset_if)(ended, k_reset)

        return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(np.arange(STEPS), states, actions, ended))


def assert_same(a, b):
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        if np.issubdtype(x.dtype, np.floating):
            np.testing.assert_allclose(x, y, rtol=CLOSE, atol=CLOSE, err_msg=jax.tree_util.keystr(path))
        else:
            assert (x == y).all(), jax.tree_util.keystr(path)


@pytest.mark.parametrize("id", [*GENERATED, *RULES, *OTHERS, *POPGYM])
def test_steps_are_those_of_a_processor(id):
    states, actions, ended, stepped, fresh = played(id)
    ours, ours_fresh = repeated(id, states, actions, ended)
    assert ended.any()
    assert_same(ours, stepped)
    part = 1 if id.startswith(PHYSICS) else slice(2)  # a state is the bits of doubles, made from noise that is not
    assert_same(*(jax.tree.map(lambda x: x[ended], reset[part]) for reset in (ours_fresh, fresh)))


def test_a_segment_is_that_of_a_processor():
    """The kernel that steps, resets and counts, with random actions."""

    def segment(place):
        with on(place):
            env = made("minigrid/DoorKey-6x6-v0")
            actor = agents.make("floor").bind(env.spec)
            behaviour, _ = actor.explore(actor.init(jax.random.key(0)), jax.random.key(0), 0)

            def both(key):
                streams = open_streams(env, actor, behaviour, key, num_envs=STREAMS)
                return segments(env, actor, behaviour, streams, key, length=STEPS)

            return jax.tree.map(np.asarray, jax.jit(both)(jax.random.key(1)))

    assert_same(segment("accelerator"), segment("processor"))


@pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("count", [1, 10, 300])
def test_native_physics_have_the_bits_of_a_processor(count):
    """In calls that reset and step only some of the simulations."""
    physics = envs.make("mujoco/half_cheetah").physics
    assert physics.backend == "ffi"
    with on("accelerator"):
        found = native.roll(physics, count)
    with on("processor"):
        native.same(native.roll(physics, count), found)


def test_an_accelerator_is_what_is_tested():
    with on("accelerator"):
        where = jnp.zeros(()).devices().pop().platform
    assert where != "cpu" or jax.default_backend() == "cpu"
