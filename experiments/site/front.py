"""The front page of the site: verdicts on claims, scores of agents on tasks, and benchmarks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from prospect_rl.experiments.bench import BENCHES, files, holds
from prospect_rl.experiments.metrics import number
from prospect_rl.experiments.reports.overview import KINDS, ORDER
from prospect_rl.experiments.site.experiment import difference, listed, section, sortable, verdict, with_interval
from prospect_rl.experiments.site.html import Html, cell, element, markup, prose, slug, table
from prospect_rl.experiments.site.results import Point, Results, named


def page(every: Sequence[Results], benches: Path) -> Html:
    """The body of the page; `benches` is the folder with one JSON file per benchmark."""
    parts = {
        "experiments": ("Experiments", _experiments(every)),
        "claims": ("Claims", _ledger(every)),
        "scores": ("Final scores", _scores(every)),
        "benches": ("Speed and memory", _benches(benches)),
    }
    links = [element("li", element("a", title, href=f"#{name}")) for name, (title, _) in parts.items()]
    head = (
        "Agents for sparse rewards, held against the claims of their papers. A claim is written down before its runs; "
        "one that fails stays."
    )
    return markup([
        element(
            "header",
            element("h1", "Prospect: results"),
            element("p", head),
            _counts(every),
            element("nav", element("ul", links), aria_label="Sections"),
        ),
        element("main", [section(name, title, content) for name, (title, content) in parts.items()]),
    ])  # fmt: skip


def _counts(every: Sequence[Results]) -> Html:
    """Number of verdicts on papers' claims by outcome; our own checks are counted separately."""
    rows = [(one.kind, one.outcome) for results in every for one in results.claims]
    badges = [
        element("li", element("span", f"{rows.count(('paper', name))} {name}", class_=f"verdict {slug(name)}"))
        for name in ORDER
    ]
    checks = ", ".join(f"{rows.count(('check', name))} {name}" for name in ORDER if ("check", name) in rows)
    aside = element("p", f"Beside these claims of papers, checks of ours: {checks}.", class_="note") if checks else None
    return markup([element("ul", badges, class_="counts"), aside])


def _link(results: Results, text: str, fragment: str = "") -> Html:
    return element("a", text, href=f"{results.experiment.name}.html{fragment}")


def _experiments(every: Sequence[Results]) -> Html:
    lines = []
    for results in every:
        outcomes = [one.outcome for one in results.claims]
        counts = [sortable(outcomes.count(name)) for name in ORDER]
        title = cell(_link(results, results.experiment.title), kind="words")
        lines.append([results.experiment.name, title, results.tier_name, sortable(len(results.rows)), *counts])
    return table(["name", "experiment", "tier", "seeds", *ORDER], lines, caption="Experiments")


def _ledger(every: Sequence[Results]) -> Html:
    """All claims: papers' claims before our own checks, failed ones first within each."""
    kinds, outcomes = list(KINDS), list(ORDER)
    claims = [(results, one) for results in every for one in results.claims]
    claims.sort(key=lambda pair: (kinds.index(pair[1].kind), outcomes.index(pair[1].outcome)))
    lines = []
    for results, one in claims:
        name = _link(results, one.claim.name, f"#{slug('claim', one.claim.name)}")
        said = cell([prose(one.text), element("small", one.claim.source)], kind="words")
        badge = cell(verdict(one), kind="badge")
        lines.append([name, badge, said, difference(one), one.kind, one.experiment])
    head = ["claim", "verdict", "statement", "difference or mean [95 %]", "kind", "experiment"]
    return table(head, lines, caption="The claims ledger", kind="sortable stacked")


def families(every: Sequence[Results]) -> list[list[Results]]:
    """Groups of experiments that share at least half of their agents, so that a common table has few empty cells."""
    found: list[list[Results]] = []
    for results in every:
        mine = set(results.labels)
        near = (
            family for family in found
            if any(2 * len(mine & set(other.labels)) >= min(len(mine), len(other.labels)) for other in family)
        )  # fmt: skip
        family = next(near, None)
        if family is None:
            found.append(family := [])
        family.append(results)
    return found


def _scores(every: Sequence[Results]) -> Html:
    """Tables with one row per agent and one column per task, showing the first metric of the task's experiment."""
    note = "Mean over seeds at the end of the runs and its 95 % interval, as a claim has it; a column's best is bold."
    return markup([element("p", note, class_="note"), *(_score_table(family) for family in families(every))])


def _score_table(family: Sequence[Results]) -> Html:
    tasks = [(results, env, results.metrics[0]) for results in family for env in results.tier.envs]
    heads = [
        [env, element("small", one.experiment.name), element("small", named(one, metric, env))]
        for one, env, metric in tasks
    ]
    columns = [
        {label: one.point(env, label, metric) for label in one.complete([env], metric)} for one, env, metric in tasks
    ]
    labels = dict.fromkeys(label for results in family for label in results.labels)
    lines = [[label, *(_score(column, label) for column in columns)] for label in labels]
    caption = f"Agents and tasks: {', '.join(results.experiment.name for results in family)}"
    return table(["agent", *heads], lines, caption=caption)


def _score(column: Mapping[str, Point], label: str) -> Html:
    if label not in column:
        return cell("", sort="")
    point = column[label]
    best = point[0] == max(value for value, _, _ in column.values())
    return sortable(point[0], with_interval(point), "best" if best else None)


def _benches(folder: Path) -> Html:
    """The benchmark figures with targets; other figures and the machines are collapsed."""
    promised, others, facts = [], [], []
    for path in files(folder):
        found = json.loads(path.read_bytes())
        facts.append((path.stem, _taken(found)))
        targets = import_module(BENCHES[path.stem]).TARGETS if path.stem in BENCHES else {}
        for name, value in found.items():
            if name in targets:
                promised.append([path.stem, name, sortable(value), *_target(value, targets[name])])
            elif isinstance(value, int | float) and name != "threads":
                others.append([path.stem, name, sortable(value)])
    more = table(["bench", "figure", "value"], others, caption="Other figures")
    return markup([
        table(["bench", "figure", "value", "target", "met"], promised, caption="Benches and targets"),
        element("details", element("summary", "Other figures, and where all were taken"), listed(facts), more),
    ])  # fmt: skip


def _taken(found: Mapping[str, Any]) -> str:
    machine = f"{found['machine']['cpu']}, {found['machine']['cores']} cores, {found['threads']} used"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found["versions"].items()))
    return f"{found['date']}; {machine}; {versions}; {found['command']}"


def _target(value: float, target: tuple[str, float]) -> tuple[str, Html]:
    met = "PASS" if holds(value, *target) else "FAIL"
    return f"{target[0]} {number(target[1])}", cell(element("span", met, class_=f"verdict {slug(met)}"))
