"""The command line: bad input is one line and exit code 2, whatever is typed."""

import io
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prospect_rl import agents, envs
from prospect_rl.experiments import options
from prospect_rl.experiments.cli import main as cli

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "prospect_rl.experiments.run.machine.enable_compilation_cache", lambda: tmp_path
    )  # the tests have their own
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
        ("--nope", "unknown option '--nope'"),
        ("run", "run needs a name first"),
        ("run serne maze/hard", "unknown agent or experiment 'serne'; did you mean 'serene'?"),
        ("run serene_mze", "did you mean 'serene_maze'?"),
        ("run serene maze/hrd", "unknown environment 'maze/hrd'; did you mean 'maze/hard'?"),
        ("run emitter_study", "emitter_study has no default environment: prospect run emitter_study ENV"),
        ("run serene maze/hard --mutation x", "invalid FLOAT value: 'x'"),
        ("run serene maze/hard --mutation -1", "mutation must be above 0"),
        ("run serene maze/hard --hidden 5,x", "invalid INT,... value: '5,x'"),
        ("run serene maze/hard --budget 0", "must be an integer of at least 1, not '0'"),
        ("run serene maze/hard --budget 5", "budget 5 is less than one iteration of Serene"),
        ("run serene maze/hard --seed -1", "--seed"),
        ("run serene maze/hard --seed 1 --seeds 2", "not both"),
        ("run serene maze/hard --nope 1", "unknown option '--nope'; did you mean"),
        ("run serene probe/bandit", "these fit: bc"),
        ("run serene_maze --tier papr", "unknown --tier 'papr'; did you mean 'paper'?"),
        ("run serene_maze --agents serenne", "unknown agent 'serenne'; did you mean 'serene'?"),
        ("run serene_maze --workers 0", "integer of at least 1"),
        ("sweep", "needs the name of an experiment"),
        ("sweep nope", "unknown experiment 'nope'"),
        ("sweep nope.py", "file not found"),
        ("search", "required: EXPERIMENT"),
        ("search mex_ta", "did you mean 'mex_eta'?"),
        ("search mex_eta --trials 0", "integer of at least 1"),
        ("search mex_eta --trials 10001", "--trials must be at most 10000"),
        ("list things", "unknown kind 'things'; "),
        ("list agents --fits maze/hardd", "did you mean 'maze/hard'?"),
        ("list envs --fits maze/hard", "--fits can only be used with"),
        ("show sereen", "unknown name 'sereen'; did you mean 'serene'?"),
        ("report", "needs the name of an experiment"),
        ("report serene_maze --tier repro", "no finished run of serene_maze (repro)"),
        ("report serene_maze --tier repro --from-summary", "file not found: results/serene_maze/summary.csv"),
        ("play nowhere", "nowhere is not a run folder"),
        ("play nowhere --best --index 3", "not allowed with argument"),
        ("export nowhere", "nowhere is not a run folder"),
        ("bench nope", "unknown bench 'nope'"),
        ("doctor --deep", "unknown option '--deep'"),
        ("doctor deep", "unrecognized arguments: deep"),
        ("run serene maze/hard --budgt 5", "unknown option '--budgt'; did you mean '--budget'?"),
        ("run serene maze/hard --budgt=5", "did you mean '--budget'?"),
        ("run serene maze/hard --env.horizn 5", "did you mean '--env.horizon'?"),
        ("run bc maze2d/umaze --dataset maze2d/umaz/waypoints", "did you mean 'maze2d/umaze/waypoints'?"),
        ("run td3 mujoco/reacher --budget 20000", "budget 20000 ends before TD3 begins to learn: use at least"),
        ("run random_search point/sparse --seeds 3 --budget 5", "budget 5 is less than one iteration"),
        ("sweep serene_maze --teir repro", "did you mean '--tier'?"),
        ("list agents --fits qq", f"the nearest of {len(envs.ENVS)} is"),
        ("list envs --family mujco", "unknown family 'mujco'; did you mean 'mujoco'?"),
        ("list envs --grep nope", "no environment id contains 'nope'"),
        ("list agents --grep maze", "--grep can only be used with `list envs`"),
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
    monkeypatch.setattr("prospect_rl.experiments.cli.run._run_here", lambda job, callbacks: [])
    monkeypatch.setattr("prospect_rl.experiments.cli.run._run_all", lambda jobs: 0)
    nothing = SimpleNamespace(finished=[], skipped=[], failed=[])
    monkeypatch.setattr("prospect_rl.experiments.sweeps.sweep.sweep", lambda *args, **kwargs: nothing)
    monkeypatch.setattr(
        "prospect_rl.experiments.cli.search.connect", lambda *args, **kwargs: SimpleNamespace(shutdown=lambda: None)
    )
    monkeypatch.setattr("prospect_rl.experiments.bench.run", lambda name: name is None)
    monkeypatch.setattr("prospect_rl.experiments.cli.doctor.facts", lambda: [])
    monkeypatch.setattr("prospect_rl.experiments.sweeps.work.serve", lambda: 0)
    code = cli.main(words)
    said = capsys.readouterr()
    assert code in (0, 1, 2)
    assert "Traceback" not in said.out + said.err
    if code == 2:
        assert said.err.startswith("prospect: ") and said.err.count("\n") == 1


HELPS = {
    "--help": "usage: prospect COMMAND", "run --help": "prospect run AGENT [ENV]",
    "run serene --help": "usage: prospect run serene [ENV] [options]",
    "run serene_maze --help": "usage: prospect run serene_maze", "sweep --help": "usage: prospect sweep EXPERIMENT",
    "sweep serene_maze --help": "usage: prospect sweep serene_maze", "search --help": "usage: prospect search",
}  # fmt: skip


@pytest.mark.parametrize(("words", "first"), HELPS.items())
def test_help(capsys, words, first):
    code, out, _ = run(capsys, *words.split())
    assert code == 0 and len(out) > 50 and out.startswith(first)
    assert "--debug" in out or words == "run --help"


def test_help_of_an_agent_is_short_and_begins_with_its_own_flags(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(capsys, "run", "serene", "--help")
    assert out.count("\n") <= 90 and max(map(len, out.splitlines())) < 80
    assert out.index("--chunk") < out.index("--budget") and out.index("--emitter") < out.index("--help")
    assert "minigrid" not in out and "prospect list envs" in " ".join(out.split())
    assert "--dataset" not in out and "--dataset" in run(capsys, "run", "bc", "--help")[1]


def test_version(capsys):
    from importlib.metadata import version

    assert run(capsys, "--version") == (0, f"prospect {version('prospect-rl')}\n", "")


def test_no_hyper_parameter_has_the_name_of_another_option(capsys):
    for name in agents.AGENTS:
        assert run(capsys, "run", name, "--help")[0] == 0, name


def test_help_is_the_docstring_under_each_field(capsys):
    _, out, _ = run(capsys, "run", "serene", "--help")
    assert "--mutation FLOAT" in out
    text = next(option.text for option in options.options_of(agents.Serene) if option.name == "mutation")
    assert f"{text} (default: 0.05)" in " ".join(out.split())


CLEAR = "serene emitter_study mex mex_mb mex_tabular elmur ppo_elmur cde optidice ppo sac td3".split()


@pytest.mark.parametrize("name", CLEAR)
def test_help_of_a_flag_is_a_sentence(name):
    for option in options.options_of(agents.AGENTS[name]):
        text = option.text
        assert len(text.split()) >= 4 and not text.startswith("Of ") and text.endswith("."), f"{option.name}: {text}"


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


def test_lists_of_a_family_and_by_a_part_of_the_id(capsys):
    _, out, _ = run(capsys, "list", "envs", "--family", "maze2d")
    assert "maze2d/umaze" in out and "pointmaze" not in out and "maze/hard" not in out
    _, out, _ = run(capsys, "list", "envs", "--grep", "UMAZE")
    assert "maze2d/umaze" in out and "pointmaze/umaze" in out and "large" not in out


def test_lists_shows_and_the_doctor_speak_json(capsys, monkeypatch):
    monkeypatch.setattr(
        "prospect_rl.experiments.cli.doctor.facts", lambda: [("python", "3"), ("warning", "[a]"), ("warning", "b")]
    )

    def said(*words):
        return json.loads(run(capsys, *words, "--json")[1])

    assert [row["environment"] for row in said("list", "envs", "--family", "lock")] == ["lock/combination"]
    fits = {row["agent"]: row["fits probe/bandit"] for row in said("list", "agents", "--fits", "probe/bandit")}
    assert fits["ppo"] == "yes" and fits["serene"].startswith("no: ")
    assert "serene_maze" in [row["experiment"] for row in said("list", "experiments")]
    flags = {row["flag"]: row["default"] for row in said("show", "serene")["hyper-parameters"]}
    assert flags["--population"] == "100"
    assert said("show", "maze/hard")["name"] == "maze/hard"
    assert said("show", "serene_maze")["claims"]
    assert said("doctor") == {"python": "3", "warnings": ["[a]", "b"]}


def test_a_table_keeps_every_letter_in_a_narrow_terminal_and_its_rows_whole_elsewhere(capsys):
    from rich.console import Console

    from prospect_rl.experiments.cli import listing

    rows = listing.agents_rows("probe/bandit")
    narrow = Console(file=io.StringIO(), width=40)
    narrow.print(listing.table(rows))
    shown = narrow.file.getvalue()
    assert "…" not in shown and max(map(len, shown.splitlines())) <= 40
    out = run(capsys, "list", "agents", "--fits", "probe/bandit")[1]
    assert len(out.splitlines()) == len(rows) + 4 and all(row["what it is"] in out for row in rows)


def test_a_long_line_is_not_broken_where_there_is_no_terminal(capsys):
    from prospect_rl.experiments.terminal import err, out

    for console in (out(), err()):
        console.print("word " * 200)
    said = capsys.readouterr()
    assert said.out == said.err == "word " * 200 + "\n"


def test_a_locale_without_the_letters_stops_nothing(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert cli.main(["list", "envs", "--family", "lock"]) == 0
    sys.stdout.flush()
    said = sys.stdout.buffer.getvalue()
    assert b"lock/combination" in said and b"?" in said


LITERAL = "br[ack]et, a[/b]c, [bold], :smile: and \\[red]"


def test_what_users_name_is_printed_as_it_is(capsys):
    from prospect_rl.experiments.terminal import err, out, table

    cells = table(LITERAL)
    cells.add_row(LITERAL)
    for console in (out(), err()):
        console.print(LITERAL)
        console.print(cells)
    said = capsys.readouterr()
    assert said.out == said.err and said.out.count(LITERAL) == 3


def test_files_print_to_the_consoles_that_know_no_markup():
    """Whoever makes a console of their own, or a table whose columns crop, would print users' words otherwise."""
    root = ROOT / "experiments"
    doors = {"terminal.py", "watch.py"}  # the consoles themselves; pictures
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "rich.markup" not in text and "soft_wrap" not in text.replace("soft_wrap=True, force", ""), path
        assert path.name in doors or not re.search(r"\bConsole\(", text), path


@pytest.fixture
def learner(monkeypatch):
    """An agent with a run of its own."""
    from prospect_rl.agents.api import DefaultRun

    monkeypatch.setattr(agents.BC, "default_run", DefaultRun("maze2d/umaze", 321, "maze2d/umaze/waypoints"))
    jobs = []
    monkeypatch.setattr("prospect_rl.experiments.cli.run._run_here", lambda job, callbacks: jobs.append(job) or [])
    return jobs


@pytest.mark.parametrize(
    ("words", "env", "budget", "dataset"),
    [
        ("", "maze2d/umaze", 321, "maze2d/umaze/waypoints"),
        ("maze2d/umaze", "maze2d/umaze", 321, "maze2d/umaze/waypoints"),
        ("--dataset maze2d/umaze/waypoints --data.seed 3", "maze2d/umaze", 321, "maze2d/umaze/waypoints"),
        ("--budget 400", "maze2d/umaze", 400, "maze2d/umaze/waypoints"),
        (
            "maze2d/medium --dataset=maze2d/medium/waypoints --data.seed 3",
            "maze2d/medium",
            321,
            "maze2d/medium/waypoints",
        ),
    ],
)
def test_an_agent_alone_runs_what_it_says_it_learns(capsys, learner, words, env, budget, dataset):
    assert run(capsys, "run", "bc", *words.split()) == (0, "", "")
    (job,) = learner
    found = job.payload
    assert (found["env"], found["budget"], found["dataset"]["name"]) == (env, budget, dataset)
    assert found["eval_episodes"] == 5
    assert found["dataset"]["fields"] == ({"seed": 3} if "data.seed" in words else {})


def test_the_data_of_an_agents_own_run_is_for_its_environment_alone(capsys, learner):
    code, _, err = run(capsys, "run", "bc", "maze2d/medium")
    assert code == 2 and "add --dataset NAME" in err
    _, out, _ = run(capsys, "run", "bc", "--help")
    said = " ".join(out.split())
    assert "default: maze2d/umaze; see" in said and "gradient updates (default: 321)" in said
    assert "(default: maze2d/umaze/waypoints)" in said


def test_what_never_came_is_no_negative_number(capsys):
    from prospect_rl.experiments.cli.run import _print_row

    _print_row({"seed": 0, "ledger/first_0": 12, "ledger/reached_0": -1, "eval/return": -1.0}, "maze/hard")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows if len(row) == 2] == ["12", "never", "-1"]


def test_several_seeds_end_with_a_table(capsys):
    from prospect_rl.experiments.cli.run import _print_seeds

    rows = [{"seed": seed, "eval/return": x, "ledger/coverage": None} for seed, x in enumerate((0.5, 1.0, 2.0))]
    _print_seeds(rows, "mujoco/reacher")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row][:4] == [
        ["0", "0.5", "–"], ["1", "1", "–"], ["2", "2", "–"], ["mean", "1.167", "–"],
    ]  # fmt: skip
    name, interval, nothing = rows[-2]
    low, high = map(float, interval.split(" to "))
    assert name == "95 % interval" and low < 1.167 < high and nothing == "–"


def test_tables_of_runs_say_metrics_in_words_and_need_no_interval(capsys):
    from prospect_rl.experiments.cli.run import _print_row, _print_seeds

    rows = [{"seed": seed, "eval/success": x, "unseen/return": x} for seed, x in enumerate((0.5, 1.1))]
    _print_seeds(rows, "minigrid/DoorKey-5x5-v0")
    said = capsys.readouterr().out
    assert "success rate" in said and "return on unseen levels" in said and "unseen return" not in said
    assert [x.strip() for x in said.splitlines()[-2].split("│")[1:-1]] == ["95 % interval", "–", "–"]
    _print_row({"seed": 0, "used": 5, "archive/best_0": 0.5, "mine/own": 1}, "maze/hard")
    said = capsys.readouterr().out
    assert "best reward in the far goal, now stored" in said and "used" in said and "mine/own" in said


def test_notices_of_a_sweep_are_printed_once(capsys, tmp_path):
    from prospect_rl.experiments.cli.outcome import print_outcome
    from prospect_rl.experiments.sweeps.job import Job, Outcome

    jobs = [Job({}, tmp_path / str(seed), "maze/hard", "serene", (seed,), 1, "h") for seed in range(4)]
    for job, text in zip(jobs, ('["[b]full"]', '["[b]full", "other"]', '["[b]full"', "{}"), strict=True):
        job.out.mkdir()
        (job.out / "notices.json").write_text(text)
    assert print_outcome(Outcome(finished=jobs[:1], failed=[(job, "no") for job in jobs[1:]])) == 1
    assert capsys.readouterr().err.splitlines() == [
        "note: maze/hard serene seed 0 and 1 more: [b]full", "note: maze/hard serene seed 1: other",
    ]  # fmt: skip


def test_a_picture_is_drawn_whatever_backend_a_notebook_has_set(tmp_path):
    import subprocess

    code = "from pathlib import Path\nfrom prospect_rl.experiments.cli.main import main\nmain(['--version'])\n"
    code += "from prospect_rl.experiments.reports import plots\n"
    code += "plots.save(plots.panels([1], (2, 2), (0, 0))[0], Path('x.png'))\n"
    code += "import sys; assert 'matplotlib.pyplot' not in sys.modules"
    names = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | names, capture_output=True)
    assert done.returncode == 0 and (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG"), done.stderr


def test_an_error_that_is_nobodys_input_is_exit_1(capsys, monkeypatch):
    def broken():
        raise OSError("no disk")

    monkeypatch.setattr("prospect_rl.experiments.cli.doctor.facts", broken)
    code, _, err = run(capsys, "doctor")
    assert code == 1 and err == "prospect: OSError: no disk (--debug shows where)\n"
    with pytest.raises(OSError, match="no disk"):
        cli.main(["doctor", "--debug"])


def test_an_interrupt_is_exit_130(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("prospect_rl.experiments.cli.doctor.facts", interrupted)
    assert run(capsys, "doctor")[0] == 130


def test_a_failed_sweep_is_exit_1(capsys):
    from prospect_rl.experiments.cli.outcome import print_outcome
    from prospect_rl.experiments.sweeps.job import Job, Outcome

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
        assert "cannot be rendered" in err
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
    assert code == 2 and "point/sparse has no unseen levels" in err

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

    code = "import sys; from prospect_rl.experiments.cli.main import main; main(['list', 'agents'])\n"
    code += "print([m for m in ('ray', 'matplotlib', 'scipy.stats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
