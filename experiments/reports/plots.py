"""Figures of a report: learning curves, exams, and archives drawn over their environment.

Imported only when a figure is drawn, because it loads Matplotlib. The same data gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from prospect_rl.experiments.metrics import area_of, place_of, words_of

if TYPE_CHECKING:
    from prospect_rl.envs.api import Box

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
"""Palette of Okabe and Ito (2008), suitable for colour-blind readers; assigned to agents in the order of the tier."""
STYLES = ("-", "--", "-.", ":")
DPI = 110
COLUMNS = 3
"""Largest number of panels in a row, so that a figure fits the width of a page."""


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """Label -> colour, the same in every figure of a report."""
    return {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(labels)}


def save(figure: Figure, path: Path) -> None:
    """Write a PNG without the name of the software in its metadata."""
    FigureCanvasAgg(figure)  # independent of MPLBACKEND
    figure.savefig(path, dpi=DPI, metadata={"Software": None})


def label_of(metric: str, env: str) -> str:
    """The axis label of a metric, wrapped to fit the height of a panel."""
    return fill(words_of(metric, env), 34)


def curve_metrics(names: Sequence[str]) -> list[str]:
    """The metrics that get a panel: coverage and best rewards, or without a ledger the evaluation's metrics."""
    chosen = [n for n in names if n == "ledger/coverage" or n.startswith(("ledger/best_", "ledger/stored_best_"))]
    return chosen or [n for n in names if n in ("eval/return", "eval/success")] or list(names[:4])


def panels(
    counts: Sequence[int], size: tuple[float, float], margin: tuple[float, float]
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with one group of panels per count, at most `COLUMNS` in a row; sizes are in inches."""
    columns = min(COLUMNS, max(counts))
    rows = [-(-count // columns) for count in counts]
    whole = (size[0] * columns + margin[0], size[1] * sum(rows) + margin[1])
    figure = Figure(figsize=whole, layout="constrained")
    grid, groups, start = figure.subplots(sum(rows), columns, squeeze=False), [], 0
    for count, height in zip(counts, rows, strict=True):
        group = list(grid[start : start + height].flat)
        for axis in group[count:]:
            axis.set_visible(False)
        groups.append(group[:count])
        start += height
    return figure, groups


def draw_curves(curves: Sequence[Mapping[str, Any]], unit: str, labels: Sequence[str], path: Path) -> None:
    """Draw one panel per metric and environment: interquartile means with 95 % bootstrap bands.

    Each environment starts a new row, unless every environment has only one metric.
    """
    envs = list(dict.fromkeys(row["env"] for row in curves))
    metrics = [curve_metrics(list(dict.fromkeys(r["metric"] for r in curves if r["env"] == env))) for env in envs]
    counts = [len(names) for names in metrics]
    figure, groups = panels([len(envs)] if set(counts) == {1} else counts, (4.2, 3.3), (0, 0.6))
    axes = [axis for group in groups for axis in group]
    pairs = [(env, name) for env, names in zip(envs, metrics, strict=True) for name in names]
    lines: dict[str, Any] = {}
    for axis, (env, metric) in zip(axes, pairs, strict=True):
        _curve_panel(axis, [r for r in curves if r["env"] == env and r["metric"] == metric], labels)
        axis.set_title(env, fontsize=10)
        axis.set(ylabel=label_of(metric, env), xlabel=unit)
        lines |= {str(line.get_label()): line for line in axis.get_lines()}
    shown = [lines[label] for label in labels if label in lines]
    fitting = max(1, int(figure.get_figwidth() // 2.1))  # a long label is 2.1 inches wide
    figure.legend(handles=shown, loc="outside lower center", ncols=min(len(shown) or 1, fitting), frameon=False)
    save(figure, path)


def draw_exams(rows: Sequence[Mapping[str, Any]], labels: Sequence[str], path: Path) -> None:
    """Draw one panel per environment: success over the exams whose names are numbers; means as lines, seeds as dots."""
    named = {n: n.split("/")[1] for n in rows[0] if n.startswith("exam/") and n.endswith("/success")}
    numbers = sorted((int(number), n) for n, number in named.items() if number.isdecimal())
    envs = list(dict.fromkeys(row["env"] for row in rows))
    figure, (axes,) = panels([len(envs)], (7.0, 4.0), (2.0, 0))
    for axis, env in zip(axes, envs, strict=True):
        for i, (label, colour) in enumerate(colours_of(labels).items()):
            mine = [row for row in rows if row["env"] == env and row["label"] == label]
            exams = [(x, np.array([row[n] for row in mine])) for x, n in numbers]
            exams = [(x, values[~np.isnan(values)]) for x, values in exams]
            points = [(x, values) for x, values in exams if len(values)]
            if not points:
                continue
            style = STYLES[i // len(COLOURS) % len(STYLES)]
            means = [values.mean() for _, values in points]
            axis.plot([x for x, _ in points], means, color=colour, linestyle=style, label=label, linewidth=1.6)
            each = [(x, value) for x, values in points for value in values]
            axis.scatter(*zip(*each, strict=True), color=colour, s=7, alpha=0.5, linewidths=0)
        axis.set(xscale="log", ylim=(-0.03, 1.03), xlabel=place_of(env).exams, ylabel="success rate")
        axis.set_title(env, fontsize=10)
        axis.grid(alpha=0.25, linewidth=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    save(figure, path)


def _curve_panel(axis: Axes, cells: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    for i, (label, colour) in enumerate(colours_of(labels).items()):
        mine = [row for row in cells if row["label"] == label]
        if not mine:
            continue
        used, mid, low, high = (np.array([row[name] for row in mine]) for name in ("used", "iqm", "low", "high"))
        style = STYLES[i // len(COLOURS) % len(STYLES)]
        axis.plot(used, mid, color=colour, linestyle=style, label=label, linewidth=1.6)
        axis.fill_between(used, low, high, color=colour, alpha=0.18, linewidth=0)
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlim(left=0)
    if cells and not any(row["low"] < 0 for row in cells):
        axis.set_ylim(bottom=0, top=None if any(row["high"] > 0 for row in cells) else 1)
    axis.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))


# --- archives ----------------------------------------------------------------------------------------


def in_plane(descriptors: np.ndarray) -> np.ndarray:
    """[..., 2]: the first two components of descriptors [..., d]; one alone is drawn along a horizontal line."""
    return np.concatenate([descriptors, np.zeros_like(descriptors)], axis=-1)[..., :2]


def limits(space: Box) -> tuple[np.ndarray, np.ndarray]:
    """The lower left and the upper right corner, each [2], of a descriptor's space in the plane."""
    low, high = (in_plane(np.broadcast_to(bound, space.shape).astype(float)) for bound in (space.low, space.high))
    return (low, high) if space.size > 1 else (low - (0, 1), high + (0, 1))


def backdrop(axis: Axes, env: Any) -> None:
    """Draw the environment's image and the outlines of its goals, in descriptor units, if it has them.

    `env.backdrop()` returns (image uint8 [H, W, 3], extent (left, right, bottom, top)); without it the axis limits
    are the bounds of the descriptor.
    """
    if hasattr(env, "backdrop"):
        image, extent = env.backdrop()
        axis.imshow(np.asarray(image), extent=extent, interpolation="nearest", aspect="equal", alpha=0.9)
        axis.set(xlim=extent[:2], ylim=extent[2:])
    elif env.spec.descriptor is not None:
        low, high = limits(env.spec.descriptor)
        axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    turn = np.linspace(0, 2 * math.pi, 100)
    goals: Any = getattr(env, "goals", ())
    for number, (x, y, radius) in enumerate(goals):
        axis.plot(x + radius * np.cos(turn), y + radius * np.sin(turn), color="#D55E00", linewidth=1.2)
        name = area_of(number, env.spec.id).removeprefix("the ")
        foot = (float(x), float(y + radius if axis.yaxis_inverted() else y - radius))
        below: dict[str, Any] = {"xytext": (0, -2), "textcoords": "offset points", "ha": "center", "va": "top"}
        axis.annotate(name, foot, fontsize=7, color="#802000", **below)
    axis.set(xticks=[], yticks=[])


def draw_archives(
    archives: Mapping[str, np.ndarray], envs: Mapping[str, Any], labels: Sequence[str], path: Path
) -> bool:
    """Draw one panel per agent: where exploring policies ended (grey), and the archive (colour: reward).

    archives: `<env>|<label>|<name>` -> array, see `experiments.reports.records.archives`. Returns False, and draws
    nothing, if there is no archive.
    """
    cells = {tuple(key.split("|")[:2]) for key in archives}
    shown = {env: [label for label in labels if (env, label) in cells] for env in envs}
    shown = {env: names for env, names in shown.items() if names}
    if not shown:
        return False
    figure, groups = panels([len(names) for names in shown.values()], (3.3, 3.4), (0.9, 0.2))
    for group, (env, names) in zip(groups, shown.items(), strict=True):
        stored = [archives[key] for key in (f"{env}|{label}|fitness" for label in names) if key in archives]
        scale = Normalize(0, max([1e-9, *(float(x.max()) for x in stored if len(x))]))
        for axis, label in zip(group, names, strict=True):
            backdrop(axis, envs[env])
            axis.set_title(f"{env}: {label}", fontsize=10)
            _archive_panel(axis, archives, f"{env}|{label}|", envs[env], scale)
        if stored:
            figure.colorbar(ScalarMappable(scale, "plasma"), ax=group, label="reward", shrink=0.8)
    save(figure, path)
    return True


def _archive_panel(axis: Axes, archives: Mapping[str, np.ndarray], prefix: str, env: Any, scale: Normalize) -> None:
    if f"{prefix}explored" in archives and env.spec.descriptor is not None:
        (low, high), visits = limits(env.spec.descriptor), archives[f"{prefix}explored"].astype(float)
        visits = visits.reshape(len(visits), -1)
        x, y = (np.linspace(low[d], high[d], visits.shape[d] + 1) for d in range(2))
        shade = np.ma.masked_equal(np.log1p(visits), 0)
        axis.pcolormesh(x, y, shade.T, cmap="Greys", alpha=0.35, linewidth=0, rasterized=True)
    if f"{prefix}descriptor" not in archives:
        return
    at = in_plane(archives[f"{prefix}descriptor"])
    fitness = archives.get(f"{prefix}fitness", np.zeros(len(at)))
    paid = fitness > 0
    axis.scatter(*at[~paid].T, s=3, color="#0072B2", alpha=0.5, linewidths=0)
    axis.scatter(*at[paid].T, s=9, c=fitness[paid], cmap="plasma", norm=scale, linewidths=0)


def draw_path(env: Any, points: np.ndarray, title: str, path: Path) -> None:
    """Draw one episode's descriptors [T, d] as a line over the environment."""
    figure = Figure(figsize=(4.6, 4.8), layout="constrained")
    axis = figure.subplots()
    backdrop(axis, env)
    points = in_plane(points)
    axis.plot(*points.T, color="#0072B2", linewidth=1.3)
    axis.plot(*points[0], "o", color="#009E73", markersize=6)
    axis.plot(*points[-1], "s", color="#D55E00", markersize=6)
    axis.set_title(title, fontsize=9)
    save(figure, path)
