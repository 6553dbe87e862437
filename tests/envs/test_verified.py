"""Tasks with a verifier: what it misses, how far an episode has come, and that a group's episodes start alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.envs import rollout
from prospect_rl.envs.minigrid import controller
from prospect_rl.envs.verified.grid import left

GRIDS = ("verified/Empty-Random-6x6", "verified/DoorKey-5x5", "verified/MultiRoom-N2-S4")


def solved(env, key):
    """(progress, proxy and success of each step, actions left at the start) of an episode by the scripted player."""

    @jax.jit
    def run(key):
        state, _ = env.reset(key)

        def step(carry, t):
            state, over = carry
            action = controller.act(env.task, state.task, key)
            after, out = env.step(state, action, jax.random.fold_in(key, t))
            after = jax.tree.map(lambda new, old: jnp.where(over, old, new), after, state)
            return (after, over | out.terminated | out.truncated), (out.info, over)

        _, (info, over) = jax.lax.scan(step, (state, jnp.zeros((), bool)), jnp.arange(env.spec.horizon))
        return info, over, state.memory.left

    return run(key)


@pytest.mark.parametrize("id", GRIDS)
def test_progress_grows_by_the_shortest_path(id):
    env = envs.make(id, levels=8, false_no=0.0)
    for seed in range(3):
        info, over, actions = solved(env, jax.random.key(seed))
        length = int(np.sum(~over))
        done = np.asarray(info["progress"])[:length]
        assert done[-1] == 1 and np.all(done[:-1] < 1) and np.all((done >= 0) & (done <= 1))
        assert info["success"][length - 1] and not np.any(info["success"][: length - 1])
        assert np.array_equal(info["verified"][:length], info["success"][:length])
        if "DoorKey" not in id:  # its door and key are steps on the way
            assert np.all(np.diff(done) >= 0)
        if "Empty" in id:
            assert length == actions


def test_the_key_comes_first():
    env = envs.make("verified/DoorKey-5x5", levels=4)
    state, _ = env.reset(jax.random.key(0))
    far = left(state.memory.table, state.task)
    assert far > sum(state.task.cells.shape)
    armed = state.task.replace(carry=jnp.uint16(5 | 4 << 4))  # a key
    assert left(state.memory.table, armed) < sum(state.task.cells.shape)


def test_a_verifier_misses_successes_and_accepts_no_failure():
    env = envs.make("verified/Empty-Random-6x6", levels=4, false_no=0.4)

    def last(key):
        state, _ = env.reset(key)
        state = state.replace(time=jnp.int32(env.horizon - 1))
        goal = jnp.argwhere(env.task.bank.levels.cells[0] & 15 == 8, size=1)[0]  # any level: the goal is in one corner
        beside = state.task.replace(x=goal[0] - 1, y=goal[1], direction=jnp.int32(0))
        action = jax.random.randint(key, (), 1, 3)  # turn right or go on
        return env.step(state.replace(task=beside), action, key)[1].info

    info = jax.jit(jax.vmap(last))(jax.random.split(jax.random.key(0), 2000))
    right, said = np.asarray(info["success"]), np.asarray(info["verified"])
    assert 0.4 < right.mean() < 0.6 and not np.any(said & ~right)
    assert np.mean(said[right]) == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("id", [*GRIDS[1:], "verified/reacher"])
def test_the_members_of_a_group_start_alike(id):
    """What is seen at step 0 is the same for all N of a group; groups differ, and each iteration has others.

    Two levels may look the same to an agent that sees only what is before it.
    """
    env = envs.make(id, **({} if "reacher" in id else {"levels": 64}))
    agent = agents.GRPO(prompts=8, group=4, minibatches=1, hidden=(4,), encoding=4).bind(env.spec)
    behaviour, _ = agent.explore(agent.init(jax.random.key(0)), jax.random.key(1))
    play = jax.jit(
        lambda key: rollout.episodes(
            env, agent, behaviour, jnp.ones(32, bool), key, jax.random.key(3), population=32, group=4, starts="fresh",
            shared=True, keep_steps=True,
        ).steps.inputs.obs
    )  # fmt: skip
    first, second = (
        np.concatenate([np.asarray(x[0]).reshape(8, 4, -1) for x in jax.tree.leaves(play(jax.random.key(i)))], axis=2)
        for i in range(2)
    )
    for starts in (first, second):
        assert np.all(starts == starts[:, :1])
        assert len(np.unique(starts[:, 0], axis=0)) > 2
    assert not np.array_equal(first, second)


def test_a_horizon_beyond_the_task_s_is_refused():
    with pytest.raises(ValueError, match="horizon of verified/MultiRoom-N2-S4 must be at most 40, not 41"):
        envs.make("verified/MultiRoom-N2-S4", horizon=41)


def test_reaching_pays_at_the_end_alone():
    env = envs.make("verified/reacher", horizon=3, false_no=0.0, near=10.0)
    state, _ = env.reset(jax.random.key(0))
    for t in range(3):
        state, step = env.step(state, jnp.ones(2), jax.random.key(t))
        assert (float(step.reward), bool(step.info["success"]), bool(step.truncated)) == (
            (1.0, True, True) if t == 2 else (0.0, False, False)
        )
    assert step.info["verified"] and 0 <= step.info["proxy"] <= 1
