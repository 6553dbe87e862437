"""The page of one experiment on the site."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Sequence
from itertools import chain

from prospect_rl.experiments.metrics import number, words_of
from prospect_rl.experiments.reports.budgets import on_one_axis
from prospect_rl.experiments.reports.claims import METHODS_NOTE
from prospect_rl.experiments.reports.kinds import devices_in
from prospect_rl.experiments.reports.overview import Judged
from prospect_rl.experiments.reports.plots import curve_metrics
from prospect_rl.experiments.reports.report import CLAIMS_NOTE, CURVES_NOTE, DEVICES_NOTE, bound_of
from prospect_rl.experiments.reports.scores import finished
from prospect_rl.experiments.site import charts
from prospect_rl.experiments.site.charts import panel
from prospect_rl.experiments.site.comparisons import all_profiles, improvement
from prospect_rl.experiments.site.configuration import configuration
from prospect_rl.experiments.site.html import Html, cell, element, markup, prose, slug, table
from prospect_rl.experiments.site.results import Point, Results, drawn_curves, named

SECTIONS = {
    "claims": "Claims", "curves": "Learning curves", "scores": "Final scores",
    "improvement": "Probability of improvement", "profiles": "Performance profiles", "archives": "Archives",
    "configuration": "Configuration",
}  # fmt: skip


def page(results: Results) -> Html:
    """The body of the page."""
    made = {
        "claims": claims(results), "curves": curves(results), "scores": scores(results),
        "improvement": improvement(results), "profiles": all_profiles(results), "archives": archives(results),
        "configuration": configuration(results),
    }  # fmt: skip
    shown = {name: content for name, content in made.items() if content}
    links = [element("li", element("a", SECTIONS[name], href=f"#{name}")) for name in shown]
    experiment = results.experiment
    return markup([
        element(
            "header",
            element("a", "All results", href="index.html"),
            element("h1", experiment.title),
            element("p", prose(experiment.text)),
            _facts(results),
            element("nav", element("ul", links), aria_label="Sections"),
        ),
        element("main", [section(name, SECTIONS[name], content) for name, content in shown.items()]),
    ])  # fmt: skip


def section(name: str, title: str, *content: Html) -> Html:
    """A section of a page with an id for links."""
    return element("section", element("h2", title), *content, id=name)


def listed(facts: Iterable[tuple[str, object]]) -> Html:
    """A list of terms with their descriptions."""
    pairs = [(element("dt", term), element("dd", what)) for term, what in facts]
    return element("dl", list(chain.from_iterable(pairs)), class_="facts")


def _facts(results: Results) -> Html:
    rows, name = results.rows, results.experiment.name
    minutes = sum({row["hash"]: row["wall_minutes"] for row in rows}.values())
    return listed([
        ("Source", results.experiment.source),
        ("Tier", f"{results.tier_name}: {finished(results.experiment, results.tier_name, rows)}"),
        ("Command", element("code", f"make {name} TIER={results.tier_name}")),
        ("Newest result", f"{max(row['date'] for row in rows)}; {number(minutes)} wall minutes, one core a run"),
        *([("Devices", DEVICES_NOTE)] if devices_in(rows) else []),
        *(("Versions", versions) for versions in sorted({row["versions"] for row in rows})),
    ])  # fmt: skip


# --- claims ------------------------------------------------------------------------------------------


def verdict(one: Judged) -> Html:
    """The badge of a verdict, how a claim failed, and whether the budget was below the source's."""
    badge = element("span", one.outcome, class_=f"verdict {slug(one.outcome)}")
    notes = [one.words, "reduced budget" if one.reduced else None]
    return markup([badge, *(element("small", note) for note in notes if note)])


def sortable(value: float, shown: object = None, kind: str | None = None) -> Html:
    """A table cell with a number; a missing number sorts last."""
    return cell(
        number(value) if shown is None else shown, sort=f"{value:.9g}" if math.isfinite(value) else "", kind=kind
    )


def with_interval(point: Point, note: str = "") -> Html:
    """A statistic above its interval."""
    value, low, high = point
    return markup([number(value), element("small", f"[{number(low)}, {number(high)}]{note}")])


def difference(one: Judged) -> Html:
    """The table cell with a claim's difference (or mean) and its interval."""
    value = one.values[0]
    if not math.isfinite(value):
        return sortable(value)
    method = element("small", one.method) if one.method else None
    return sortable(value, markup([with_interval(one.values), method]))


def _sides(one: Judged) -> Html:
    lines, row = [], one.row
    for name in ("left", "right"):
        if row[name]:
            seeds, planned = int(row[f"{name}_seeds"]) - int(row[f"{name}_missing"]), row[f"{name}_planned"]
            mean = number(one.figure(f"{name}_mean"))
            lines.append(element("small", f"{row[name]}: {mean} ({seeds} of {planned})"))
    if others := row.get("others"):
        lines.append(element("small", f"left out: {others}"))
    return cell(lines)


def claims(results: Results) -> Html | None:
    """The verdicts and their numbers; None if the experiment has no claims."""
    if not results.claims:
        return None
    lines, ids = [], []
    for one in results.claims:
        claim = one.claim
        place = claim.source.removeprefix(results.experiment.source).strip("; :,")  # the header names the source
        where = "; ".join(
            part for part in (place, f"{words_of(claim.metric, claim.env)}, {' and '.join(claim.envs)}") if part
        )
        said = cell([prose(one.text), element("small", where)], kind="words")
        badge, p = cell(verdict(one), kind="badge"), sortable(one.figure("p"))
        lines.append([claim.name, badge, said, difference(one), bound_of(claim), p, claim.kind, _sides(one)])
        ids.append(slug("claim", claim.name))
    head = ["claim", "verdict", "statement", "difference or mean [95 %]", "margin", "p", "kind", "means"]
    made = table(head, lines, caption="Claims and verdicts", kind="sortable stacked", ids=ids)
    return markup([made, *(element("p", note.replace("*", ""), class_="note") for note in (CLAIMS_NOTE, METHODS_NOTE))])


# --- curves ------------------------------------------------------------------------------------------


def curves(results: Results) -> Html | None:
    """One panel per environment and metric; secondary metrics are collapsed."""
    names = list(dict.fromkeys(row["metric"] for row in results.curves))
    if not names:
        return None
    first = curve_metrics(names)
    parts = [
        charts.legend(results.labels, [row["label"] for row in results.curves]),
        element("div", _curve_panels(results, first), class_="panels"),
    ]
    if others := [name for name in names if name not in first]:
        folded = element("div", _curve_panels(results, others), class_="panels")
        parts.append(element("details", element("summary", f"{len(others)} more metrics"), folded))
    return markup([*parts, element("p", CURVES_NOTE, class_="note")])


def _curve_panels(results: Results, metrics: Sequence[str]) -> list[Html]:
    panels, unit, found = [], on_one_axis(results.curves, results.rows)[1], drawn_curves(results)
    for env in results.tier.envs:
        for metric in metrics:
            if lines := found.get((env, metric)):
                title, end = f"{words_of(metric, env)}, {env}", max(float(line.x[-1]) for line in lines.values())
                chart = charts.line_chart(lines, results.labels, title=title, x_name=unit, xs=(0.0, end))
                panels.append(panel(title, chart))
    return panels


# --- scores ------------------------------------------------------------------------------------------


def scores(results: Results) -> Html:
    """The first metric as one chart per environment, then a table of all metrics for each environment."""
    metric, panels = results.metrics[0], []
    for env in results.tier.envs:
        points = {label: results.point(env, label, metric) for label in results.complete([env], metric)}
        if points:
            title = f"{words_of(metric, env)}, {env}"
            panels.append(panel(title, charts.dots(points, results.labels, title=title)))
    tables = [(element("h3", env), _score_table(results, env)) for env in results.tier.envs]
    note = (
        "Mean over seeds, its 95 % interval as a claim would have it, interquartile mean (IQM), and n: runs with a "
        "value, if not all."
    )
    return markup([element("div", panels, class_="panels"), *tables, element("p", note, class_="note")])


def _score_table(results: Results, env: str) -> Html:
    lines = []
    for label in results.labels:
        finished = sum(row["env"] == env and row["label"] == label for row in results.shown)
        cells = [_score(results, env, label, metric, finished) for metric in results.metrics]
        lines.append([label, sortable(finished), *cells])
    return table(
        ["agent", "seeds", *(named(results, m, env) for m in results.metrics)], lines, caption=f"Final scores, {env}"
    )


def _score(results: Results, env: str, label: str, metric: str, finished: int) -> Html:
    values = results.values(env, label, metric)
    if not len(values):
        return cell("–", sort="")
    point, few = results.point(env, label, metric), f"; n {len(values)}" if len(values) < finished else ""
    return sortable(point[0], with_interval(point, f"; IQM {number(results.iqm(env, label, metric))}{few}"))


# --- archives ----------------------------------------------------------------------------------------


def archives(results: Results) -> Html | None:
    """The figure of the archives; None if there is none."""
    path = results.folder / "archive.png"
    if not path.exists():
        return None
    source = f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}"
    note = "Archives of the first seed. Grey: where exploring policies ended; dots: stored ones, by reward."
    image = element("img", src=source, alt=f"Archives of {', '.join(results.labels)}")
    return element("figure", image, element("p", note, class_="note"))
