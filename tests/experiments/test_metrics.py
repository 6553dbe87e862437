"""Every metric that a run writes is registered in words, and the places where it is said to be computed exist."""

import ast
import csv
import math
import re
from functools import cache
from pathlib import Path

import pytest

from prospect_rl.experiments.api import Scores
from prospect_rl.experiments.metrics import METRICS, PLACES, metric_of, words_of
from prospect_rl.experiments.metrics_page import page
from prospect_rl.experiments.register import EXPERIMENTS, load

ROOT = Path(__file__).parents[2]
GROUPS = {name.split("/")[0] for name in METRICS if "/" in name}
WRITERS = sorted(
    [
        *(ROOT / "agents").rglob("*.py"),
        *(ROOT / "experiments" / "run" / f"{name}.py" for name in ("driver", "ledger", "rows")),
    ]
)


@cache
def functions(path: Path) -> dict[str, ast.AST]:
    """The functions and classes of a file by their dotted names."""
    found = {}

    def walk(node: ast.AST, before: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                found[name := f"{before}{child.name}"] = child
                walk(child, f"{name}.")

    walk(ast.parse(path.read_text("utf-8")), "")
    return found


def literals(node: ast.AST) -> set[str]:
    """The texts in a piece of code, those of f-strings with their fields as `{}`."""
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.JoinedStr):
            found.add("".join(str(x.value) if isinstance(x, ast.Constant) else "{}" for x in part.values))
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            found.add(part.value)
    return found


def constants(path: Path, node: ast.AST) -> set[str]:
    """The texts that a piece of code uses by the name of a constant of its module."""
    known = {
        line.targets[0].id: line.value.value
        for line in ast.parse(path.read_text("utf-8")).body
        if isinstance(line, ast.Assign)
        and isinstance(line.targets[0], ast.Name)
        and isinstance(line.value, ast.Constant)
    }
    used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return {value for name, value in known.items() if name in used and isinstance(value, str)}


def keys(node: ast.AST) -> set[str]:
    """The texts that are keys of a dict made in a piece of code: what it writes, not what it reads."""
    named = (key for part in ast.walk(node) if isinstance(part, ast.Dict) for key in part.keys)
    return {key.value for key in named if isinstance(key, ast.Constant) and isinstance(key.value, str)}


@pytest.mark.parametrize("name", METRICS)
def test_the_places_where_it_is_computed_exist_and_name_it(name):
    metric = METRICS[name]
    said = re.sub(r"_?\{k\}$", "", name).rpartition("/")[2]
    texts = set()
    assert metric.where and metric.words
    for place in metric.where:
        file, _, attribute = place.partition(": ")
        assert attribute in functions(ROOT / file), place
        texts |= literals(functions(ROOT / file)[attribute]) | constants(ROOT / file, functions(ROOT / file)[attribute])
    if "/" in name and not name.startswith("exam"):
        tails = {text.rpartition("/")[2].rstrip("_") for text in texts}
        assert said in tails, f"none of {metric.where} writes {said!r}"


def test_every_metric_in_the_source_is_registered_with_its_place():
    pattern = re.compile(rf"({'|'.join(GROUPS)})/[a-z_0-9]+")
    seen = set()
    for path in WRITERS:
        for attribute, node in functions(path).items():
            if isinstance(node, ast.ClassDef):
                continue
            for text in filter(pattern.fullmatch, keys(node) if "agents" in path.parts else literals(node)):
                metric = metric_of(text if text != "archive/best" else "archive/best_0")
                seen.add(metric.name)
                if "agents" in path.parts:
                    place = f"{path.relative_to(ROOT).as_posix()}: {attribute}"
                    assert any(place == w or place.startswith(f"{w}.") for w in metric.where), (text, place)
    assert {"learn/value", "bonus/used", "ledger/coverage", "collect/failed"} <= seen


def test_every_metric_of_the_committed_tables_is_registered():
    from prospect_rl.experiments.reports.records import HEAD

    names = set()
    for path in (ROOT / "results").glob("*/summary.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            names |= set(next(csv.reader(file))) - set(HEAD)
    assert len(names) > 50
    assert not [name for name in names if words_of(name) == name]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_metric_of_an_experiment_is_registered(name):
    experiment = load(name)
    claimed = [claim.metric for claim in experiment.claims]
    for metric in (*experiment.derived, *experiment.metrics, *experiment.sums, *claimed):
        metric_of(metric)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_claims_have_the_scores_of_the_register(name):
    """Thus an interval follows from the metric alone. That of a coverage near 1 needs a rival: see `METHODS_NOTE`."""
    for claim in load(name).claims:
        assert claim.right or not claim.metric.startswith(("ledger/coverage", "ledger/uniformity"))
        assert claim.scores == Scores.of(claim.metric, claim.env), claim.name


@pytest.mark.parametrize("env", ["", "maze/hard", "point/sparse", "memory/tmaze"])
def test_no_two_metrics_have_the_same_words(env):
    names = [name.replace("{k}", "0").replace("{exam}", "900") for name in METRICS]
    words = [words_of(name, env) for name in names]
    assert len(set(words)) == len(words)
    assert not any("{" in text or "_" in text for text in words)


def test_words_and_bounds_are_the_environments():
    assert words_of("ledger/best_0", "maze/hard") == "best reward in the far goal"
    assert words_of("ledger/best_3") == "best reward in area 3"
    assert words_of("exam/9600/success", "memory/tmaze") == "success rate in T-Mazes of 9,600 steps"
    assert words_of("exam/late/success") == "success rate in exam late"
    assert words_of("of a clean controller") == "controller ratio"
    assert words_of("learn/my_own") == "learn/my_own"
    maze, robot = metric_of("eval/return", "maze/hard"), metric_of("eval/return", "mujoco/hopper")
    assert (maze.kind, maze.low, maze.high) == ("bounded", 0, 1) and (robot.kind, robot.high) == ("real", math.inf)
    assert metric_of("climb_1").kind == "skewed" and metric_of("ledger/coverage").kind == "real"


def test_areas_have_a_name_each():
    from prospect_rl import envs

    for beginning, place in PLACES.items():
        ids = [id for id in envs.ENVS if id.startswith(beginning)]
        assert ids, beginning
        assert all(len(place.areas) == envs.make(id).spec.areas for id in ids if place.areas)


@pytest.mark.parametrize(("wrong", "near"), [("eval/retrun", "eval/return"), ("ledger/best_x", "ledger/best_{k}")])
def test_an_unknown_metric_is_told_with_the_nearest(wrong, near):
    with pytest.raises(ValueError, match=re.escape(f"did you mean {near!r}")):
        metric_of(wrong)


def test_the_page_names_every_metric():
    text = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert text == page(), "made anew by: prospect report --all"
    assert all(f"| `{name}` |" in text for name in METRICS)
