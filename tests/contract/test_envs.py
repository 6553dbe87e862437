"""What every registered environment must keep; adding one to `envs.ENVS` adds its tests."""

import dataclasses
import typing
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.api import Box, Dict, Discrete, Spec
from tests.contract import bad
from tests.small_ids import MINIGRID, POPGYM

SLOW = [f"mujoco/{name}" for name in (
    "half_cheetah", "half_cheetah_sparse", "half_cheetah_far", "hopper", "hopper_vel_sparse", "hopper_far", "walker2d",
    "walker2d_sparse", "walker2d_far", "ant_sparse", "ant_far",
)] + ["memory/remember_color_5", "memory/remember_color_9", "maze2d/medium", "pointmaze/medium"] + [
    id for id in envs.ENVS if id.startswith(("minigrid/", "popgym/")) and id not in MINIGRID | POPGYM
]  # fmt: skip
"""Other values of classes that a cheaper member stands for."""
ids = pytest.mark.parametrize(
    "id", [pytest.param(id, marks=pytest.mark.slow) if id in SLOW else id for id in sorted(envs.ENVS)]
)
N = 4
KEY = jax.random.key(0)


@lru_cache
def build(id):
    return envs.make(id)


def play(env, key, actions_key):
    """(observations at reset, final state, steps) of one episode of random actions, carried on to the horizon."""
    spec = env.spec
    state, obs = env.reset(key)

    def body(carry, t):
        state, over = carry
        k_action, k_step = jax.random.split(jax.random.fold_in(actions_key, t))
        new_state, step = env.step(state, spec.action.sample(k_action), k_step)
        state = jax.tree.map(lambda new, old: jnp.where(over, old, new), new_state, state)
        return (state, over | step.terminated | step.truncated), (step, ~over)

    (state, _), (steps, live) = jax.lax.scan(body, (state, jnp.zeros((), bool)), jnp.arange(spec.horizon))
    return obs, state, steps, live


@lru_cache
def episodes(id):
    """`play` for N keys, as NumPy arrays with leading [N] and [N, T]."""
    keys = jax.random.split(jax.random.key(7), 2 * N)
    run = jax.jit(jax.vmap(play, in_axes=(None, 0, 0)))
    return jax.tree.map(np.asarray, run(build(id), keys[:N], keys[N:]))


def live_steps(id):
    """The steps before and at the end of each episode, as leaves [M, ...]."""
    *_, steps, live = episodes(id)
    return jax.tree.map(lambda x: x[live], steps)


def within(space, batch):
    """Whether every row of a batch [M, ...] is in the space."""
    if isinstance(space, Dict):
        return set(batch) == set(dict(space.items)) and all(within(part, batch[name]) for name, part in space.items)
    if isinstance(space, Discrete):
        right = batch.ndim == 1 and np.issubdtype(batch.dtype, np.integer)
        return right and bool(np.all((batch >= 0) & (batch < space.n)))
    return (
        batch.shape[1:] == space.shape
        and batch.dtype == space.dtype
        and bool(np.all((batch >= np.asarray(space.low)) & (batch <= np.asarray(space.high))))
    )


@ids
def test_spec(id):
    spec = build(id).spec
    assert isinstance(spec, Spec) and spec.id == id and hash(spec) == hash(envs.make(id).spec)
    assert spec.horizon >= 1 and "success" in spec.info and len(set(spec.info)) == len(spec.info)
    assert ("descriptor" in spec.info) == (spec.descriptor is not None)
    assert spec.areas >= 0 and ("area" in spec.info or spec.areas <= 1)
    if spec.descriptor is not None:
        assert len(spec.descriptor.shape) == 1
        assert np.all(np.isfinite(spec.descriptor.low)) and np.all(np.isfinite(spec.descriptor.high))
        assert np.all(np.asarray(spec.descriptor.low) < np.asarray(spec.descriptor.high))
    if isinstance(spec.action, Box):
        assert np.all(np.asarray(spec.action.low) < np.asarray(spec.action.high))


@ids
def test_env_is_a_pytree_of_arrays(id):
    """Array fields are arguments of compiled programs; all else is static and hashable."""
    leaves, structure = jax.tree.flatten(build(id))
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    hash(structure)


@ids
def test_shapes_and_dtypes_are_stable(id):
    env = build(id)
    key = jax.random.key(0)
    state, obs = jax.eval_shape(env.reset, key)
    action = jax.eval_shape(env.spec.action.sample, key)
    new_state, step = jax.eval_shape(env.step, state, action, key)
    shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)  # noqa: E731
    assert jax.tree.structure(new_state) == jax.tree.structure(state) and shapes(new_state) == shapes(state)
    assert shapes(step.obs) == shapes(obs)
    assert (step.reward.shape, step.reward.dtype) == ((), jnp.float32)
    for flag in (step.terminated, step.truncated, step.info["success"]):
        assert (flag.shape, flag.dtype) == ((), jnp.bool_)
    assert set(step.info) == set(env.spec.info)
    if env.spec.descriptor is not None:
        assert shapes(step.info["descriptor"]) == (env.spec.descriptor.shape, jnp.float32)
    if "area" in step.info:
        assert shapes(step.info["area"]) == ((), jnp.int32)


@ids
def test_observations_are_in_their_space(id):
    env, (obs, _, steps, live) = build(id), episodes(id)
    assert within(env.spec.obs, obs)
    assert within(env.spec.obs, jax.tree.map(lambda x: x[live], steps.obs))
    assert env.spec.obs.contains(jax.tree.map(lambda x: x[0], obs))


@ids
def test_nothing_is_nan(id):
    obs, state, *_ = episodes(id)
    for leaf in jax.tree.leaves((obs, state, live_steps(id))):
        if np.issubdtype(leaf.dtype, np.floating):
            assert np.isfinite(leaf).all()


@ids
def test_an_episode_ends_once_and_by_the_horizon(id):
    spec, (*_, steps, live) = build(id).spec, episodes(id)
    ends = (steps.terminated | steps.truncated) & live
    assert (ends.sum(1) == 1).all()
    assert not (steps.terminated & steps.truncated & live).any()
    lengths = live.sum(1)
    if spec.fixed_length:
        assert (lengths == spec.horizon).all()
    truncated = (steps.truncated & live).any(1)
    assert (lengths[truncated] == spec.horizon).all()


@ids
def test_info_is_in_range(id):
    spec, info = build(id).spec, live_steps(id).info
    if spec.descriptor is not None:
        assert within(spec.descriptor, info["descriptor"])
    if "area" in info:
        assert (info["area"] >= -1).all() and (info["area"] < max(spec.areas, 1)).all()


@ids
def test_termination_is_the_stated_function(id):
    env, (obs, _, steps, live) = build(id), episodes(id)
    if env.spec.termination is None:
        return
    before = jax.tree.map(lambda first, rest: np.concatenate([first[:, None], rest[:, :-1]], 1), obs, steps.obs)
    action = env.spec.action.sample(jax.random.key(0))
    stated = jax.vmap(jax.vmap(lambda o, n: env.spec.termination(o, action, n)))(before, steps.obs)
    assert (np.asarray(stated)[live] == steps.terminated[live]).all()


@ids
def test_same_key_same_bits(id):
    keys = jax.random.split(jax.random.key(7), 2 * N)
    again = jax.jit(jax.vmap(play, in_axes=(None, 0, 0)))(build(id), keys[:N], keys[N:])
    for a, b in zip(jax.tree.leaves(episodes(id)), jax.tree.leaves(again), strict=True):
        assert np.array_equal(a, np.asarray(b))


@ids
def test_a_batch_is_its_members(id):
    """Ten steps of a single run equal the same steps inside a batch."""
    env = build(id)
    keys = jax.random.split(jax.random.key(7), 2 * N)
    obs, _, steps, live = episodes(id)
    reset, step_fn = jax.jit(lambda e, k: e.reset(k)), jax.jit(lambda e, s, a, k: e.step(s, a, k))
    for i in range(2):
        state, first = reset(env, keys[i])
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y[i], rtol=1e-5, atol=1e-5), first, obs)  # noqa: B023
        for t in range(min(10, int(live[i].sum()))):
            k_action, k_step = jax.random.split(jax.random.fold_in(keys[N + i], t))
            state, step = step_fn(env, state, env.spec.action.sample(k_action), k_step)
            expected = jax.tree.map(lambda x: x[i, t], steps)  # noqa: B023
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), step, expected)


@ids
def test_frame(id):
    """A picture, or a clear refusal."""
    env = build(id)
    state, _ = env.reset(jax.random.key(0))
    try:
        shape = jax.eval_shape(env.frame, state)
    except NotImplementedError as error:
        assert "cannot be rendered" in str(error)
        return
    assert len(shape.shape) == 3 and shape.shape[-1] == 3 and shape.dtype == jnp.uint8
    assert len(np.unique(np.asarray(jax.jit(lambda e, s: e.frame(s))(env, state)))) > 1


@ids
def test_fields_have_bounds_and_types(id):
    """A bad value is refused in one line when the environment is made; where bounds allow an edge, it works."""
    env = build(id)
    hints = typing.get_type_hints(type(env))
    for f in dataclasses.fields(env):
        if f.metadata.get("pytree_node", True):
            continue
        wrong, edge = bad.values(hints[f.name])
        assert wrong, f"{f.name}: {hints[f.name]}"
        for value in wrong:
            with pytest.raises(ValueError, match=f.name) as error:
                envs.make(id, **{f.name: value})
            assert "\n" not in str(error.value)
        for value in edge:
            try:
                made = envs.make(id, **{f.name: value})
            except ValueError as error:
                assert f.name in str(error) and "\n" not in str(error)  # noqa: PT017
            else:
                hash(made.spec)
                assert made.spec.horizon >= 1
                state, _ = jax.eval_shape(made.reset, jax.random.key(0))
                jax.eval_shape(made.step, state, jax.eval_shape(made.spec.action.sample, jax.random.key(0)), KEY)


@ids
def test_unknown_field(id):
    with pytest.raises(ValueError, match=f"{id}.*gravity"):
        envs.make(id, gravity=1)


def test_unknown_id_names_the_nearest():
    with pytest.raises(ValueError, match="unknown environment 'maze/hrad'; did you mean 'maze/hard'?"):
        envs.make("maze/hrad")
    with pytest.raises(ValueError, match=f"the nearest of {len(envs.ENVS)} is "):
        envs.make("?")
