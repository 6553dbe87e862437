"""Files of one's own: our names and D4RL's, three formats, the same rows; what is wrong with one is one line."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import numpy as safetensors

from prospect_rl import envs
from prospect_rl.agents import BC
from prospect_rl.envs import cache
from prospect_rl.envs.api import Box
from prospect_rl.envs.data import datasets, files
from prospect_rl.experiments import train
from tests import toy_envs

ROWS = 30


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def arrays(**others):
    """Three episodes of `test/point`'s spaces, in double precision; the last one is cut by the end of the file."""
    draw, number = np.random.default_rng(3), np.arange(ROWS)
    obs = draw.normal(size=(ROWS, 2))
    return {
        "obs": obs, "action": draw.uniform(-1, 1, (ROWS, 2)), "reward": number == 9, "terminated": number == 9,
        "truncated": number == 19, "next_obs": obs + 1,
    } | others  # fmt: skip


def theirs(rows):
    return {{ours: name for name, ours in files.D4RL.items()}.get(key, key): x for key, x in rows.items()}


def write(name, rows):
    if name.endswith(".npz"):
        np.savez_compressed(name, **rows)
    elif name.endswith(".safetensors"):
        safetensors.save_file(rows, name)
    else:
        with pytest.importorskip("h5py").File(name, "w") as file:
            for key, x in rows.items():
                file[key] = x
            file["infos/qpos"] = np.zeros(3)
    return name


@pytest.mark.parametrize("names", [dict, theirs], ids=["ours", "d4rl"])
@pytest.mark.parametrize("name", ["mine.npz", "mine.safetensors", "mine.hdf5", "mine.h5"])
def test_every_format_gives_the_same_rows(name, names):
    rows = arrays()
    made, card = datasets.make_with_card(write(name, names(rows | {"other": np.zeros(2)})))
    assert sorted(made.rows) == sorted(rows)
    for key, x in rows.items():
        kept = bool if key in ("terminated", "truncated") else np.float32
        expected = np.asarray(x, kept)
        if key == "truncated":
            expected[-1] = True  # the file ends there
        assert made.rows[key].dtype == kept and np.array_equal(made.rows[key], expected), key
    assert made.firsts.dtype == np.int32 and made.firsts.tolist() == [0, 10, 20]
    assert card["episodes"] == 3 and card["sha256"] == datasets.digest(made)
    assert not cache.folder("datasets").exists(), "nothing is kept: the file may change"


def test_a_file_that_has_changed_is_read_anew_and_not_taken_for_the_other():
    first = datasets.make_with_card(write("mine.npz", arrays()))[1]["sha256"]
    assert datasets.make_with_card("mine.npz", sha256=first)[1]["sha256"] == first
    write("mine.npz", arrays(reward=np.zeros(ROWS)))
    changed = datasets.make_with_card("mine.npz")[1]["sha256"]
    assert changed != first
    with pytest.raises(ValueError, match=f"mine.npz does not have the requested sha256: its SHA-256 is {changed}"):
        datasets.make("mine.npz", sha256=first)


def test_rows_may_be_terminated_and_truncated():
    made, card = datasets.make_with_card(write("mine.npz", arrays(truncated=np.arange(ROWS) == 9)))
    assert card["terminated and truncated"] == 1 and made.firsts.tolist() == [0, 10]
    assert made.rows["terminated"].sum() == 1 and made.rows["truncated"].sum() == 2


@pytest.mark.parametrize("name", ["A.NPZ", "a.SafeTensors", "A.HDF5"])
def test_endings_in_any_case(name):
    write(name.lower(), arrays())
    Path(name.lower()).rename(name)
    assert len(datasets.make(name).rows["reward"]) == ROWS and datasets.is_external(name)


def test_their_files_without_timeouts_say_how_to_go_on():
    rows = theirs(arrays())
    del rows["timeouts"]
    with pytest.raises(ValueError, match=r"mine.npz lacks timeouts: add timeouts, 1 in the last row of each episode"):
        datasets.make(write("mine.npz", rows))
    rows["timeouts"] = np.zeros(ROWS)
    assert datasets.make(write("mine.npz", rows)).firsts.tolist() == [0, 10]


def test_ogbench():
    """Two trajectories of 3 and 2 observations and one that the file cuts: the last of each is a successor alone."""
    rows = {
        "observations": np.arange(8.0)[:, None], "actions": 10 + np.arange(8.0)[:, None], "qpos": np.zeros(8),
        "terminals": np.isin(np.arange(8), [2, 4]).astype(np.float32),
    }  # fmt: skip
    with pytest.warns(UserWarning, match="is read in OGBench's format.* all rewards are 0"):
        made = datasets.make(write("cube-play-v0.npz", rows))
    x = made.rows
    assert x["obs"].ravel().tolist() == [0, 1, 3, 5, 6] and x["next_obs"].ravel().tolist() == [1, 2, 4, 6, 7]
    assert x["action"].ravel().tolist() == [10, 11, 13, 15, 16] and made.firsts.tolist() == [0, 2, 3]
    assert x["truncated"].tolist() == [False, True, True, False, True]
    assert not x["terminated"].any() and not x["reward"].any()
    with pytest.raises(ValueError, match="differ in length"), pytest.warns(UserWarning):
        datasets.make(write("cube-play-v0.npz", rows | {"terminals": rows["terminals"][1:]}))


@pytest.mark.parametrize("what", ["group", "text", "nothing"])
def test_hdf5_that_holds_no_arrays_is_one_line(what):
    h5py = pytest.importorskip("h5py")
    write("mine.hdf5", theirs(arrays()))
    with h5py.File("mine.hdf5", "a") as file:
        del file["observations"]
        if what == "group":
            file["observations/desired_goal"] = file["observations/state"] = np.zeros((ROWS, 2))
        else:
            file["observations"] = "words" if what == "text" else h5py.Empty("f4")
    line = {"group": r"cannot be read: observations is a group \(desired_goal, state\), not an array"}.get(what, "obs")
    with pytest.raises(ValueError, match=line) as error:
        datasets.make("mine.hdf5")
    assert "\n" not in str(error.value)


def test_integers_are_narrowed_where_they_have_room():
    choices = np.arange(ROWS) % 2
    made = datasets.make(write("mine.npz", arrays(obs=choices.astype(np.uint8), action=choices, next_obs=choices[::-1]
                                                  .astype(np.uint8))))  # fmt: skip
    assert made.rows["obs"].dtype == np.uint8 and made.rows["action"].dtype == np.int32
    with pytest.raises(ValueError, match="action contains integers of more than 32 bits"):
        datasets.make(write("mine.npz", arrays(action=choices + 2**31)))
    with pytest.raises(ValueError, match="obs is not finite in row 0"):
        datasets.make(write("mine.npz", arrays(obs=np.full((ROWS, 2), 1e300))))


@pytest.mark.parametrize("name", ["mine.npz", "mine.safetensors", "mine.hdf5"])
def test_a_file_larger_than_the_memory_is_not_read(name, monkeypatch):
    write(name, arrays(obs=np.zeros((ROWS, 2**12))))
    monkeypatch.setattr(files, "free_memory", lambda: 2**19)
    monkeypatch.setattr(files, "narrow", lambda *_: pytest.fail("read"))
    line = rf"{name} cannot be read: it contains 0.000\d+ GiB and needs 2 times that .*, but only 0.000488 GiB .* free"
    with pytest.raises(ValueError, match=line):
        datasets.make(name)


def test_room_is_asked_for_copies_made_in_reading_too(monkeypatch):
    write("mine.safetensors", arrays())
    monkeypatch.setattr(files, "free_memory", lambda: 1.5 * Path("mine.safetensors").stat().st_size)
    with pytest.raises(ValueError, match="times that to read"):
        datasets.make("mine.safetensors")


def test_free_memory_is_that_of_this_machine(monkeypatch):
    import os

    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 2**20 < files.free_memory() <= pages
    monkeypatch.setattr(files.Path, "read_text", lambda self, **_: (_ for _ in ()).throw(FileNotFoundError()))
    assert 0 < files.free_memory() <= pages


def spoil(name):
    rows = arrays()
    {
        "missing": lambda: rows.pop("reward"),
        "object": lambda: rows.update(obs=np.array([None] * ROWS)),
        "text": lambda: rows.update(obs=np.array(["a"] * ROWS)),
        "scalar": lambda: rows.update(reward=np.array(1.0)),
        "length": lambda: rows.update(action=rows["action"][1:]),
        "shape": lambda: rows.update(reward=np.zeros((ROWS, 1))),
        "next": lambda: rows.update(next_obs=rows["obs"][:, :1]),
        "flag": lambda: rows.update(terminated=np.full(ROWS, 2.0)),
        "nan": lambda: rows["obs"].__setitem__((7, 1), np.nan),
        "empty": lambda: rows.update({key: x[:0] for key, x in rows.items()}),
        "twice": lambda: rows.update(observations=rows["obs"]),
    }[name]()
    return rows


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("missing", "the dataset lacks reward"), ("object", "mine.npz cannot be read: Object arrays"),
        ("text", "the dataset's obs has the dtype <U1"), ("scalar", "reward is a single number, not one per row"),
        ("length", "differ in length"), ("shape", r"the dataset's reward has the shape \[30, 1\], not \[30\]"),
        ("next", r"the dataset's next_obs has the shape \[30, 1\], not \[30, 2\]"),
        ("flag", "terminated contains other numbers than 0 and 1"), ("nan", "obs is not finite in row 7"),
        ("empty", "is empty"), ("twice", "it contains both obs and observations"),
    ],
)  # fmt: skip
def test_bad_files_are_one_line(what, line):
    with pytest.raises(ValueError, match=line) as error:
        datasets.make(write("mine.npz", spoil(what)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["mine.npz", "mine.safetensors", "mine.hdf5"])
@pytest.mark.parametrize("harm", ["gone", "cut", "noise", "folder", "empty"])
def test_damaged_files_are_one_line(name, harm, tmp_path):
    path = tmp_path / write(name, arrays())
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    elif harm == "noise":
        path.write_bytes(b"\x93NUMPY" + bytes(200))
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        if harm == "folder":
            path.mkdir()
    line = "there is no file" if harm in ("gone", "folder") else "cannot be read"
    with pytest.raises(ValueError, match=line) as error:
        datasets.make(name)
    assert "\n" not in str(error.value)


def test_an_npz_with_a_damaged_member_is_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as file:
        for key in arrays():
            file.writestr(f"{key}.npy", b"no array")
    with pytest.raises(ValueError, match="mine.npz cannot be read"):
        datasets.make("mine.npz")


def test_without_h5py_the_extra_is_named(monkeypatch):
    import sys

    open("mine.hdf5", "w").close()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError) as error:
        datasets.make("mine.hdf5")
    assert str(error.value) == 'h5py is not installed; to get it: pip install "prospect-rl[offline]"'


def test_actions_lie_within_the_bounds_and_may_touch_them():
    bounds = np.resize([[-1.0, 1.0], [1.0, -1.0]], (ROWS, 2))
    spec = toy_envs.Point().spec
    datasets.check_fits(datasets.make(write("mine.npz", arrays(action=bounds))), spec)
    bounds[4, 1] = 1.0001
    beyond = r"action \[-1.0, 1.000\d+\] in row 4 exceeds the bounds of test/point, -1.0"
    with pytest.raises(ValueError, match=beyond):
        datasets.check_fits(datasets.make(write("mine.npz", arrays(action=bounds))), spec)


def test_bounds_are_compared_in_single_precision():
    spec = toy_envs.Point().spec.__class__(**toy_envs.Point().spec.__dict__ | {"action": Box((2,), -0.4, (0.4, 0.1))})
    at = np.tile([np.float32(-0.4), np.float32(0.1)], (ROWS, 1))
    datasets.check_fits(datasets.make(write("mine.npz", arrays(action=at))), spec)


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (np.full(ROWS, 3), "action 3 in row 0 exceeds the bounds of probe/memory, 0 to 1"),
        (np.full(ROWS, -1), "action -1 in row 0"),
        (np.full(ROWS, 0.5), "action is float32, but probe/memory has 2 discrete actions"),
    ],
)
def test_choices_lie_in_their_range(action, line):
    spec = envs.make("probe/memory").spec
    with pytest.raises(ValueError, match=line):
        datasets.check_fits(datasets.make(write("mine.npz", arrays(action=action))), spec)
    datasets.check_fits(datasets.make(write("mine.npz", arrays(action=np.arange(ROWS) % 2))), spec)


def test_no_success_and_constant_features_are_no_errors():
    obs = np.random.default_rng(0).normal(size=(ROWS, 2))
    obs[:, 1] = 0.25
    made, card = datasets.make_with_card(
        write("mine.npz", arrays(obs=obs, reward=np.zeros(ROWS), action=np.ones((ROWS, 2))))
    )
    assert card["successes"] == 0 and card["constant features"] == [1]
    result = train(BC(hidden=(8,), batch_size=8, updates=5), toy_envs.Point(), budget=10, evals=1, dataset=made)
    assert np.isfinite(result.rows[-1]["learn/loss"])
