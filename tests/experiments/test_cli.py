"""The command line: bad input is one line and exit code 2, whatever is typed."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import agents
import experiments.__main__ as cli
from experiments import options


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("experiments.runs.enable_compilation_cache", lambda: tmp_path)  # the tests have their own
    monkeypatch.chdir(tmp_path)


def run(capsys, *words):
    code = cli.main(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "a command must come first"),
        ("rnu", "unknown command 'rnu'; did you mean 'run'?"),
        ("--nope", "unknown option --nope"),
        ("run", "run needs a name first"),
        ("run serne maze/hard", "unknown agent or experiment 'serne'; did you mean 'serene'?"),
        ("run serene_mze", "did you mean 'serene_maze'?"),
        ("run serene maze/hrd", "unknown environment 'maze/hrd'; did you mean 'maze/hard'?"),
        ("run serene", "required: ENV"),
        ("run serene maze/hard --mutation x", "invalid FLOAT value: 'x'"),
        ("run serene maze/hard --mutation -1", "mutation must be above 0"),
        ("run serene maze/hard --hidden 5,x", "invalid INT,... value: '5,x'"),
        ("run serene maze/hard --budget 0", "must be a whole number from 1 up, not '0'"),
        ("run serene maze/hard --budget 5", "budget 5 is less than one iteration of Serene"),
        ("run serene maze/hard --seed -1", "--seed"),
        ("run serene maze/hard --seed 1 --seeds 2", "not both"),
        ("run serene maze/hard --nope 1", "unrecognized arguments: --nope 1"),
        ("run serene probe/bandit", "these fit: bc"),
        ("run serene_maze --tier papr", "invalid choice: 'papr'"),
        ("run serene_maze --agents serenne", "unknown agent 'serenne'; did you mean 'serene'?"),
        ("run serene_maze --workers 0", "whole number from 1 up"),
        ("sweep", "needs the name of an experiment"),
        ("sweep nope", "unknown experiment 'nope'"),
        ("sweep nope.py", "there is no file"),
        ("search", "required: EXPERIMENT"),
        ("search mex_ta", "did you mean 'mex_eta'?"),
        ("search mex_eta --trials 0", "whole number from 1 up"),
        ("search mex_eta --trials 10001", "--trials must be at most 10000"),
        ("list things", "invalid choice: 'things'"),
        ("list agents --fits maze/hardd", "did you mean 'maze/hard'?"),
        ("list envs --fits maze/hard", "--fits goes with"),
        ("show sereen", "unknown name 'sereen'; did you mean 'serene'?"),
        ("report", "needs the name of an experiment"),
        ("report serene_maze --tier repro", "no finished run of serene_maze (repro)"),
        ("report serene_maze --tier repro --from-summary", "there is no results/serene_maze/summary.csv"),
        ("play nowhere", "nowhere is no run folder"),
        ("play nowhere --best --index 3", "not allowed with argument"),
        ("export nowhere", "nowhere is no run folder"),
        ("bench nope", "unknown bench 'nope'"),
        ("doctor --deep", "unrecognized arguments: --deep"),
    ],
)
def test_bad_input_is_one_line(capsys, words, line):
    code, out, err = run(capsys, *words.split())
    assert (code, out) == (2, "")
    assert err.startswith("prospect: ") and err.count("\n") == 1
    assert line in err


WORDS = st.lists(
    st.one_of(
        st.sampled_from([*cli.COMMANDS, "serene", "serene_maze", "maze/hard", "--help", "--tier", "--budget", "_work"]),
        st.text(max_size=8),
    ),
    max_size=5,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS)
def test_no_words_print_a_traceback(words, capsys, monkeypatch):
    """What would really train, measure or sweep is replaced; parsing is not."""
    monkeypatch.setattr("experiments.single._run_here", lambda job: 0)
    monkeypatch.setattr("experiments.single._run_all", lambda jobs: 0)
    nothing = SimpleNamespace(finished=[], skipped=[], failed=[])
    monkeypatch.setattr("experiments.sweep.sweep", lambda *args, **kwargs: nothing)
    monkeypatch.setattr("experiments.search.connect", lambda *args, **kwargs: SimpleNamespace(shutdown=lambda: None))
    monkeypatch.setattr("experiments.bench.run", lambda name: name is None)
    monkeypatch.setattr("experiments.doctor.facts", lambda: [])
    monkeypatch.setattr("experiments.child.serve", lambda: 0)
    code = cli.main(words)
    said = capsys.readouterr()
    assert code in (0, 1, 2)
    assert "Traceback" not in said.out + said.err
    if code == 2:
        assert said.err.startswith("prospect: ") and said.err.count("\n") == 1


HELPS = ("--help", "run --help", "run serene --help", "run serene_maze --help", "sweep --help", "search --help")


@pytest.mark.parametrize("words", HELPS)
def test_help(capsys, words):
    code, out, _ = run(capsys, *words.split())
    assert code == 0 and len(out) > 50


def test_no_hyper_parameter_has_the_name_of_another_option(capsys):
    for name in agents.AGENTS:
        assert run(capsys, "run", name, "--help")[0] == 0, name


def test_help_is_the_docstring_under_each_field(capsys):
    _, out, _ = run(capsys, "run", "serene", "--help")
    assert "--mutation FLOAT" in out
    assert "Standard deviation of the mutation of a gene. (default: 0.05)" in " ".join(out.split())


def test_help_of_an_environment_comes_with_its_name(capsys):
    _, out, _ = run(capsys, "run", "random_search", "maze/hard", "--help")
    assert "--env.horizon" in out


def test_lists_and_shows(capsys):
    assert "novelty_search" in run(capsys, "list", "agents", "--fits", "probe/bandit")[1]
    assert "no: it needs" in run(capsys, "list", "agents", "--fits", "probe/bandit")[1]
    assert "maze/hard" in run(capsys, "list", "envs")[1]
    assert "serene_maze" in run(capsys, "list", "experiments")[1]
    assert "--gene-limit" in run(capsys, "show", "serene")[1]
    assert "2000" in run(capsys, "show", "maze/hard")[1]
    assert "novelty_search" in run(capsys, "show", "serene_maze")[1]


def test_an_error_that_is_nobodys_input_is_exit_1(capsys, monkeypatch):
    def broken():
        raise OSError("no disk")

    monkeypatch.setattr("experiments.doctor.facts", broken)
    code, _, err = run(capsys, "doctor")
    assert code == 1 and err == "prospect: OSError: no disk (--debug shows where)\n"
    with pytest.raises(OSError, match="no disk"):
        cli.main(["doctor", "--debug"])


def test_an_interrupt_is_exit_130(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.doctor.facts", interrupted)
    assert run(capsys, "doctor")[0] == 130


def test_doctor_warns_of_other_peoples_packages(capsys, monkeypatch):
    from experiments import doctor

    theirs = SimpleNamespace(origin="/else/where/__init__.py")
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: theirs)
    code, out, _ = run(capsys, "doctor")
    assert code == 1 and "'agents' is not ours: it loads from /else/where" in out


def test_a_failed_sweep_is_exit_1(capsys):
    from experiments.console import print_outcome
    from experiments.sweep import Job, Outcome

    job = Job({}, Path("/runs/x"), "maze/hard", "serene", (3,), 1, "h")
    assert print_outcome(Outcome(finished=[job])) == 0
    assert print_outcome(Outcome(failed=[(job, "ValueError: [bold]no")])) == 1
    assert "failed: maze/hard serene seed 3: ValueError: [bold]no" in capsys.readouterr().out


def test_a_run_from_start_to_export(capsys, tmp_path):
    """The whole path of a user: run, run again, play, watch, export."""
    words = "run novelty_search point/sparse --budget 700 --evals 2 --seed 3 --population 20".split()
    code, out, _ = run(capsys, *words)
    assert code == 0 and "seed 3" in out
    folder, picture = map(Path, out.splitlines()[-2:])
    assert picture == folder / "archive.png" and picture.stat().st_size > 1000
    assert folder.parent == tmp_path / "runs" / "single" / "novelty_search" / "point-sparse"
    known = json.loads((folder / "run.json").read_text())
    assert known["config"]["agent"]["population"] == 20
    again = run(capsys, *words)
    assert again[0] == 0 and "finished before" in again[2]

    code, out, err = run(capsys, "play", str(folder), "--best", "--gif", "way.gif")
    if code == 2:  # an environment may draw no pictures
        assert "draws no pictures" in err
        code, out, _ = run(capsys, "play", str(folder), "--best")
    assert code == 0 and "as stored" in out and "NOT" not in out
    assert Path(next(x for x in out.splitlines() if x.endswith(".png"))).read_bytes().startswith(b"\x89PNG")
    code, _, err = run(capsys, "play", str(folder), "--cell", "900,900")
    assert code == 2 and "no stored policy ends in cell 900,900" in err

    code, out, _ = run(capsys, "watch", str(folder), "--gif", "seen.gif", "--fps", "10")
    assert code == 0 and "return" in out and Path("seen.gif").read_bytes().startswith(b"GIF8")
    code, _, err = run(capsys, "watch", str(folder))
    assert code == 2 and "watch needs a terminal, or --gif FILE" in err
    code, _, err = run(capsys, "watch", str(folder), "--unseen", "--gif", "seen.gif")
    assert code == 2 and "point/sparse keeps no levels for evaluation" in err

    code, out, _ = run(capsys, "export", str(folder))
    rows = (folder / "archive.csv").read_text().splitlines()
    with np.load(folder / "report.npz") as file:
        assert len(rows) - 1 == np.isfinite(file["descriptor"]).all(axis=1).sum() > 0
    assert rows[0].startswith("index,fitness,area,descriptor_0,descriptor_1,gene_0")


def test_options_read_types_defaults_and_texts():
    from dataclasses import dataclass
    from typing import Literal

    @dataclass
    class Config:
        """A class in a function has a source too."""

        widths: tuple[int, ...] = (5, 5)
        """Widths
        of layers."""
        kind: Literal["a", "b"] = "a"
        on: bool = False
        most: float | None = None
        table: dict = None  # type: ignore[assignment]

    Config.__annotations__ = {
        "widths": tuple[int, ...], "kind": Literal["a", "b"], "on": bool, "most": float | None, "table": dict,
    }  # fmt: skip
    found = {option.name: option for option in options.options_of(Config)}
    assert list(found) == ["widths", "kind", "on", "most"]
    assert found["widths"].text == "Widths of layers."
    assert found["widths"].parse("3,4,5") == (3, 4, 5)
    assert found["kind"].parse("b") == "b"
    assert found["on"].parse("true") is True
    assert (found["most"].parse("none"), found["most"].parse("2")) == (None, 2.0)
    for name, word in (("kind", "c"), ("on", "yes"), ("widths", "x")):
        with pytest.raises(ValueError):
            found[name].parse(word)


def test_matplotlib_and_ray_are_not_loaded_for_a_list():
    import subprocess

    code = "import sys; from experiments.__main__ import main; main(['list', 'agents'])\n"
    code += "print([m for m in ('ray', 'matplotlib', 'scipy.stats') if m in sys.modules])"
    root = Path(cli.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
