"""Comparisons between agents: probability of improvement and performance profiles."""

from __future__ import annotations

from collections.abc import Sequence

from prospect_rl.experiments.metrics import words_of
from prospect_rl.experiments.site import charts
from prospect_rl.experiments.site.charts import panel
from prospect_rl.experiments.site.html import Html, element, markup, table
from prospect_rl.experiments.site.results import RATES, Point, Results, improvements, named, profiles


def groups(results: Results) -> list[tuple[str, list[str]]]:
    """(name, environments) of all environments together, if there are several, then of each one."""
    envs = list(results.tier.envs)
    pooled = [("all environments", envs)] if len(envs) > 1 else []
    return [*pooled, *((env, [env]) for env in envs)]


def improvement(results: Results) -> Html | None:
    """One matrix per environment and score: probability that a run of the row's agent beats one of the column's."""
    parts = []
    for metric in results.scores:
        inside = [_matrix(results, name, envs, metric) for name, envs in groups(results)]
        if found := [part for part in inside if part is not None]:
            summary = element("summary", named(results, metric))
            parts.append(element("details", summary, found, open=None if parts else ""))
    if not parts:
        return None
    note = (
        "The probability that a run of the row's agent scores higher than one of the column's, ties counted half, with "
        "its 95 % interval by stratified bootstrap, which is too narrow at few seeds and decides nothing; over all "
        "environments it is the average of theirs."
    )
    return markup([element("p", note, class_="note"), *parts])


def _matrix(results: Results, name: str, envs: Sequence[str], metric: str) -> Html | None:
    found = improvements(results, envs, metric)
    labels = results.complete(envs, metric)
    if not found:
        return None
    lines = []
    for left in labels:
        cells = [_share(found[left, right]) if left != right else element("td", "–") for right in labels]
        lines.append([left, *cells])
    caption = f"Probability of improvement: {words_of(metric, envs[0])}, {name}"
    drawn = table(["", *labels], lines, caption=caption, kind="matrix")
    return markup([element("h3", name), drawn])


def _share(point: Point) -> Html:
    share, low, high = point
    interval = element("small", f"[{low:.2f}, {high:.2f}]")
    return element("td", f"{share:.2f}", interval, style=f"--share: {share:.2f}")


def all_profiles(results: Results) -> Html | None:
    """One panel per environment and score; for rates also one over all environments together."""
    panels = []
    for metric in results.scores:
        for name, envs in groups(results):
            lines = profiles(results, envs, metric) if len(envs) == 1 or metric.endswith(RATES) else {}
            if lines:
                title, at = f"{words_of(metric, envs[0])}, {name}", next(iter(lines.values())).x
                chart = charts.line_chart(
                    lines, results.labels, title=title, x_name="score", xs=(float(at[0]), float(at[-1])), ys=(0.0, 1.0)
                )
                panels.append(panel(title, chart))
    if not panels:
        return None
    note = "The share of runs that score more than what stands below; bands: its 95 % interval by stratified bootstrap."
    legend = charts.legend(results.labels, results.labels)
    return markup([legend, element("div", panels, class_="panels"), element("p", note, class_="note")])
