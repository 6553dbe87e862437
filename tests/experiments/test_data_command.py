"""`prospect data` and `prospect run --dataset`: what there is, what is made, what is in it; bad words are one line."""

import pytest

import envs
import experiments.__main__ as cli
from envs import datasets
from experiments import options


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / "cache"))
    for place in ("experiments.runs", "experiments.data"):
        monkeypatch.setattr(f"{place}.enable_compilation_cache", lambda: tmp_path)  # the tests have their own
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
    assert code == 0 and "eval/return" in out, err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("data", "required: action"), ("data look", "invalid choice: 'look'"),
        ("data list maze2d/umaze/waypoints", "`data list` takes no name"),
        ("data make", "data make needs the name of a dataset"),
        ("data make maze2d/umaze/waypoint", "did you mean 'maze2d/umaze/waypoints'?"),
        ("data make maze2d/umaze/waypoints --share 2", "share above 0 to 1"),
        ("data make maze2d/umaze/waypoints --rows x", "invalid INT value: 'x'"),
        ("data make maze2d/umaze/waypoints --colour red", "unknown option '--colour'"),
        ("data make maze2d/umaze/waypoints mine/x-v0", "others take no id"),
        ("data export maze2d/umaze/waypoints", "data export needs a name and the id"),
        ("data export mine.npz mine/x-v0", "does not say which environment it is of: give --env"),
        ("data export mine.npz mine/x-v0 --env maze2d/umazee", "did you mean 'maze2d/umaze'?"),
        ("data show nowhere.npz", "there is no file"),
        ("data make mujoco/hopper/medium --quantile 2", "quantile must be 0 to 1"),
        ("run bc maze2d/umaze", "bc learns from a dataset: give --dataset NAME"),
        ("run bc maze2d/umaze --dataset maze2d/umaze/waypoints --data.share 0", "share above 0"),
    ],
)  # fmt: skip
def test_bad_words_are_one_line(capsys, words, line):
    code, out, err = run(capsys, *words.split())
    assert (code, out) == (2, "")
    assert err.startswith("prospect: ") and err.count("\n") == 1 and line in err
