"""Charts as inline SVG: lines with bands, and dots with intervals. Colours are CSS classes, set by the theme.

Shapes: K points of a line. Coordinates are rounded to a tenth of a pixel, so that the same numbers give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prospect_rl.experiments.metrics import number
from prospect_rl.experiments.site.html import Html, element

WIDTH, HEIGHT = 340, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 36
COLOURS = 8
"""Number of colour classes, c0 to c7; further labels reuse them with another dash pattern, d1 to d3."""
ROW = 22
"""Height in pixels of a row of `dots`."""
NAMES = 130
"""Width in pixels of the names on the left of `dots`."""


@dataclass(frozen=True)
class Line:
    """A curve with its band, all arrays [K]; NaN where it has no value."""

    x: np.ndarray
    """Positions on the horizontal axis."""
    middle: np.ndarray
    """Values of the curve itself."""
    low: np.ndarray
    """Lower bound of the band."""
    high: np.ndarray
    """Upper bound of the band."""


def colour(labels: Sequence[str], label: str) -> str:
    """The CSS classes of an agent, the same in all charts of a page."""
    index = list(labels).index(label)
    return f"c{index % COLOURS} d{index // COLOURS % 4}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers inside [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * i for i in range(first, last + 1)]


def short(x: float) -> str:
    """The text of a tick, e.g. 250k, 1.5M, 0.25."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{x / size:.4g}{suffix}"
    return f"{x + 0.0:.4g}"


@dataclass(frozen=True)
class Plane:
    """Transformation from values to pixels."""

    xs: tuple[float, float]
    """Limits of the horizontal axis."""
    ys: tuple[float, float]
    """Limits of the vertical axis."""

    def x(self, value: float | np.ndarray) -> np.ndarray:
        """Distance from the left in pixels."""
        return LEFT + (np.asarray(value) - self.xs[0]) / (self.xs[1] - self.xs[0]) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float | np.ndarray) -> np.ndarray:
        """Distance from the top in pixels."""
        return HEIGHT - BOTTOM - (np.asarray(value) - self.ys[0]) / (self.ys[1] - self.ys[0]) * (HEIGHT - TOP - BOTTOM)


def limits(lines: Sequence[Line]) -> tuple[float, float]:
    """Limits of the vertical axis: they include all bands, and zero if nothing is negative."""
    values = np.concatenate([np.concatenate([line.low, line.high]) for line in lines])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    low = min(low, 0.0) if low >= 0 else low
    return (low, high) if high > low else (low, low + 1.0)


def line_chart(
    lines: Mapping[str, Line], labels: Sequence[str], *, title: str, x_name: str, xs: tuple[float, float],
    ys: tuple[float, float] | None = None,
) -> Html:  # fmt: skip
    """A panel with a line and a band per agent. `labels` are all agents of the page, for their colours."""
    plane = Plane(xs, ys or limits(list(lines.values())))
    drawn = [
        part
        for label, line in lines.items()
        for part in (
            element("path", d=_band(plane, line), class_=f"band {colour(labels, label)}"),
            element(
                "path",
                element("title", _said(label, line)),
                d=_path(plane, line),
                class_=f"line {colour(labels, label)}",
            ),
        )
    ]
    return _svg(title, HEIGHT, [*_axes(plane, x_name), *drawn])


def dots(points: Mapping[str, tuple[float, float, float]], labels: Sequence[str], *, title: str) -> Html:
    """One row per agent: (middle, low, high) as a dot on its interval; only a dot if the bounds are NaN."""
    ends = [x for point in points.values() for x in point if math.isfinite(x)]
    low, high = min(ends), max(ends)
    low = min(low, 0.0) if low >= 0 else low
    high = high if high > low else low + 1.0
    bottom = TOP + ROW * len(points)

    def x(value: float) -> float:
        return NAMES + (value - low) / (high - low) * (WIDTH - NAMES - 2 * RIGHT)

    parts = [
        part
        for tick in ticks(low, high, 4)
        for part in (_rule(x(tick), TOP, x(tick), bottom), _text(short(tick), x(tick), bottom + 15, "middle"))
    ]
    for i, (label, (middle, lowest, highest)) in enumerate(points.items()):
        y, kind = TOP + ROW * (i + 0.5), colour(labels, label)
        said = element("title", f"{label}: {number(middle)} [{number(lowest)}, {number(highest)}]")
        whisker = element("path", d=f"M{x(lowest):.1f} {y:.1f}H{x(highest):.1f}", class_=f"whisker {kind}")
        parts += [
            _text(label, NAMES - 8, y + 4, "end"),
            *([whisker] if math.isfinite(lowest) else []),
            element("circle", said, cx=f"{x(middle):.1f}", cy=f"{y:.1f}", r=4, class_=f"dot {kind}"),
        ]
    return _svg(title, bottom + 22, parts)


def panel(title: str, chart: Html) -> Html:
    """A chart under its title."""
    return element("figure", element("figcaption", title), chart)


def legend(labels: Sequence[str], shown: Sequence[str]) -> Html:
    """A legend with names and line samples, for those of `labels` that are `shown`."""
    entries = [
        element(
            "li",
            element("svg", element("path", d="M0 6H26", class_=f"line {colour(labels, label)}"), viewBox="0 0 26 12",
                    width=26, height=12, aria_hidden="true"),
            label,
        )
        for label in labels if label in shown
    ]  # fmt: skip
    return element("ul", entries, class_="legend")


def _svg(title: str, height: float, parts: Sequence[Html]) -> Html:
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {height:g}", role="img", aria_label=title)


def _axes(plane: Plane, x_name: str) -> list[Html]:
    parts = []
    for tick in ticks(*plane.ys):
        y = float(plane.y(tick))
        parts += [_rule(LEFT, y, WIDTH - RIGHT, y), _text(short(tick), LEFT - 5, y + 4, "end")]
    for tick in ticks(*plane.xs, count=4):
        parts.append(_text(short(tick), float(plane.x(tick)), HEIGHT - BOTTOM + 14, "middle"))
    return [*parts, _text(x_name, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "middle")]


def _rule(x1: float, y1: float, x2: float, y2: float) -> Html:
    return element("path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", class_="rule")


def _text(words: str, x: float, y: float, anchor: str) -> Html:
    return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _runs(line: Line) -> list[np.ndarray]:
    """Indices of the contiguous segments of a line: a missing value interrupts it."""
    there = np.flatnonzero(np.isfinite(line.middle))
    return [run for run in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1) if len(run)]


def _points(xs: np.ndarray, ys: np.ndarray) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))


def _path(plane: Plane, line: Line) -> str:
    return "".join(f"M{_points(plane.x(line.x[run]), plane.y(line.middle[run]))}" for run in _runs(line))


def _band(plane: Plane, line: Line) -> str:
    parts = []
    for run in _runs(line):
        x = plane.x(line.x[run])
        around = np.concatenate([plane.y(line.high[run]), plane.y(line.low[run])[::-1]])
        parts.append(f"M{_points(np.concatenate([x, x[::-1]]), around)}Z")
    return "".join(parts)


def _said(label: str, line: Line) -> str:
    there = np.flatnonzero(np.isfinite(line.middle))
    if not len(there):
        return f"{label}: no value"
    i = there[-1]
    interval = f"[{number(float(line.low[i]))}, {number(float(line.high[i]))}]"
    return f"{label}: {number(float(line.middle[i]))} {interval} at {short(float(line.x[i]))}"
