"""Datasets come from a recipe and its seed alone, lie on disk with their hash, and are checked before anyone learns."""

import errno
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs import cache
from prospect_rl.envs.api import Dataset
from prospect_rl.envs.data import datasets
from prospect_rl.envs.minigrid import bank
from prospect_rl.envs.rollout import batches
from tests import toy_data


@pytest.fixture(autouse=True)
def known(monkeypatch, tmp_path):
    monkeypatch.setitem(datasets.DATASETS, "test/cues", ("tests.toy_data:Cues", {"delay": 3}))
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_the_same_recipe_gives_the_same_bits_and_another_seed_does_not():
    first, card = datasets.make_with_card("test/cues", episodes=16)
    again = toy_data.Cues(delay=3, episodes=16).build()
    assert card["sha256"] == datasets.digest(again) == datasets.digest(first)
    assert datasets.make_with_card("test/cues", episodes=16, seed=1)[1]["sha256"] != card["sha256"]


def test_the_card_says_what_is_in_it():
    _, card = datasets.make_with_card("test/cues", episodes=16)
    assert card["name"] == "test/cues" and card["fields"] == {"delay": 3, "episodes": 16, "seed": 0, "spoil": ""}
    assert (card["rows"], card["episodes"], card["successes"], card["terminated"], card["truncated"]) == (
        64,
        16,
        16,
        16,
        0,
    )
    assert card["length"] == {"least": 4, "mean": 4.0, "most": 4} and card["return"]["50 %"] == 1
    assert card["arrays"]["obs"] == "float32[64, 2]" and card["versions"]["jax"] == jax.__version__


def test_it_counts_what_was_paid():
    """Three episodes: paid on the way and taken back at its end, paid at the end, never paid."""
    rows = {"reward": np.float32([0, 3, -1, 0, 1, 0, 0])}
    counts = datasets.count(Dataset(rows, np.int32([0, 3, 5])))
    assert counts == {"rows": 7, "episodes": 3, "paid": 3, "paid_last": 2}  # more than the least of the data, -1


def test_what_is_paid_does_not_depend_on_scale_and_offset():
    made = toy_data.Cues(episodes=8).build()
    for scale, offset in ((1, 0), (1, -1), (3, 7)):
        data = Dataset(made.rows | {"reward": scale * made.rows["reward"] + np.float32(offset)}, made.firsts)
        card = datasets.describe("test/cues", datasets.recipe("test/cues"), data)
        assert datasets.count(data) == {"rows": 24, "episodes": 8, "paid": 8, "paid_last": 8}
        assert card["success"] == f"a reward above {offset}, the least of the data" and card["successes"] == 8


def test_it_is_built_once(monkeypatch):
    datasets.make("test/cues")
    monkeypatch.setattr(toy_data.Cues, "build", lambda self: pytest.fail("built again"))
    made = datasets.make("test/cues")
    assert made.rows["obs"].shape == (32, 2) and made.firsts.tolist() == list(range(0, 32, 4))
    with pytest.raises(pytest.fail.Exception):
        datasets.make("test/cues", seed=1)  # other fields, another file


@pytest.mark.parametrize("harm", ["cut", "flipped", "card"])
def test_a_damaged_file_is_made_anew_with_a_warning(harm):
    _, card = datasets.make_with_card("test/cues")
    path, card_path = datasets.paths("test/cues", datasets.recipe("test/cues"))
    data = bytearray(path.read_bytes())
    if harm == "cut":
        path.write_bytes(data[:100])
    elif harm == "flipped":
        data[-1] ^= 1
        path.write_bytes(data)
    else:
        card_path.write_text("{")
    with pytest.warns(UserWarning, match="is damaged and will be rebuilt"):
        _, anew = datasets.make_with_card("test/cues")
    assert anew["sha256"] == card["sha256"] == json.loads(card_path.read_text())["sha256"]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        ("reward", "the dataset lacks reward"), ("nan", "obs is not finite in row 5"), ("length", "differ in length"),
        ("empty", "the dataset is empty"),
        ("firsts", "must start at 0 and ascend"),
    ],
)  # fmt: skip
def test_bad_data_is_one_line_and_is_not_kept(spoil, line):
    with pytest.raises(ValueError, match=line):
        datasets.make("test/cues", spoil=spoil)
    assert not cache.folder("datasets").exists()


@pytest.mark.parametrize("call", ["exists", "open", "unlink"])
def test_a_cache_of_another_user_is_one_line(call, monkeypatch):
    """Whichever call of the system is the one to be refused; that of `unlink` comes after that of `open`."""

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    for name in {call, "open"} if call == "unlink" else {call}:
        monkeypatch.setattr(Path, name, refuse)
    what = "read" if call == "exists" else "written"
    with pytest.raises(ValueError, match=rf"cannot be {what}: Permission denied; set \$PROSPECT_CACHE to another"):
        datasets.make("test/cues", episodes=2)
    if call == "exists":
        with pytest.raises(ValueError, match=r"cannot be read: Permission denied"):
            bank.load("Empty-5x5-v0", 0, 1)


def test_rows_may_be_terminated_and_truncated():
    """Termination wins: nothing follows. The card counts them."""
    _, card = datasets.make_with_card("test/cues", spoil="both")
    assert (card["terminated"], card["truncated"], card["terminated and truncated"]) == (8, 8, 8)
    assert card["rows without a successor"] == 0


def steps(env, **flags):
    made = toy_data.Steps(env=env).build()
    return Dataset(made.rows | {name: np.asarray(x, bool) for name, x in flags.items()}, made.firsts)


LASTS, NONE = np.isin(np.arange(8), [3, 4, 7]), np.zeros(8, bool)


@pytest.mark.parametrize("env", ["point/sparse", "maze2d/umaze"])
def test_swapped_flags_of_what_never_terminates_are_told(env):
    datasets.check_fits(steps(env, terminated=NONE, truncated=LASTS), envs.make(env).spec)
    line = f"{env} does not terminate in 3 of 3 rows that the dataset marks as terminated.*swapped"
    swapped = steps(env, terminated=LASTS, truncated=NONE)
    with pytest.warns(UserWarning, match=line):
        datasets.check_fits(swapped, envs.make(env).spec)
    del swapped.rows["next_obs"]
    with pytest.warns(UserWarning, match=line):
        datasets.check_fits(swapped, envs.make(env).spec)


def test_swapped_flags_of_what_has_a_rule_are_told():
    """A task whose every step ends it."""
    spec = envs.make("probe/target").spec
    datasets.check_fits(steps("probe/target", terminated=LASTS, truncated=NONE), spec)
    with pytest.warns(UserWarning, match="probe/target terminates in 3 of 3 .* marks as truncated"):
        datasets.check_fits(steps("probe/target", terminated=NONE, truncated=LASTS), spec)


def test_data_of_another_task_is_refused():
    made = datasets.make("test/cues")
    datasets.check_fits(made, envs.make("probe/memory").spec)
    with pytest.raises(ValueError, match=r"the dataset's obs has the shape \[2\], but probe/bandit has \[1\]"):
        datasets.check_fits(made, envs.make("probe/bandit").spec)


def test_unknown_names_and_fields_are_one_line():
    with pytest.raises(ValueError, match="did you mean 'test/cues'"):
        datasets.recipe("test/cue")
    for name in ("mine.csv", "mine.pkl", "./mine"):
        Path("mine").touch()
        with pytest.raises(ValueError, match=rf"^{name} cannot be read: data files end in .npz, .safetensors, "):
            datasets.recipe(name)
    with pytest.raises(ValueError, match="test/cues: .*colour"):
        datasets.recipe("test/cues", colour=1)


def test_whole_windows_begin_with_episodes():
    made = datasets.make("test/cues", episodes=6)
    batch = batches(made, jax.random.key(0), size=32, updates=3, length=6, whole=True)
    assert np.all(np.abs(batch.rows["obs"][:, :, 0, 0]) == 1)  # the cue is seen
    assert np.array_equal(batch.valid, np.broadcast_to(np.arange(6) < 4, (3, 32, 6)))
    anywhere = batches(made, jax.random.key(0), size=32, updates=3, length=6)
    assert np.any(anywhere.rows["obs"][:, :, 0, 0] == 0)
