"""Minari in and out without a network: what goes out comes back to the last bit, and what cannot is one line."""

import json
import socket
import sys

import numpy as np
import pytest

from prospect_rl.envs import cache
from prospect_rl.envs.api import Dataset
from prospect_rl.envs.data import datasets
from prospect_rl.envs.data import minari as ours
from tests import toy_data

minari = pytest.importorskip("minari")
from gymnasium import spaces  # noqa: E402
from minari.data_collector import EpisodeBuffer  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{words}")
    for words in ("is set to None", "env_spec is None", "flags .terminals and timeouts. swapped")
]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Folders of their own, and no network."""

    def refused(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(datasets.DATASETS, "test/steps", ("tests.toy_data:Steps", {}))


ACTION = spaces.Box(-1, 1, (2,), np.float64)


def theirs(id, observation, action=ACTION, *, lengths=(3, 2), ends=True, obs=None):
    """A dataset of Minari's own making."""
    observation.seed(0)
    action.seed(0)
    episodes = []
    for length in lengths:
        seen = [observation.sample() for _ in range(length + 1)] if obs is None else obs[: length + 1]
        if isinstance(observation, spaces.Dict):
            seen = {key: np.array([one[key] for one in seen]) for key in observation.spaces}
        last = np.arange(length) == length - 1
        episodes.append(EpisodeBuffer(
            observations=seen, actions=np.array([action.sample() for _ in range(length)]),
            rewards=np.arange(length, dtype=np.float64), terminations=last & ends, truncations=np.zeros(length, bool),
        ))  # fmt: skip
    return minari.create_dataset_from_buffers(id, episodes, observation_space=observation, action_space=action)


@pytest.mark.parametrize(("env", "discrete"), [("point/sparse", False), ("lock/combination", True)])
def test_out_and_in_again_is_the_same_to_the_last_bit(env, discrete):
    made = datasets.make("test/steps", env=env)
    assert np.issubdtype(made.rows["action"].dtype, np.integer) == discrete
    ours.export(made, "mine/steps-v0", env)
    again, card = datasets.make_with_card("minari/mine/steps-v0")
    assert card["sha256"] == datasets.digest(again) == datasets.digest(made)
    for key, x in made.rows.items():
        assert again.rows[key].dtype == x.dtype and again.rows[key].tobytes() == np.asarray(x).tobytes(), key
    assert not list(cache.folder("datasets").glob("minari*")), "nothing is kept: the dataset may change"


def test_what_is_exported_knows_its_environment():
    made = datasets.make("test/steps", env="mujoco/hopper")
    ours.export(made, "steps-v0", "mujoco/hopper", fields={"horizon": 5}, author="me")
    found = minari.load_dataset("steps-v0")
    env = found.recover_environment()
    assert env.unwrapped.env.spec.id == "mujoco/hopper" and env.unwrapped.env.spec.horizon == 5
    assert found.observation_space == env.observation_space and found.action_space == env.action_space
    kept = found.storage.metadata
    assert kept["author"] == {"me"} and "ref_min_score" not in kept and kept["jpeg_encoding"] is False


def test_a_dataset_that_has_changed_is_read_anew():
    observation = spaces.Box(-1, 1, (2,), np.float64)
    theirs("mine/x-v0", observation)
    first = datasets.make_with_card("minari/mine/x-v0")[1]
    minari.delete_dataset("mine/x-v0")
    theirs("mine/x-v0", observation, lengths=(3, 4))
    second = datasets.make_with_card("minari/mine/x-v0")[1]
    assert (first["rows"], second["rows"]) == (5, 7) and first["sha256"] != second["sha256"]
    with pytest.raises(ValueError, match="minari/mine/x-v0 does not have the requested sha256"):
        datasets.make("minari/mine/x-v0", sha256=first["sha256"])


def test_rows_are_those_of_minari():
    found = theirs("mine/x-v0", spaces.Box(-1, 1, (2,), np.float64), lengths=(3, 1, 2), ends=False)
    made = datasets.make("minari/mine/x-v0")
    assert made.firsts.tolist() == [0, 3, 4] and made.firsts.dtype == np.int32
    assert made.rows["truncated"].tolist() == [False, False, True, True, False, True]
    assert not made.rows["terminated"].any()
    for first, episode in zip(made.firsts, found.iterate_episodes(), strict=True):
        rows = slice(first, first + len(episode.rewards))
        assert np.array_equal(made.rows["obs"][rows], episode.observations[:-1].astype(np.float32))
        assert np.array_equal(made.rows["next_obs"][rows], episode.observations[1:].astype(np.float32))
        assert np.array_equal(made.rows["action"][rows], episode.actions.astype(np.float32))
        assert np.array_equal(made.rows["reward"][rows], episode.rewards)
    assert {key: str(x.dtype) for key, x in made.rows.items()} == {
        "obs": "float32", "next_obs": "float32", "action": "float32", "reward": "float32", "terminated": "bool",
        "truncated": "bool",
    }  # fmt: skip


def test_named_parts_are_side_by_side_in_the_order_of_the_space():
    observation = spaces.Dict({"b": spaces.Box(0, 1, (2,), np.float64), "a": spaces.Box(2, 3, (1, 2)),
                               "c": spaces.Discrete(3, start=5)})  # fmt: skip
    assert list(observation.spaces) == ["a", "b", "c"], "gymnasium sorts them"
    theirs("mine/parts-v0", observation)
    obs = datasets.make("minari/mine/parts-v0").rows["obs"]
    assert obs.shape == (5, 5) and obs.dtype == np.float32
    assert np.all(obs[:, :2] >= 2) and np.all(obs[:, 2:4] <= 1) and set(obs[:, 4]) <= {0, 1, 2}
    some = datasets.make("minari/mine/parts-v0", keys=("c", "a")).rows["obs"]
    assert np.array_equal(some, obs[:, [4, 0, 1]])
    with pytest.raises(ValueError, match="its observations have no goal, but a, b, c"):
        datasets.make("minari/mine/parts-v0", keys=("goal",))


def test_choices_count_from_0():
    theirs("mine/x-v0", spaces.Discrete(4, start=3), spaces.Discrete(2, start=-1), lengths=(30,))
    rows = datasets.make("minari/mine/x-v0").rows
    assert set(rows["obs"]) == {0, 1, 2, 3} and rows["obs"].dtype == np.int32
    assert set(rows["action"]) == {0, 1} and rows["action"].dtype == np.int32


@pytest.mark.parametrize(
    ("observation", "action", "line"),
    [
        (spaces.Box(0, 255, (32, 32, 3), np.uint8), None, "its observations are images"),
        (spaces.Text(4), None, "its observations are Text"),
        (spaces.MultiBinary(3), None, "its observations are MultiBinary"),
        (spaces.Box(0, 1, (2,)), spaces.MultiDiscrete([2, 2]), "its actions are MultiDiscrete"),
    ],
)
def test_other_spaces_are_one_line(observation, action, line):
    theirs("mine/x-v0", observation, action or spaces.Discrete(2))
    with pytest.raises(ValueError, match=f"the Minari dataset mine/x-v0: {line}") as error:
        datasets.make("minari/mine/x-v0")
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_one_line(monkeypatch):
    with pytest.raises(ValueError, match="there is no local Minari dataset mine/x-v0: `minari download mine/x-v0`"):
        datasets.make("minari/mine/x-v0")
    with pytest.raises(ValueError, match="look like namespace/name-v0, not '../x-v0'"):
        datasets.recipe("minari/../x-v0")
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ValueError) as error:
        datasets.make("minari/mine/x-v0")
    assert str(error.value) == 'minari is not installed; to get it: pip install "prospect-rl[offline]"'


@pytest.mark.parametrize("harm", ["metadata", "data", "no metadata", "version", "memory"])
def test_damage_is_one_line(harm, monkeypatch):
    theirs("mine/x-v0", spaces.Box(-1, 1, (2,)))
    folder = ours.place("mine/x-v0") / "data"
    facts = json.loads((folder / "metadata.json").read_text())
    if harm == "metadata":
        (folder / "metadata.json").write_text("{")
    elif harm == "data":
        (folder / "main_data.hdf5").write_bytes(b"no")
    elif harm == "no metadata":
        (folder / "metadata.json").unlink()
    elif harm == "version":
        (folder / "metadata.json").write_text(json.dumps(facts | {"minari_version": "0.1.0"}))
    else:
        monkeypatch.setattr("prospect_rl.envs.data.files.free_memory", lambda: 1000)
    with pytest.raises(ValueError, match="the Minari dataset mine/x-v0: ") as error:
        datasets.make("minari/mine/x-v0")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"successors": False}, "has no next_obs.* successors=true"),
        ({"spoil": "next"}, "is not the next row's obs"), ({"spoil": "more"}, "cannot store the dataset's colour"),
        ({"spoil": "end"}, "neither terminated nor truncated"),
        ({"spoil": "nan"}, "obs is not finite in row 1"), ({"env": "lock/combination"}, "has the shape"),
    ],
)  # fmt: skip
def test_what_cannot_go_out_whole_is_one_line_and_leaves_nothing(fields, line):
    with pytest.raises(ValueError, match=line):
        ours.export(toy_data.Steps(**fields).build(), "mine/x-v0", "point/sparse")
    assert not ours.place("mine/x-v0").exists()


def test_a_taken_id_is_refused_and_left_alone(monkeypatch):
    made = datasets.make("test/steps")
    ours.export(made, "mine/x-v0", "point/sparse")
    with pytest.raises(ValueError, match="the Minari dataset mine/x-v0 exists already"):
        ours.export(made, "mine/x-v0", "point/sparse")
    assert datasets.digest(datasets.make("minari/mine/x-v0")) == datasets.digest(made)
    with pytest.raises(ValueError, match="look like namespace/name-v0, not 'mine/x'"):
        ours.export(made, "mine/x", "point/sparse")


def test_an_export_that_is_cut_short_leaves_nothing(monkeypatch):
    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("minari.dataset._storages.hdf5_storage.HDF5Storage.update_episodes", full)
    with pytest.raises(OSError, match="no space left"):
        ours.export(datasets.make("test/steps"), "mine/x-v0", "point/sparse")
    assert not ours.place("mine/x-v0").exists()


def test_observations_of_several_parts_go_out_flat():
    env = "minigrid/DoorKey-5x5-v0"
    count = 6
    rows = {
        "obs": np.arange(count * 3, dtype=np.uint8).reshape(count, 3), "action": np.arange(count, dtype=np.int32),
        "reward": np.zeros(count, np.float32), "terminated": np.zeros(count, bool), "truncated": np.arange(count) == 5,
    }  # fmt: skip
    rows["next_obs"] = rows["obs"] + np.uint8(3)
    made = Dataset(rows, np.zeros(1, np.int32))
    ours.export(made, "mine/flat-v0", env)
    assert datasets.digest(datasets.make("minari/mine/flat-v0")) == datasets.digest(made)
