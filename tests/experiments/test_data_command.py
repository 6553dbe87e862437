"""`prospect data` and `prospect run --dataset`: what there is, what is made, what is in it; bad words are one line."""

import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents import BC, CDE
from prospect_rl.envs.data import datasets
from prospect_rl.experiments import options, train
from prospect_rl.experiments.api import Data
from prospect_rl.experiments.cli import main as cli
from prospect_rl.experiments.run import reopen
from prospect_rl.experiments.run.config import Run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / "cache"))
    here = "prospect_rl.experiments.run.machine.enable_compilation_cache"
    monkeypatch.setattr(here, lambda: tmp_path)  # the tests have their own
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def run(capsys, *words):
    code = cli.main(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_every_registered_dataset_has_a_recipe_of_an_environment_and_flags_that_are_free():
    for name in datasets.DATASETS:
        made = datasets.recipe(name)
        assert getattr(made, "env", name.rpartition("/")[0]) in envs.ENVS
        flags = {option.name for option in options.options_of(type(made))}
        assert "seed" in flags and not flags & {"env", "author", "help"}


def test_list_names_all(capsys):
    code, out, _ = run(capsys, "data", "list")
    assert code == 0
    for name in ("maze2d/large/waypoints", "minigrid/DoorKey-8x8-v0/mixed", "mujoco/hopper/medium-expert"):
        assert name in out


def test_make_then_show_then_train(capsys, tmp_path):
    fields = ("--rows", "600", "--streams", "3")
    code, out, err = run(capsys, "data", "make", "maze2d/umaze/waypoints", *fields)
    assert code == 0, err
    place = out.strip()
    assert place.startswith(str(tmp_path / "cache" / "datasets" / "maze2d-umaze-waypoints-"))
    code, out, _ = run(capsys, "data", "show", "maze2d/umaze/waypoints", *fields)
    _, card = datasets.make_with_card("maze2d/umaze/waypoints", rows=600, streams=3)
    assert code == 0 and card["sha256"] in out and place in out and '"streams": 3' in out
    words = ("--hidden", "8", "--batch-size", "8", "--updates", "5", "--budget", "10", "--evals", "1")
    data = ("--dataset", "maze2d/umaze/waypoints", "--data.rows", "600", "--data.streams", "3")
    code, out, err = run(capsys, "run", "bc", "maze2d/umaze", *words, *data)
    assert code == 0 and "return of an evaluation" in out, err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("data", "required: action"), ("data look", "unknown action 'look'"),
        ("data list maze2d/umaze/waypoints", "`data list` takes no name"),
        ("data make", "data make needs the name of a dataset"),
        ("data make maze2d/umaze/waypoint", "did you mean 'maze2d/umaze/waypoints'?"),
        ("data make maze2d/umaze/waypoints --share 2", "share must be above 0 and at most 1"),
        ("data make maze2d/umaze/waypoints --rows x", "invalid INT value: 'x'"),
        ("data make maze2d/umaze/waypoints --colour red", "unknown option '--colour'"),
        ("data make maze2d/umaze/waypoints mine/x-v0", "only data export takes the id"),
        ("data export maze2d/umaze/waypoints", "only data export takes the id"),
        ("data export mine.npz mine/x-v0", "does not name its environment: add --env ENV"),
        ("data export mine.npz mine/x-v0 --env maze2d/umazee", "did you mean 'maze2d/umaze'?"),
        ("data show nowhere.npz", "there is no file"),
        ("data show x.csv", "x.csv cannot be read: data files end in .npz, .safetensors, .hdf5, .h5"),
        ("run bc maze2d/umaze --dataset x.pkl", "x.pkl cannot be read: data files end in .npz"),
        ("data make mujoco/hopper/medium --quantile 2", "quantile must be 0 to 1"),
        ("run bc maze2d/umaze", "bc learns from a dataset: add --dataset NAME"),
        ("run bc maze2d/umaze --dataset maze2d/umaze/waypoints --data.share 0", "share must be above 0 and at most 1"),
    ],
)  # fmt: skip
def test_bad_words_are_one_line(capsys, words, line):
    code, out, err = run(capsys, *words.split())
    assert (code, out) == (2, "")
    assert err.startswith("prospect: ") and err.count("\n") == 1 and line in err


def own(name, **others):
    """A file of 24 rows for `maze2d/umaze`: four walks, the first of which ends with a reward."""
    number, draw = np.arange(24), np.random.default_rng(0)
    rows = {
        "obs": draw.normal(size=(24, 4)), "action": draw.uniform(-1, 1, (24, 2)), "reward": number == 5,
        "terminated": np.zeros(24, bool), "truncated": number % 6 == 5,
    } | others  # fmt: skip
    np.savez(name, **rows)


def test_the_same_file_is_the_same_run_whatever_its_path(tmp_path, monkeypatch):
    own("mine.npz")
    _, card = datasets.make_with_card("mine.npz")

    def configured(name):
        run = Run(BC(), "maze2d/umaze", budget=100, dataset=Data(name, {"sha256": card["sha256"]}))
        return run.hash, run.config()["dataset"]

    paths = ["mine.npz", "./mine.npz", "../mine.npz", str(tmp_path / "mine.npz"), "copy.npz"]
    assert len({str(configured(name)) for name in paths}) == 1
    assert reopen.rebuild(Run(BC(), "maze2d/umaze", budget=100, dataset=Data("mine.npz", {"sha256": card["sha256"]}))
                        .config()).hash == configured("mine.npz")[0]  # fmt: skip
    named = Run(BC(), "maze2d/umaze", budget=100, dataset=Data("maze2d/umaze/waypoints", {"seed": 1}))
    assert named.config()["dataset"] == {"name": "maze2d/umaze/waypoints", "fields": {"seed": 1}}


def test_a_field_that_was_added_later_keeps_the_hash_of_runs_without_it():
    config = Run(CDE(), "maze2d/umaze", budget=30_000).config()
    assert "success_above" not in config["agent"]
    assert Run(CDE(success_above=0.5), "maze2d/umaze", budget=30_000).config()["agent"]["success_above"] == 0.5
    assert reopen.rebuild(config).agent == CDE()


@pytest.mark.filterwarnings("default")
def test_warnings_of_data_are_shown_once_and_are_notices_of_the_run(capsys, tmp_path):
    own("mine.npz", terminated=np.arange(24) == 11, truncated=np.arange(24) % 12 == 5)
    line = "maze2d/umaze does not terminate in 1 of 1 rows that the dataset marks as terminated"
    words = "--hidden 8 --batch-size 8 --updates 5 --budget 10 --evals 1 --out out --dataset ./mine.npz"
    code, _, err = run(capsys, "run", "bc", "maze2d/umaze", *words.split())
    assert code == 0 and " ".join(err.split()).count(line) == 1, err
    code, _, err = run(capsys, "run", "bc", "maze2d/umaze", *words.replace("./mine", str(tmp_path / "mine")).split())
    assert code == 0 and "finished before" in err
    with pytest.warns(UserWarning, match=line):
        result = train(BC(hidden=(8,), batch_size=8, updates=5), "maze2d/umaze", budget=10, evals=1,
                       dataset=datasets.make("mine.npz"))  # fmt: skip
    assert [notice for notice in result.notices if line in notice]


@pytest.mark.filterwarnings("default")
def test_warnings_of_other_commands_are_one_line(capsys):
    np.savez("reopen.npz", observations=np.zeros((4, 4)), actions=np.zeros((4, 2)), terminals=np.arange(4) == 3)
    code, _, err = run(capsys, "data", "show", "reopen.npz")
    assert code == 0 and err.count("\n") == 1, err
    assert err.startswith("note: ") and "reopen.npz is read in OGBench's format: terminals mark the ends of" in err
