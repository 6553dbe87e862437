"""What our MiniGrid's agent sees is what Farama's sees: every row of the light's recurrence, random maps, wrappers."""

import itertools
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("minigrid")

import minigrid.core.grid as grid_module  # noqa: E402
from minigrid.core.grid import Grid  # noqa: E402
from minigrid.core.world_object import Wall  # noqa: E402
from minigrid.wrappers import FlatObsWrapper, FullyObsWrapper, OneHotPartialObsWrapper, ViewSizeWrapper  # noqa: E402

from prospect_rl.envs.minigrid import bank, view  # noqa: E402
from prospect_rl.envs.minigrid.env import Bank, MiniGrid  # noqa: E402
from prospect_rl.envs.minigrid.state import BOX, DOOR, GOAL, GREEN, KEY, LAVA, RED, WALL_TYPE, State, code  # noqa: E402
from prospect_rl.envs.minigrid.table import FAMILIES, TASKS  # noqa: E402
from tests.parity.minigrid_replay import busy, compiled, furnish, play, theirs_of  # noqa: E402

ROW = 1 << np.arange(7)


@pytest.mark.parametrize("step", [61, pytest.param(1, marks=pytest.mark.slow)])
def test_every_row_of_the_recurrence(step, monkeypatch):
    """All 128 x 128 pairs of (lit cells, clear cells), through Farama's own loop on a map of three rows.

    The middle row is the one in question; the row below it, which is swept before, and the one above are wall.
    """
    pairs = np.array(list(itertools.product(range(128), repeat=2))[::step])
    ours = jax.device_get(compiled(jax.vmap(partial(view.sweep, size=7)))(*jnp.asarray(pairs).T))
    for (seed, clear), above, seen in zip(pairs, *ours, strict=True):
        grid = Grid(7, 3)
        for x, y in itertools.product(range(7), range(3)):
            if y != 1 or not clear & ROW[x]:
                grid.set(x, y, Wall())
        mask = np.zeros((7, 3), bool)
        mask[:, 1] = (seed & ROW) != 0
        monkeypatch.setattr(grid_module, "np", SimpleNamespace(zeros=lambda shape, dtype, mask=mask: mask))
        theirs = grid.process_vis((0, 2))
        assert (seen, above) == (ROW @ theirs[:, 1], ROW @ theirs[:, 0]), (seed, clear)


# --- random maps -------------------------------------------------------------------------------------

CODES = np.array(
    [code(kind, colour) for kind in (*range(WALL_TYPE, DOOR), *range(KEY, GOAL)) for colour in range(6)]
    + [code(GOAL, GREEN), code(LAVA, RED)]
    + [code(DOOR, colour, door) for colour in range(6) for door in range(3)]
    + [code(BOX, colour, 0, inner, colour) for colour in range(6) for inner in (5, 6, 7)],
    np.uint16,
)
"""Everything that there is but empty cells."""


def furnished_map(generator, side=12):
    """A map on which a third to two thirds of the cells are taken, walls and doors above all; and what is in hand."""
    walls = code(WALL_TYPE, 5) + 0 * generator.integers(1, size=(side, side))
    things = np.where(generator.random((side, side)) < 0.4, walls, generator.choice(CODES, (side, side)))
    cells = np.where(generator.random((side, side)) < generator.uniform(0.3, 0.7), things, 1)
    hand = generator.choice(CODES[(CODES & 15 >= KEY) & (CODES & 15 <= BOX)])
    return cells.astype(np.uint16), np.uint16(hand if generator.random() < 0.5 else 1)


def poses(side=12):
    return np.array(list(itertools.product(range(side), range(side), range(4))))


POSES = State(0, 0, 0, 0, None, None, None, None)
"""What `vmap` runs over: the hand is the same in all poses on a map."""


@pytest.mark.parametrize("see_through", [False, True])
@pytest.mark.parametrize("size", [3, 5, 7, 9])
@pytest.mark.parametrize("maps", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_random_windows(size, see_through, maps):
    """Every pose on random maps with everything on them; slow: 50,000 windows of the usual size, 5,000 of others."""
    from tests.parity.minigrid_bridge import thing

    env = theirs_of("Empty-16x16-v0", agent_view_size=size)
    env.reset(seed=0)
    env.see_through_walls = see_through
    maps = maps or (88 if size == 7 and not see_through else 9)
    look = compiled(jax.vmap(lambda state: view.image(view.look(state, size, see_through)), (POSES,)))
    seen = 0
    for seed in range(maps):
        generator = np.random.default_rng((seed, size))
        cells, hand = furnished_map(generator)
        env.grid, env.carrying = Grid(*cells.shape), thing(int(hand))
        for place, of in np.ndenumerate(cells.astype(int)):
            env.grid.set(*place, thing(of))
        chosen = generator.permutation(poses())[: 576 if maps > 1 else 300]
        x, y, direction = chosen.T.astype(np.int32)
        state = State(np.broadcast_to(cells, (len(chosen), *cells.shape)), x, y, direction, hand, None, None, None)
        for pose, ours in zip(chosen, np.asarray(look(state)), strict=True):
            env.agent_pos, env.agent_dir = (int(pose[0]), int(pose[1])), int(pose[2])
            theirs = env.gen_obs()["image"]
            assert np.array_equal(ours, theirs), (seed, pose)
            seen += (theirs[..., 0] == 0).sum()
    assert (seen == 0) == see_through, "nothing was hidden, or something that cannot be"


# --- wrappers ----------------------------------------------------------------------------------------

WRAPPERS = {
    "full": ({"view": "full"}, FullyObsWrapper),
    "onehot": ({"view": "onehot"}, OneHotPartialObsWrapper),
    "flat": ({"view": "flat"}, FlatObsWrapper),
    **{f"size {n}": ({"view_size": n}, partial(ViewSizeWrapper, agent_view_size=n)) for n in (3, 5, 9)},
    "onehot 5": ({"view": "onehot", "view_size": 5}, lambda env: OneHotPartialObsWrapper(ViewSizeWrapper(env, 5))),
}


def observations(name, wrapper, seeds, steps):
    """(states stacked, what Farama's wrapper made of each) along busy episodes."""
    states, seen = [], []
    env = theirs_of(name)
    wrapped = wrapper(env)
    for seed in range(seeds):
        obs, _ = wrapped.reset(seed=seed)
        generator = np.random.default_rng(seed)
        for action in itertools.islice(busy(env, generator), steps):
            states.append(bank.from_farama(env))
            seen.append(obs)
            obs, _, terminated, truncated, _ = wrapped.step(action)
            if terminated or truncated:
                break
    return jax.tree.map(lambda *leaves: np.stack(leaves), *states), seen


def assert_seen(name, fields, wrapper, seeds, steps):
    states, seen = observations(name, wrapper, seeds, steps)
    ours = jax.device_get(compiled(jax.vmap(MiniGrid(name, bank=Bank(lambda: states), **fields).observe))(states))
    images = seen if fields.get("view") == "flat" else [obs["image"] for obs in seen]
    assert np.array_equal(ours if fields.get("view") == "flat" else ours["image"], np.stack(images)), name


@pytest.mark.parametrize("kind", WRAPPERS)
def test_wrappers(kind):
    assert_seen("DoorKey-6x6-v0", *WRAPPERS[kind], seeds=3, steps=40)


def test_a_furnished_room_through_the_whole_view():
    env = theirs_of("Empty-8x8-v0")
    env.reset(seed=0)
    furnish(env, 0)
    episode = play(env, env.gen_obs(), busy(env, np.random.default_rng(0)), 1, bank.from_farama)
    full = np.asarray(view.full(episode.start))
    assert np.array_equal(full[1, 1], [10, 0, 0])
    full = full.copy()
    full[1, 1] = [1, 0, 0]
    assert np.array_equal(full, episode.steps.grid[0, ..., :3])


FIRST = {TASKS[name].family: name for name in reversed(TASKS)}
"""The first id of each family."""


SPOKEN = ("LockedRoom", "Fetch")


@pytest.mark.parametrize("family", [f if f in SPOKEN else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES])
def test_flat_missions(family):
    assert_seen(FIRST[family], *WRAPPERS["flat"], seeds=30, steps=1)
