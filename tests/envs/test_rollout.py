"""The kernels `segments` and `episodes` against plain Python loops.

The toy environment and actor write every random number that they draw into what the kernels deliver. The oracles
read only these and recompute the rest, so they know nothing of how the kernels derive their keys.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from prospect_rl.envs.api import Box, Discrete, Env, Spec, Step, static
from prospect_rl.envs.rollout import episodes, first_inputs, frame_steps, open_streams, segments

KEY, START = jax.random.key(1), jax.random.key(2)
HORIZON = 7


@struct.dataclass
class Drift(Env):
    """x grows by the action and a noise; it terminates beyond 2 and is truncated after seven steps."""

    fixed: bool = static(False)
    """Nothing terminates."""

    @property
    def spec(self):
        return Spec(
            "test/drift", Box((2,)), Box((1,), -9.0, 9.0), HORIZON, info=("success", "noise", "x"),
            fixed_length=self.fixed,
        )  # fmt: skip

    def reset(self, key):
        x = jax.random.uniform(key)
        return {"x": x, "t": jnp.int32(0)}, jnp.stack([x, 0.0])

    def step(self, state, action, key):
        noise = 0.1 * jax.random.normal(key)
        x, t = state["x"] + action[0] + noise, state["t"] + 1
        terminated = jnp.zeros((), bool) if self.fixed else x > 2
        obs = jnp.stack([x, t.astype(jnp.float32)])
        info = {"success": terminated, "noise": noise, "x": x}
        return {"x": x, "t": t}, Step(obs, x + 0.1, terminated, (t >= HORIZON) & ~terminated, info)


@dataclass(frozen=True)
class Walker:
    """Acts on all that it may look at; its memory sums what it saw from a random start."""

    spread: float = 0.1

    def memory(self, behaviour, key):
        return self.spread * 0.1 * jax.random.uniform(key)

    def act(self, behaviour, memory, inputs, key):
        noise = self.spread * jax.random.normal(key)
        action = behaviour + 0.02 * inputs.obs[0] + 0.03 * inputs.action[0] + 0.05 * inputs.reward + memory + noise
        extras = {"noise": noise, "memory": memory}
        return action[None], memory + 0.01 * inputs.obs[0], extras


def loop(steps, behaviour, memory, barrier=2.0):
    """Go through the steps [T] of ONE stream by hand; assert that each is what its predecessors make it."""
    lengths, returns, length, total, x, last = [], [], 0, 0.0, None, (0.0, 0.0)
    for t in range(len(steps.reward)):
        first = bool(steps.inputs.first[t])
        if first:
            assert length == 0
            x, last = steps.inputs.obs[t, 0], (0.0, 0.0)
            memory = steps.extras["memory"][t] if memory is None else memory
        assert np.allclose(steps.inputs.obs[t], (x, length), atol=1e-5)
        assert np.allclose((steps.inputs.action[t, 0], steps.inputs.reward[t]), last, atol=1e-5)
        assert np.isclose(steps.extras["memory"][t], memory, atol=1e-5)
        action = behaviour + 0.02 * x + 0.03 * last[0] + 0.05 * last[1] + memory + steps.extras["noise"][t]
        memory = memory + 0.01 * x
        x, length = x + action + steps.info["noise"][t], length + 1
        total += x + 0.1
        assert np.allclose(steps.action[t, 0], action, atol=1e-5)
        assert np.allclose(steps.next_obs[t], (x, length), atol=1e-5)  # the true successor, also at an end
        assert np.isclose(steps.reward[t], x + 0.1, atol=1e-5)
        assert bool(steps.terminated[t]) == (x > barrier)
        assert bool(steps.truncated[t]) == (x <= barrier and length == HORIZON)
        last = (action, x + 0.1)
        if x > barrier or length == HORIZON:
            lengths, returns = [*lengths, length], [*returns, total]
            length, total, memory = 0, 0.0, None
            if t + 1 < len(steps.reward):
                assert steps.inputs.first[t + 1]
    return lengths, returns, (length, total)


# --- segments ------------------------------------------------------------------------------------------


def run_segments(env, actor, behaviour, lengths, num_envs=5, key=KEY):
    streams = jax.jit(open_streams, static_argnums=1, static_argnames="num_envs")(
        env, actor, behaviour, START, num_envs=num_envs
    )
    run = jax.jit(segments, static_argnums=1, static_argnames="length")
    parts = []
    for i, length in enumerate(lengths):
        streams, segment = run(env, actor, behaviour, streams, jax.random.fold_in(key, i), length=length)
        parts.append(segment)
    return streams, jax.tree.map(np.asarray, parts)


def test_segments_are_what_a_python_loop_makes():
    behaviour = jnp.float32(0.15)
    streams, (segment,) = run_segments(Drift(), Walker(), behaviour, [40])
    count, total, length_sum, success = 0, 0.0, 0, 0
    for n in range(5):
        steps = jax.tree.map(lambda x: x[:, n], segment.steps)  # noqa: B023
        lengths, returns, (length, running) = loop(steps, 0.15, segment.memory[n])
        assert length == int(streams.length[n]) and np.isclose(running, streams.returns[n], atol=1e-4)
        count, total, length_sum = count + len(lengths), total + sum(returns), length_sum + sum(lengths)
        success += int(steps.terminated.sum())
    assert segment.steps.terminated.any() and segment.steps.truncated.any()  # both kinds of end were met
    assert segment.steps.live.all()
    for name, figure in (("count", count), ("return", total), ("length", length_sum), ("success", success)):
        assert float(streams.ended[name]) == pytest.approx(figure, rel=1e-4)


def test_segments_draw_every_number_afresh():
    _, (segment,) = run_segments(Drift(), Walker(), jnp.float32(0.15), [40])
    steps = segment.steps
    starts = steps.inputs.obs[..., 0][steps.inputs.first]
    memories = steps.extras["memory"][steps.inputs.first]
    for drawn in (steps.info["noise"], steps.extras["noise"], starts, memories):
        assert len(np.unique(drawn)) == drawn.size
    assert abs(np.corrcoef(steps.info["noise"].ravel(), steps.extras["noise"].ravel())[0, 1]) < 0.25
    order = np.argsort(np.r_[starts])
    assert not np.array_equal(order, np.argsort(memories))


def test_segments_continue_where_the_last_one_stopped():
    env, actor, behaviour = Drift(), Walker(), jnp.float32(0.15)
    streams, (a, b, c) = run_segments(env, actor, behaviour, [20, 20, 20])
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), a.steps, b.steps, c.steps)
    for n in range(5):
        stream = jax.tree.map(lambda x: x[:, n], joined)  # noqa: B023
        loop(stream, 0.15, a.memory[n])
    assert np.allclose(b.memory, b.steps.extras["memory"][0]) and np.allclose(c.memory, c.steps.extras["memory"][0])
    ends = (joined.terminated | joined.truncated).sum()
    assert float(streams.ended["count"]) == ends


def test_one_long_segment_equals_short_ones_where_nothing_is_random():
    @struct.dataclass
    class Still(Drift):
        def reset(self, key):
            return super().reset(START)

        def step(self, state, action, key):
            return super().step(state, action, START)

    behaviour = jnp.float32(0.15)
    long_streams, (long,) = run_segments(Still(), Walker(spread=0.0), behaviour, [18])
    short_streams, short = run_segments(Still(), Walker(spread=0.0), behaviour, [9, 9])
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), *(s.steps for s in short))
    jax.tree.map(np.testing.assert_array_equal, long.steps, joined)
    jax.tree.map(np.testing.assert_array_equal, long_streams, short_streams)


def test_a_stream_does_not_depend_on_its_company():
    _, (few,) = run_segments(Drift(), Walker(), jnp.float32(0.15), [40], num_envs=2)
    _, (many,) = run_segments(Drift(), Walker(), jnp.float32(0.15), [40])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[:, :2], atol=1e-6), few.steps, many.steps)


def test_first_inputs_of_a_discrete_action():
    inputs = first_inputs(Spec("x", Box((2,)), Discrete(3), 5), jnp.ones(2))
    assert inputs.action.dtype == jnp.int32 and inputs.action.shape == () and bool(inputs.first)


# --- episodes ------------------------------------------------------------------------------------------

compiled = jax.jit(
    episodes,
    static_argnums=1,
    static_argnames=("population", "episodes", "group", "starts", "shared", "keep_steps", "frames"),
)
GENOMES = jnp.array([0.05, 0.2, 0.4, 0.9, -0.1, 2.5])


def run_episodes(behaviour=GENOMES, active=None, key=KEY, start=START, env=None, **options):
    options = {"episodes": 2, "keep_steps": True} | options
    population = len(GENOMES) if behaviour.ndim == 0 else len(behaviour)
    active = jnp.ones(population, bool) if active is None else jnp.asarray(active)
    data = compiled(env or Drift(), Walker(), behaviour, active, key, start, population=population, **options)
    return jax.tree.map(np.asarray, data)


@pytest.mark.parametrize("fixed", [False, True])
def test_episodes_are_what_a_python_loop_makes(fixed):
    data = run_episodes(env=Drift(fixed), behaviour=GENOMES / 10 if fixed else GENOMES, episodes=3)
    assert data.steps.reward.shape == (HORIZON, 6, 3)
    for p in range(6):
        for e in range(3):
            length = int(data.length[p, e])
            steps = jax.tree.map(lambda x: x[:length, p, e], data.steps)  # noqa: B023
            genome = float(data.behaviour[p])
            lengths, returns, _ = loop(steps, genome, None, np.inf if fixed else 2.0)
            assert lengths == [length] and np.isclose(returns[0], data.returns[p, e], atol=1e-4)
            assert (data.steps.live[:, p, e] == (np.arange(HORIZON) < length)).all()
            for name, value in data.info.items():
                assert value[p, e] == steps.info[name][-1]
    assert fixed or len(np.unique(data.length)) > 2
    assert not fixed or (data.length == HORIZON).all()


def test_keeping_steps_changes_nothing():
    kept, bare = run_episodes(), run_episodes(keep_steps=False)
    assert bare.steps is None and bare.frames is None
    for a, b in ((kept.returns, bare.returns), (kept.length, bare.length), (kept.info, bare.info)):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), a, b)


def test_steps_are_kept_until_all_episodes_have_ended():
    """Two members that soon end: what follows is blank, and no member has stepped any further."""
    data = run_episodes(jnp.array([0.9, 2.5]))
    last = data.length.max()
    assert last < HORIZON and (data.steps.next_obs[last - 1] != 0).any()
    assert all((x[last:] == 0).all() for x in jax.tree.leaves(data.steps))


def test_episodes_draw_every_number_afresh():
    steps = run_episodes(GENOMES / 10, env=Drift(True), episodes=3).steps
    for drawn in (steps.info["noise"], steps.extras["noise"], steps.extras["memory"][0]):
        assert len(np.unique(drawn)) == drawn.size


def test_inactive_members_take_no_part():
    everyone = run_episodes()
    some = run_episodes(active=[True, False, True, True, False, True])
    here = np.array(some.active)
    assert (some.length[~here] == 0).all() and (some.returns[~here] == 0).all()
    np.testing.assert_array_equal(some.returns[here], everyone.returns[here])
    np.testing.assert_array_equal(some.length[here], everyone.length[here])
    assert (run_episodes(active=[False] * 6).length == 0).all()


@pytest.mark.parametrize("starts", ["fixed", "fresh"])
def test_a_member_does_not_depend_on_the_population(starts):
    few, many = run_episodes(GENOMES[:2], starts=starts), run_episodes(GENOMES, starts=starts)
    np.testing.assert_allclose(few.returns, many.returns[:2], atol=1e-6)
    np.testing.assert_array_equal(few.length, many.length[:2])


def beginnings(**options):
    """[P, E] where the episodes began."""
    return run_episodes(**options).steps.inputs.obs[0, ..., 0]


def test_fixed_starts():
    a, b = beginnings(episodes=3), beginnings(episodes=3, key=jax.random.key(9))
    assert (a == a[0]).all() and len(np.unique(a[0])) == 3  # episode e of every policy begins alike,
    assert (a == b).all()  # in every call
    assert (a != beginnings(episodes=3, start=KEY)).all()


def test_fresh_starts_by_group():
    a = beginnings(starts="fresh", group=3)
    assert (a[:3] == a[0]).all() and (a[3:] == a[3]).all()
    assert len(np.unique(a)) == 4  # 2 groups x 2 episodes
    assert (a != beginnings(starts="fresh", group=3, key=jax.random.key(9))).all()
    assert (a == beginnings(starts="fresh", group=3, start=KEY)).all()
    assert len(np.unique(beginnings(starts="fresh"))) == 12


def test_one_policy_for_all():
    shared = run_episodes(jnp.float32(0.2), shared=True)
    stacked = run_episodes(jnp.full(6, 0.2))
    np.testing.assert_allclose(shared.returns, stacked.returns, atol=1e-6)
    assert shared.behaviour.shape == () and len(np.unique(shared.returns)) == 12


def test_fitness_and_area():
    data = run_episodes()
    assert np.allclose(data.fitness, data.returns.mean(1))
    broken = data.replace(returns=jnp.array([[1.0, jnp.nan], [2.0, 4.0], [jnp.inf, 0.0]]))
    assert np.array_equal(broken.fitness, [-np.inf, 3.0, -np.inf])


def test_frame_steps_are_those_of_stax():
    """GPaolo/STAX, core/evaluator.py: ceil(linspace(0, H - 1, s + 1))[1:] from 0; here the steps made, hence + 1."""
    assert frame_steps(100, 1).tolist() == [100]
    assert frame_steps(2000, 5).tolist() == [401, 801, 1201, 1601, 2000]
    assert frame_steps(HORIZON, 3).tolist() == [3, 5, 7]


@pytest.mark.parametrize("genomes", [(0.05, 0.2), (0.9, 2.5)], ids=["long", "all end early"])
def test_frames_are_states_and_repeat_the_last_one(genomes):
    data = run_episodes(jnp.array(genomes), frames=3)
    assert data.frames["x"].shape == (2, 2, 3)
    for p in range(2):
        for e in range(2):
            times = np.minimum([3, 5, 7], data.length[p, e])
            assert data.frames["t"][p, e].tolist() == times.tolist()
            assert np.allclose(data.frames["x"][p, e], data.steps.next_obs[times - 1, p, e, 0], atol=1e-6)
    bare = run_episodes(jnp.array(genomes), frames=3, keep_steps=False)
    assert max(bare.length.ravel()) < 5 or genomes[0] < 0.5  # the kernel stops before the last frame's step
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), data.frames, bare.frames)


def test_frames_of_an_inactive_member_are_its_start():
    data = run_episodes(GENOMES[:2], frames=3, active=[True, False])
    assert (data.frames["t"][1] == 0).all() and (data.frames["t"][0] > 0).all()


def test_more_frames_than_steps_are_refused():
    with pytest.raises(ValueError, match="frames"):
        run_episodes(frames=HORIZON)


def test_unknown_starts_are_refused():
    with pytest.raises(ValueError, match="starts"):
        run_episodes(starts="frseh")
