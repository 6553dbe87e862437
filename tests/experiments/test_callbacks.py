"""Callbacks see a run and leave its bits alone; what they end, keep and film survives a crash like the run itself."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from PIL import Image

from prospect_rl import agents
from prospect_rl.experiments import Run, train
from prospect_rl.experiments.run import callbacks, checkpoint, reopen, video
from prospect_rl.experiments.run.callbacks import EarlyStop, SaveBest, best_folder, parse_stop
from prospect_rl.experiments.run.episode import watch
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.hooks import Callback, CallbackList
from prospect_rl.experiments.run.video import Video
from tests import toy_agents, toy_data, toy_envs, toy_runs

RUN = Run(toy_agents.Cloner(), toy_envs.Point(), (), (3,), 200, 8, 2)


def clone(folder, *watchers, **options):
    """Eight rows, at 25, 50 ... 200 updates; the loss falls from row to row."""
    return toy_runs.run("batches", folder, evals=8, callbacks=watchers, **options)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calm")
    return SimpleNamespace(folder=folder, result=clone(folder), files=files(folder))


def files(folder):
    """What a run leaves, but for the clock's file and the older checkpoints."""
    names = ("run.json", "metrics.jsonl", "result.json", "report.npz")
    last = checkpoint.steps(folder / "checkpoints")[-1]
    return {name: (folder / name).read_bytes() for name in names} | {
        last.name: (last / "state.safetensors").read_bytes()
    }


class Notes(Callback):
    """Keeps what it is told."""

    def __init__(self, fails_at=None):
        self.moments, self.closed, self.fails_at = [], 0, fails_at

    def watch(self, now):
        self.moments.append((now.iteration, [row["mark"] for row in now.new_rows], len(now.rows), now.at_row))
        if self.fails_at is not None and now.iteration >= self.fails_at:
            raise KeyError("the dashboard is gone")

    def close(self):
        self.closed += 1


def crash_in_chunk(iteration):
    """A progress function that ends the process's work, as a kill would."""

    def progress(told):
        if told["iteration"] >= iteration:
            raise ZeroDivisionError

    return progress


# --- being told --------------------------------------------------------------------------------------


def test_a_callback_is_told_everything_once_and_changes_nothing(calm, tmp_path):
    notes = Notes()
    clone(tmp_path, notes)
    assert files(tmp_path) == calm.files
    assert notes.moments[0] == (0, [], 0, False) and notes.closed == 1
    assert sum((marks for _, marks, _, _ in notes.moments), []) == [25, 50, 75, 100, 125, 150, 175, 200]
    assert notes.moments[-1] == (40, [200], 8, True)


def test_a_resumed_run_tells_the_rows_that_it_has_first(calm, fine, tmp_path):
    with pytest.raises(ZeroDivisionError):
        clone(tmp_path, progress=crash_in_chunk(17))
    notes = Notes()
    clone(tmp_path, notes)
    assert notes.moments[0] == (17, [25, 50, 75], 3, False)
    assert sum((marks for _, marks, _, _ in notes.moments), []) == [25, 50, 75, 100, 125, 150, 175, 200]
    finished = Notes()
    clone(tmp_path, finished)
    assert [marks for _, marks, _, _ in finished.moments] == [[25, 50, 75, 100, 125, 150, 175, 200]]
    assert files(tmp_path) == calm.files


def test_a_callback_that_fails_is_named_and_loses_nothing(calm, tmp_path):
    notes = Notes(fails_at=12)
    with pytest.raises(RuntimeError, match="^callback Notes failed: KeyError: 'the dashboard is gone'$"):
        clone(tmp_path, notes)
    at = notes.moments[-1][0]
    assert notes.closed == 1 and not (tmp_path / "lock.json").exists()
    assert int(checkpoint.steps(tmp_path / "checkpoints")[-1].name) == at >= 12, "saved where it failed"
    clone(tmp_path)
    assert files(tmp_path) == calm.files


def test_everyone_is_closed_and_the_first_failure_told():
    class Bad(Callback):
        def close(self):
            raise OSError("no disk")

    notes = Notes()
    with pytest.raises(RuntimeError, match="callback Bad failed: OSError: no disk"):
        CallbackList([Bad(), notes]).close()
    assert notes.closed == 1


def test_the_behaviour_and_the_state_of_a_moment_outlive_it(tmp_path):
    class Keep(Callback):
        kept = []

        def watch(self, now):
            self.kept.append(now.behaviour())

    result = clone(None, Keep())
    assert not np.array_equal(Keep.kept[0], Keep.kept[-1])
    np.testing.assert_array_equal(Keep.kept[-1], result.behaviour)
    Keep.kept.clear()
    toy_runs.run("segments-seeds", None, budget=42, evals=1, callbacks=[Keep()])
    assert Keep.kept[-1]["weights"].shape == (2, 2), "of the first seed"


# --- ending early ------------------------------------------------------------------------------------


def moment(values, **facts):
    rows = [{"mark": i, "iteration": i, "seed": 0, "eval/return": x} for i, x in enumerate(values)]
    return SimpleNamespace(rows=rows, **facts)


@pytest.mark.parametrize(
    ("stop", "values", "at"),
    [
        ({"threshold": 0.5}, [0.1, 0.4, 0.5, 0.2], 2),
        ({"threshold": 0.5, "better": "lower"}, [0.9, None, 0.6, 0.5], 3),
        ({"threshold": 0.95}, [0.1, None, 0.9], None),
        ({"patience": 2}, [0.1, 0.3, 0.3, 0.2, 0.9], 3),
        ({"patience": 2, "better": "lower"}, [0.5, 0.4, 0.5, 0.3, None, 0.3], 5),
        ({"patience": 3}, [None, None, 0.1, 0.1, 0.1], None),
    ],
)
def test_when_a_run_ends(stop, values, at):
    watcher = EarlyStop("eval/return", **stop)
    ends = [i for i in range(len(values)) if watcher.watch(moment(values[: i + 1]))]
    assert ends[:1] == ([] if at is None else [at])
    assert ends == list(range(at, len(values))) if at is not None else not ends, "once reached, for good"


def test_several_seeds_count_by_their_mean():
    rows = [{"mark": 5, "eval/return": 0.2}, {"mark": 5, "eval/return": 0.6}, {"mark": 9, "eval/return": None}]
    (first, second) = callbacks.values([*rows, {"mark": 9, "eval/return": 1.0}], "eval/return")
    assert first == (5, pytest.approx(0.4)) and second[0] == 9 and np.isnan(second[1])


def test_ended_early_is_not_finished_and_goes_on_to_the_same_bits(calm, tmp_path):
    losses = [row["learn/loss"] for row in calm.result.rows]
    assert losses == sorted(losses, reverse=True), "the loss falls"
    stop = EarlyStop("learn/loss", threshold=losses[2], better="lower")
    for _ in range(2):  # the second time there is nothing left to do
        result = clone(tmp_path, stop)
        assert result.stopped == f"learn/loss reached {losses[2]:.6g} at mark 75" and len(result.rows) == 3
        facts = json.loads((tmp_path / "result.json").read_text())
        assert facts["finished"] is False and facts["stopped"] == result.stopped and facts["digest"] == result.digest
        assert facts["rows"] == result.rows[-1:]
        assert checkpoint.steps(tmp_path / "checkpoints")[-1].name == f"{15:012d}"
    on = clone(tmp_path)
    assert on.stopped is None and files(tmp_path) == calm.files and Folder(tmp_path).result["finished"]
    again = clone(tmp_path, stop)
    assert again.stopped is None and files(tmp_path) == calm.files, "what is finished stays finished"


def test_a_run_that_goes_on_no_longer_says_that_it_has_ended(calm, fine, tmp_path):
    clone(tmp_path, EarlyStop("learn/loss", threshold=1e9, better="lower"))
    assert (tmp_path / "result.json").exists()
    with pytest.raises(ZeroDivisionError):
        clone(tmp_path, progress=crash_in_chunk(10))
    assert not (tmp_path / "result.json").exists()


def test_a_killed_run_ends_early_where_a_calm_one_does(fine, tmp_path):
    stop = EarlyStop("eval/length", patience=2)
    clone(tmp_path / "calm", stop)
    for iteration in (4, 14):  # before the end and in the very chunk after which it ends
        with pytest.raises(ZeroDivisionError):
            clone(tmp_path / "killed", stop, progress=crash_in_chunk(iteration))
    clone(tmp_path / "killed", stop)
    assert files(tmp_path / "killed") == files(tmp_path / "calm")
    assert "has not improved in 2 rows up to mark 75" in (tmp_path / "calm" / "result.json").read_text()


def test_bad_settings_are_one_line():
    for bad, said in [
        ({}, "either"), ({"threshold": 1.0, "patience": 1}, "either"), ({"patience": 0}, "at least 1"),
        ({"threshold": float("nan")}, "finite"), ({"patience": 1, "better": "more"}, "'higher' or 'lower'"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=said):
            EarlyStop("eval/return", **bad)
    with pytest.raises(ValueError, match="every must be at least 1, not 0"):
        Video(0)
    with pytest.raises(ValueError, match="better must be"):
        SaveBest(better="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown metric 'eval/retrun'; did you mean 'eval/return'?"):
        EarlyStop("eval/retrun", threshold=1).watch(moment([0.1]))  # type: ignore[arg-type]
    for watcher in (SaveBest(), Video()):
        with pytest.raises(ValueError, match=f"callback {type(watcher).__name__}: it needs a run with a folder"):
            clone(None, watcher)


def test_a_stop_is_typed_as_a_comparison():
    assert parse_stop("eval/return >= 0.9") == EarlyStop("eval/return", 0.9)
    assert parse_stop("learn/loss<=-1e-3") == EarlyStop("learn/loss", -1e-3, better="lower")
    for word in ("", "eval/return", "eval/return>0.9", "eval/return>=x", ">=1", "eval/return>=1e"):
        with pytest.raises(ValueError):
            parse_stop(word)


# --- keeping the best --------------------------------------------------------------------------------


def kept(folder, metric="learn/pair"):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(best_folder(folder, metric).rglob("*.safetensors"))
    }


def test_the_best_state_is_kept_and_a_crash_does_not_lose_it(fine, tmp_path):
    # The returns of eight rows: some go up, some down.
    options = {"evals": 8, "eval_episodes": 1}
    calm = toy_runs.run("rollouts", tmp_path / "calm", callbacks=[SaveBest()], **options)
    returns = [(row["eval/return"], row["iteration"]) for row in calm.rows]
    best = max(returns, key=lambda pair: pair[0])
    path = checkpoint.steps(best_folder(tmp_path / "calm"))[-1]
    assert (checkpoint.score_of(path), int(path.name)) == best
    with pytest.raises(ZeroDivisionError):
        toy_runs.run("rollouts", tmp_path / "killed", callbacks=[SaveBest()], progress=crash_in_chunk(30), **options)
    for folder in checkpoint.steps(tmp_path / "killed" / "checkpoints")[1:]:
        (folder / "manifest.json").unlink()  # the run falls behind what is kept
    toy_runs.run("rollouts", tmp_path / "killed", callbacks=[SaveBest()], **options)
    assert kept(tmp_path / "killed", "eval/return") == kept(tmp_path / "calm", "eval/return") != {}


def test_the_best_is_a_whole_checkpoint(calm, tmp_path):
    clone(tmp_path, SaveBest("learn/loss", better="lower"))
    named = checkpoint.last(best_folder(tmp_path, "learn/loss"), RUN.hash)
    np.testing.assert_array_equal(named[".agent"], calm.result.state)
    assert files(tmp_path) == calm.files


# --- films -------------------------------------------------------------------------------------------


@struct.dataclass
class Drawn(toy_envs.Point):
    """Pays for every step, by where it is."""

    def step(self, state, action, key):
        state, step = super().step(state, action, key)
        return state, step.replace(reward=jnp.sum(state[0]))

    def frame(self, state):
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[int(4 + 3 * state[0][0]), int(4 + 3 * state[0][1])] = 255
        return picture


def film(folder, **options):
    settings = {"seed": 3, "budget": 200, "evals": 8, "eval_episodes": 1, "dataset": toy_data.dataset(), **options}
    return train(toy_agents.Cloner(), Drawn(), callbacks=[Video(every=3, fps=10)], out=folder, **settings)


def test_films_stand_at_every_third_evaluation_and_show_its_episode(fine, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(video, "watch", lambda *what: shown.append(watch(*what)) or shown[-1])
    rows = film(tmp_path / "calm").rows
    for seen, row in zip(shown[1:], (rows[2], rows[5]), strict=True):
        assert seen.facts["return"] == pytest.approx(row["eval/return"], rel=1e-5) and seen.facts["return"]
        assert seen.facts["length"] == row["eval/length"]
    films = sorted((tmp_path / "calm" / "videos").iterdir())
    assert [int(path.stem) for path in films] == [0, 75, 150]
    with Image.open(films[0]) as picture:
        assert 1 < picture.n_frames <= 11 and picture.size == (8, 8)
    with pytest.raises(ZeroDivisionError):
        film(tmp_path / "killed", progress=crash_in_chunk(17))
    film(tmp_path / "killed")
    again = sorted((tmp_path / "killed" / "videos").iterdir())
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in films]


def test_an_environment_without_pictures_is_said_before_training(tmp_path):
    notes = Notes()
    with pytest.raises(ValueError, match="callback Video: .* cannot be rendered"):
        clone(tmp_path, notes, Video())
    assert [iteration for iteration, *_ in notes.moments] == [0]


def test_what_was_best_can_be_shipped(fine, tmp_path):
    train(agents.make("random_search", population=20), "point/sparse", budget=200, evals=10, out=tmp_path,
          callbacks=[SaveBest("eval/length", better="lower")])  # fmt: skip
    found = reopen.open_run(tmp_path)
    agent = found.run.agent.bind(found.run.make_env().spec)
    best = reopen.shipped(found, agent, best_folder(tmp_path, "eval/length"))
    assert np.shape(best) == np.shape(reopen.shipped(found, agent))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    lengths = [row["eval/length"] for row in rows]
    (kept, *_) = checkpoint.steps(best_folder(tmp_path, "eval/length"))[::-1]
    assert int(kept.name) == rows[lengths.index(min(lengths))]["iteration"], "of equals the first"
