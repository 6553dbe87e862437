"""Bars around a zero line, and a strip of coloured runs, as inline SVG: the charts of a page that explains a policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prospect_rl.experiments.metrics import number
from prospect_rl.experiments.site.charts import colour
from prospect_rl.experiments.site.html import Html, element

WIDTH, NAMES, VALUES, ROW = 340, 120, 46, 18
"""Sizes in pixels: of a chart, of the names on its left and the values on its right, and the height of a bar's row."""
STRIP, TALL = 1000, 34
"""Width and height of a strip."""


def bars(values: Sequence[tuple[str, float]], scale: float, *, title: str) -> Html:
    """One bar per (name, value), right of the middle where that is positive; a bar of `scale` takes half the width."""
    middle, half = (NAMES + WIDTH - VALUES) / 2, (WIDTH - NAMES - VALUES) / 2
    height = ROW * len(values) + 4
    parts = [element("path", d=f"M{middle:.1f} 0V{height}", class_="rule")]
    for i, (name, value) in enumerate(values):
        length = half * min(abs(value) / scale, 1.0) if scale > 0 else 0.0
        left, y = middle - length if value < 0 else middle, ROW * i + 2
        kind = "bar c1" if value < 0 else "bar c0"
        parts += [
            element("text", name, x=NAMES - 6, y=y + 13, text_anchor="end"),
            element("rect", x=f"{left:.1f}", y=y + 2, width=f"{length:.1f}", height=ROW - 4, class_=kind),
            element("text", f"{value:+.3g}", x=WIDTH, y=y + 13, text_anchor="end"),
        ]
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=title)


def strip(chosen: np.ndarray, labels: Sequence[str], *, title: str) -> Html:
    """Who acts at each step, as runs of colour from the first step on the left to the last on the right.

    chosen [T]: indices into `labels`, which decide the colours.
    """
    starts = np.flatnonzero(np.diff(chosen, prepend=-1))
    ends, unit = np.append(starts[1:], len(chosen)), STRIP / len(chosen)
    runs = [
        element(
            "rect", element("title", f"{label}: steps {start} to {end - 1}"), x=f"{unit * start:.2f}", y=0,
            width=f"{unit * (end - start):.2f}", height=TALL, class_=f"bar {colour(labels, label)}",
        )
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        for label in [labels[int(chosen[start])]]
    ]  # fmt: skip
    return element("svg", *runs, viewBox=f"0 0 {STRIP} {TALL}", role="img", aria_label=title, class_="strip",
                   preserveAspectRatio="none")  # fmt: skip


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{number(100 * value)} %"
