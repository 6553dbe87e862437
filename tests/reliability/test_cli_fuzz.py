"""Whatever is typed: an exit code, no traceback, and one line where the words were wrong.

Words are drawn for every command, its true flags and values that do not fit them. What would train, sweep, measure
or roll out is cut off behind all checks of the input; everything before that is the real thing.
"""

import contextlib
import functools
import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from prospect_rl.envs.names import unknown
from prospect_rl.experiments import bench
from prospect_rl.experiments.cli import main as cli

AGENTS = ("serene", "random_search", "td3", "ppo", "bc", "map_elites")
ENVS = ("maze/hard", "point/sparse", "probe/bandit", "lock/combination", "arm/redundant")
EXPERIMENTS = ("serene_maze", "mex_lock")
HEADS = [
    (),
    *(("run", agent, env) for agent in AGENTS for env in ENVS),
    *((command, name) for command in ("run", "sweep") for name in EXPERIMENTS),
    *((command,) for command in cli.COMMANDS),
    *((command, folder) for command in ("play", "watch", "export") for folder in ("nowhere", "damaged", "file", ".")),
    ("list", "agents"), ("list", "experiments"), ("show", "serene"), ("show", "serene_maze"), ("report", "serene_maze"),
    ("bench", "replay"), ("search", "mex_eta"),
]  # fmt: skip
"""How a command line begins; flags of its own follow."""
VALUES = (
    "", "0", "-1", "1", "2", "7.5", "-0.0", "1e999", "nan", "inf", "none", "true", "x", ",", "1,2", "1,,x", "0,0",
    "9" * 20, "9" * 5000, "٣", "²", "--", "-", "-h", "--help", "[red]", "[/]", "a\nb", "a\x00b", "\udcff", "%s", "{0}",
    "../..", "/", "file", "nowhere", "smoke", "repro", "serene", "maze/hard", "tensorboard", "eval/return>=1",
    "eval/return<=x", "serene,random_search",
)  # fmt: skip
"""Few of them fit the flag that they are given to."""


@functools.cache
def flags_of(head):
    """The true flags behind a head, as its help names them."""
    said = []
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit, ValueError):
        patch.setattr(cli.Parser, "print_help", lambda parser, file=None: said.append(parser.format_help()))
        cli.command([*head, "--help"])
    known = {"--debugs", *re.findall(r"--[a-z][\w.-]*", " ".join(said))}
    return tuple(sorted(known - {"--debug"}))  # it shows tracebacks


@st.composite
def lines(draw):
    """A head, cut or with a strange word in it at times, then flags with values."""
    head = draw(st.sampled_from(HEADS))
    strange = st.one_of(st.sampled_from(VALUES), st.text(max_size=6))
    words = list(head)
    if words and draw(st.integers(0, 5)) == 0:
        words[draw(st.integers(0, len(words) - 1))] = draw(strange)
    flag = st.sampled_from(flags_of(head))
    pairs = draw(st.lists(st.tuples(flag, st.one_of(st.none(), strange)), max_size=4))
    return [*words, *(word for pair in pairs for word in pair if word is not None)]


def trained(run, **options):
    """As far as a run goes before anything is compiled."""
    run.check(None)
    run.agent.bind(run.make_env().spec)
    rows = [{"seed": seed, "mark": 1, "unit": "steps", "used": 1, "eval/return": None} for seed in run.seeds]
    return SimpleNamespace(rows=rows, stopped=None)


def measured(name):
    if name is not None and name not in bench.BENCHES:
        raise unknown("bench", name, bench.BENCHES)
    return True


def refuse(*args, **kwargs):
    raise AssertionError("something is about to be compiled")


@pytest.fixture
def cut_off(tmp_path, monkeypatch):
    nothing = SimpleNamespace(finished=[], skipped=[], failed=[])
    for name, value in {
        "cli.run.train_run": trained, "cli.run._run_all": lambda jobs: 0,
        "sweeps.sweep.sweep": lambda *args, **kwargs: nothing,
        "cli.search.connect": lambda *args, **kwargs: SimpleNamespace(shutdown=lambda: None),
        "cli.search.Ray": lambda *args: None, "searches.together.run": lambda *args, **kwargs: None,
        "searches.tuning.run": lambda *args, **kwargs: None, "cli.search.conclude": lambda study: 0,
        "sweeps.workers.pool": lambda *args, **kwargs: contextlib.nullcontext(), "bench.run": measured,
        "cli.doctor.facts": lambda: [], "run.program.Program.__init__": refuse,
        "run.episode.watch": refuse, "run.episode.play": refuse,
        "run.machine.enable_compilation_cache": lambda: tmp_path,
    }.items():  # fmt: skip
        monkeypatch.setattr(f"prospect_rl.experiments.{name}", value)
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("[]")


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=lines())
@example(words=["run", "random_search", "point/sparse", "--seeds", "9" * 20])
@example(words=["run", "random_search", "point/sparse", "--budget", "9" * 20])
@example(words=["report", "--all"])
@example(words=["search", "mex_eta"])
@example(words=["data", "9" * 5000])
def test_any_words_end_in_a_code_and_at_most_one_line(words, cut_off, capsys):
    capsys.readouterr()  # what finding the flags has said
    sys.stderr.reconfigure(errors="backslashreplace")  # as the interpreter's own is
    code = cli.main(words)
    said = capsys.readouterr()
    event(f"exit code {code}")
    assert code in (0, 2), f"{words}: nobody's fault but ours: {said.err}"
    assert "Traceback" not in said.out + said.err
    if code == 2:
        assert said.err.startswith("prospect: ") and said.err.count("\n") == 1, said.err
        assert said.out == ""


def test_the_fuzz_knows_the_true_flags():
    assert {"--budget", "--mutation", "--env.horizon"} <= set(flags_of(("run", "serene", "maze/hard")))
    assert {"--tier", "--workers"} <= set(flags_of(("sweep", "serene_maze")))
    assert {"--gif", "--best"} <= set(flags_of(("play", "nowhere")))


def test_what_is_cut_off_lies_behind_the_checks(cut_off, capsys):
    assert cli.main("run random_search point/sparse --budget 200".split()) == 0
    assert cli.main("run random_search point/sparse --budget 1".split()) == 2
    assert "less than one iteration" in capsys.readouterr().err
