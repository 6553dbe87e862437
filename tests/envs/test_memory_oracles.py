"""The players of the memory environments, and the data they make."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from flax import struct

from prospect_rl import envs
from prospect_rl.envs.data import demonstrations
from prospect_rl.envs.data.demonstrations import Demonstrations, oracle
from prospect_rl.envs.memory.table import FAMILIES, TASKS
from prospect_rl.envs.memory.tmaze import UP, TMaze


def returns(dataset):
    return np.add.reduceat(np.asarray(dataset.rows["reward"], np.float64), np.asarray(dataset.firsts))


# --- oracles -----------------------------------------------------------------------------------------

EXACT = ("RepeatFirst", "RepeatPrevious", "Autoencode", "CountRecall")
ORACLE = {
    "HigherLower": 0.45, "Concentration": 0.75, "Battleship": 0.4, "MineSweeper": 0.5, "MultiarmedBandit": 0.55,
    "VelocityOnlyCartPole": 0.999, "PositionOnlyPendulum": 0.7,
}  # fmt: skip
"""What the oracles' mean returns on easy levels exceed."""
RANDOM = {
    "RepeatFirst": -0.5, "RepeatPrevious": -0.5, "Autoencode": -0.5, "CountRecall": -0.93, "HigherLower": 0.0,
    "Concentration": -0.19, "Battleship": -0.45, "MineSweeper": -0.26, "MultiarmedBandit": 0.0,
    "VelocityOnlyCartPole": 0.11, "PositionOnlyPendulum": 0.27,
}  # fmt: skip
"""Mean returns of uniform actions on easy levels, to .06."""


@pytest.mark.parametrize("name", [
    f"{family}{level}" if level == "Easy" else pytest.param(f"{family}{level}", marks=pytest.mark.slow)
    for family in EXACT for level in ("Easy", "Medium", "Hard")
])  # fmt: skip
def test_exact_oracles(name):
    made = Demonstrations(f"popgym/{name}", episodes=10, successes_only=True).build()
    assert len(made.firsts) == 10 and np.allclose(returns(made), 1, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("family", ORACLE)
def test_good_oracles(family):
    assert returns(Demonstrations(f"popgym/{family}Easy", episodes=60).build()).mean() > ORACLE[family]


@pytest.mark.slow
@pytest.mark.parametrize("family", RANDOM)
def test_random_floors(family):
    found = returns(Demonstrations(f"popgym/{family}Easy", episodes=100, noise=1.0).build()).mean()
    assert abs(found - RANDOM[family]) < 0.06


def test_every_task_has_an_oracle():
    for id in ("memory/tmaze", *(f"popgym/{name}" for name in TASKS)):
        assert callable(oracle(envs.make(id)))
    with pytest.raises(ValueError, match="probe/bandit has no oracle; there is one for Autoencode, Battleship"):
        oracle(envs.make("probe/bandit"))
    assert len(TASKS) == 3 * len(FAMILIES) == 42


def test_a_subclass_has_its_parents_oracle():
    @struct.dataclass
    class Longer(TMaze):
        pass

    assert callable(oracle(Longer()))


# --- data --------------------------------------------------------------------------------------------


def test_tmaze_demonstrations():
    recipe = Demonstrations("memory/tmaze", (("length", 30), ("shortest", 1)), episodes=200)
    made, again = recipe.build(), recipe.build()
    rows, firsts = {k: np.asarray(x) for k, x in made.rows.items()}, np.asarray(made.firsts)
    assert set(rows) == {"obs", "action", "reward", "terminated", "truncated"}
    assert all(np.array_equal(x, np.asarray(again.rows[k])) for k, x in rows.items())
    assert rows["action"].dtype == np.int32 and rows["obs"].dtype == np.float32
    lasts = np.append(firsts[1:], len(rows["reward"])) - 1
    assert (rows["terminated"].nonzero()[0] == lasts).all() and (rows["reward"][lasts] == 1).all()
    assert (rows["obs"][firsts, 1] == np.tile([1, -1], 100)).all() and not rows["truncated"].any()
    assert ((rows["action"][lasts] == UP) == (rows["obs"][firsts, 1] == 1)).all()
    corridors = lasts - firsts
    assert corridors.min() >= 1 and corridors.max() <= 28 and len(set(corridors)) > 20
    other = Demonstrations(recipe.env, recipe.env_fields, episodes=200, seed=1).build()
    assert not np.array_equal(np.asarray(other.firsts), firsts)


def test_demonstrations_in_chunks(monkeypatch):
    recipe = Demonstrations("popgym/MineSweeperEasy", episodes=7)
    whole = recipe.build()
    monkeypatch.setattr(demonstrations, "CHUNK_BYTES", 1500)
    parts = recipe.build()
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        assert np.array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.slow
def test_noise_successes_and_successors():
    short = "memory/tmaze", (("length", 6),), 300
    made = Demonstrations(*short, noise=0.3, successes_only=True, successors=True).build()
    found, rows = returns(made), {k: np.asarray(x) for k, x in made.rows.items()}
    assert (found == 1).all() and 30 < len(found) < 300
    inner = np.ones(len(rows["reward"]), bool)
    inner[np.append(np.asarray(made.firsts)[1:], len(inner)) - 1] = False
    assert (rows["next_obs"][:-1][inner[:-1]] == rows["obs"][1:][inner[:-1]]).all()
    every = Demonstrations(*short, noise=0.3).build()
    assert len(every.firsts) == 300 and np.asarray(every.rows["truncated"]).any()
    with pytest.raises(ValueError, match="none of the 5 episodes ended with success"):
        Demonstrations("popgym/HigherLowerEasy", episodes=5, successes_only=True).build()


@pytest.mark.parametrize("fields", [{"episodes": 0}, {"noise": 1.5}, {"random": -0.1}])
def test_bad_demonstrations(fields):
    with pytest.raises(ValueError, match="episodes must be at least 1, noise and random 0 to 1"):
        Demonstrations("memory/tmaze", **fields)
