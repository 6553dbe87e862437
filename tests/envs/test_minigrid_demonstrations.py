"""MiniGrid's controller walks shortest ways; its data, mixed with random actions, comes from a seed and fits agents."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from prospect_rl import envs
from prospect_rl.envs.data import datasets, minari
from prospect_rl.envs.data.demonstrations import Demonstrations
from prospect_rl.envs.minigrid import bank, controller, state
from prospect_rl.envs.minigrid.art import level, stack
from prospect_rl.envs.minigrid.env import Bank, MiniGrid

pytest.importorskip("minigrid")
SMALL = (("levels", 16),)
DOORKEY = "minigrid/DoorKey-5x5-v0"
FOURROOMS = "minigrid/FourRooms-v0"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def lengths(name, levels):
    """Steps [levels] of the controller on the first levels of a task; all must be solved."""
    env = envs.make(f"minigrid/{name}", levels=levels)

    def play(start):
        def body(carry, _):
            now, live = carry
            now, step = env.step(now, controller.act(env, now, jax.random.key(0)), jax.random.key(0))
            return (now, live & ~(step.terminated | step.truncated)), (live, live & (step.reward > 0))

        return jax.lax.scan(body, (start, jnp.ones((), bool)), length=env.spec.horizon)[1]

    live, paid = jax.jit(jax.vmap(play))(env.bank.levels)
    assert np.asarray(paid).any(axis=1).all()
    return np.asarray(live).sum(axis=1)


def theirs(name, levels):
    """Steps [levels] of the player that solves Farama's own environments."""
    from tests.parity.minigrid_solver import solve

    found, env = [], bank.farama(name)
    for seed in range(levels):
        env.reset(seed=seed)
        found.append(sum(1 for action in solve(env) if env.step(action)))
    return np.array(found)


@pytest.mark.parametrize("name", ["FourRooms-v0", *(
    pytest.param(name, marks=pytest.mark.slow) for name in ("MultiRoom-N6-v0", "LavaCrossingS9N3-v0", "DistShift2-v0")
)])  # fmt: skip
def test_ways_without_keys_are_as_short_as_those_of_another_player(name):
    np.testing.assert_array_equal(lengths(name, 12), theirs(name, 12))


def fewest(start):
    """Actions that a level of DoorKey takes at least: all that can happen, breadth first."""
    kinds = state.kind_of(np.asarray(start.cells).astype(int))
    begin = (int(start.x), int(start.y), int(start.direction), False, False)
    queue, seen = deque([(begin, 0)]), {begin}
    while queue:
        (x, y, d, key, door), steps = queue.popleft()
        cell = x + controller.STEPS[d][0], y + controller.STEPS[d][1]
        there = kinds[cell]
        if there == state.GOAL:
            return steps + 1
        after = [(x, y, (d + turn) % 4, key, door) for turn in (1, -1)]
        if there == state.EMPTY or (there == state.KEY and key) or (there == state.DOOR and door):
            after.append((*cell, d, key, door))
        elif there == state.KEY:
            after.append((x, y, d, True, door))
        elif there == state.DOOR and key:
            after.append((x, y, d, key, True))
        queue.extend((one, steps + 1) for one in set(after) - seen)
        seen.update(after)
    raise AssertionError("there is no way")


@pytest.mark.parametrize("name", ["DoorKey-5x5-v0", "DoorKey-8x8-v0"])
def test_ways_by_a_key_are_at_most_two_turns_longer_than_the_shortest(name):
    """The way to the key does not mind where it leads on from there."""
    levels = envs.make(f"minigrid/{name}", levels=20).bank.levels
    more = lengths(name, 20) - [fewest(jax.tree.map(lambda x: x[i], levels)) for i in range(20)]  # noqa: B023
    assert more.min() >= 0 and more.max() <= 2 and more.mean() < 1


@struct.dataclass
class Drawn(MiniGrid):
    """DoorKey's rules on a map of one's own."""

    @property
    def task(self):
        return super().task._replace(width=6, height=3)


def test_what_lies_in_the_way_is_picked_up():
    start = level("""
        ############
        ##>>Ky..GG##
        ############
    """)
    env = Drawn("DoorKey-5x5-v0", bank=Bank(lambda: stack([start])))

    @jax.jit
    def go(now):
        action = controller.act(env, now, jax.random.key(0))
        return *env.step(now, action, jax.random.key(0)), action

    now, taken = jax.tree.map(lambda x: x[0], env.bank.levels), []
    for _ in range(4):
        now, step, action = go(now)
        taken.append(int(action))
    assert taken == [state.PICKUP, state.FORWARD, state.FORWARD, state.FORWARD] and step.reward > 0


def test_another_familys_task_is_refused():
    line = "minigrid/Fetch-5x5-N2-v0 has no controller; there is one for Empty, DistShift"
    with pytest.raises(ValueError, match=line):
        Demonstrations("minigrid/Fetch-5x5-N2-v0", SMALL, episodes=1).build()


# --- data --------------------------------------------------------------------------------------------


def test_data_with_observations_of_several_parts_is_kept_whole():
    fields = {"env_fields": SMALL, "episodes": 6, "successors": True}
    made, card = datasets.make_with_card(f"{DOORKEY}/oracle", **fields)
    again, kept = datasets.make_with_card(f"{DOORKEY}/oracle", **fields)  # from disk
    assert card == kept and card["successes"] == card["episodes"] == 6
    assert jax.tree.structure(made.rows) == jax.tree.structure(again.rows)
    for a, b in zip(jax.tree.leaves(made.rows), jax.tree.leaves(again.rows), strict=True):
        np.testing.assert_array_equal(a, b)
    assert datasets.digest(Demonstrations(DOORKEY, SMALL, episodes=6, successors=True).build()) == card["sha256"]
    assert datasets.make_with_card(f"{DOORKEY}/oracle", seed=1, **fields)[1]["sha256"] != card["sha256"]
    assert card["arrays"]["obs/image"] == f"uint8[{card['rows']}, 7, 7, 3]"
    assert set(made.rows["obs"]) == {"image", "direction", "mission"}
    datasets.check_fits(made, envs.make(DOORKEY).spec)
    inside = np.ones(card["rows"], bool)
    inside[np.append(np.asarray(made.firsts)[1:], card["rows"]) - 1] = False
    for part, x in made.rows["obs"].items():
        np.testing.assert_array_equal(made.rows["next_obs"][part][:-1][inside[:-1]], x[1:][inside[:-1]])


def test_random_episodes_come_first_and_their_actions_are_uniform():
    made = Demonstrations(DOORKEY, SMALL, episodes=40, random=0.25).build()
    whole = Demonstrations(DOORKEY, SMALL, episodes=40).build()
    firsts, actions = np.asarray(made.firsts), np.asarray(made.rows["action"])
    counts = np.bincount(actions[: firsts[10]], minlength=7)
    assert counts.sum() > 500 and (abs(counts / counts.sum() - 1 / 7) < 0.05).all()
    ours, theirs = actions[firsts[10] :], np.asarray(whole.rows["action"])[np.asarray(whole.firsts)[10] :]
    np.testing.assert_array_equal(ours, theirs)
    registered = {name: datasets.recipe(f"{FOURROOMS}/{name}").random for name in ("oracle", "mixed", "random")}
    assert registered == {"oracle": 0.0, "mixed": 0.5, "random": 1.0}


def test_parts_that_are_missing_are_named():
    made = Demonstrations(DOORKEY, SMALL, episodes=2, successors=True).build()
    del made.rows["next_obs"]["mission"]
    with pytest.raises(ValueError, match="the dataset lacks next_obs/mission"):
        datasets.check(made)
    del made.rows["next_obs"], made.rows["obs"]["mission"]
    datasets.check(made)
    with pytest.raises(ValueError, match=f"the dataset has no obs/mission, which {DOORKEY} has"):
        datasets.check_fits(made, envs.make(DOORKEY).spec)
    with pytest.raises(ValueError, match="the dataset has no obs, which probe/memory has"):
        datasets.check_fits(made, envs.make("probe/memory").spec)


def test_minari_gets_the_parts_side_by_side():
    pytest.importorskip("minari")
    made = Demonstrations(DOORKEY, SMALL, episodes=3, successors=True).build()
    minari.export(made, "test/doorkey-v0", DOORKEY, fields=dict(SMALL))
    back = datasets.make("minari/test/doorkey-v0")
    parts = [
        np.asarray(made.rows["obs"][name]).reshape(len(back.rows["reward"]), -1)
        for name in ("image", "direction", "mission")
    ]
    np.testing.assert_array_equal(back.rows["obs"], np.concatenate(parts, axis=1))
    datasets.check_fits(back, envs.make(DOORKEY).spec)
