"""A page that explains a policy of linear experts: laws, router, who acts when, trees, and what each reading is worth.

Coefficients are shown in units of the observation's spread: how much an action changes where a feature is one standard
deviation higher, taken over the steps of the policy's own episodes. Features that never vary have no spread; what they
add is part of the action at the average observation.

Shapes: D features, M experts, A components of an action or choices, T steps of an episode.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prospect_rl.agents.online.smose import trees
from prospect_rl.experiments.metrics import number
from prospect_rl.experiments.run.reading import BY_TREES, LINEAR, TRAINED, Reading
from prospect_rl.experiments.site import charts
from prospect_rl.experiments.site.bars import bars, share, strip
from prospect_rl.experiments.site.charts import panel
from prospect_rl.experiments.site.experiment import listed, section, sortable
from prospect_rl.experiments.site.html import Html, element, joined, markup, note, slug, table

MOST_BARS = 8
"""Bars of a chart; smaller coefficients are in the expert's table."""
MOST_NAMED = 20
"""Names of features in a remark; more of them are folded away."""
MOST_ROWS = 60
"""Rows of an expert's table."""
KINDS = {"each": "a yes/no tree an expert", "one": "one tree over all experts", "oblique": "one oblique tree"}


@dataclass(frozen=True)
class About:
    """What a page says beside the reading itself."""

    title: str
    """Heading of the page."""
    facts: list[tuple[str, object]]
    """What was run: terms with their descriptions."""
    features: Sequence[str]
    """[D] names of the features."""
    actions: Sequence[str]
    """[A] names of the action's components, or of the choices."""
    parameters: list[tuple[str, int]]
    """Policies with their numbers of parameters, this one first."""
    pictures: list[tuple[int, bytes]] = field(default_factory=list)
    """(step, PNG) of the episode in the strip."""
    no_pictures: str = ""
    """Why there are none."""
    seeds: Sequence[Mapping[str, Any]] = ()
    """Final metrics rows of all seeds, where there are several."""


def page(reading: Reading, about: About) -> Html:
    """The body of the page."""
    seen = Seen(reading, about)
    parts = {
        "returns": ("What each reading is worth", _returns(reading)),
        "episode": ("Who acts when", _episode(seen)),
        "laws": ("The laws", _laws(seen)),
        "router": ("The router", _router(seen)),
        "trees": ("Trees in place of the router", _trees(seen)),
        "size": ("Size", _size(about)),
        "seeds": ("All seeds", _seeds(about)),
    }
    shown = {name: (title, content) for name, (title, content) in parts.items() if content is not None}
    links = [element("li", element("a", title, href=f"#{name}")) for name, (title, _) in shown.items()]
    return markup([
        element(
            "header", element("h1", about.title), listed(about.facts),
            element("nav", element("ul", links), aria_label="Sections"),
        ),
        element("main", [section(name, title, content) for name, (title, content) in shown.items()]),
    ])  # fmt: skip


class Seen:
    """Figures of a reading that several sections show."""

    def __init__(self, reading: Reading, about: About) -> None:
        self.reading, self.about, law = reading, about, reading.law
        self.mean, self.spread = reading.steps.mean(axis=0), reading.steps.std(axis=0)
        self.kernels, self.biases = np.asarray(law.mean_kernel), np.asarray(law.mean_bias)
        self.router = np.asarray(law.router_kernel)
        self.discrete = law.low is None
        self.usage = reading.usage
        self.labels = [f"expert {m}" for m in range(len(self.usage))]
        self.used = [int(m) for m in np.argsort(-self.usage, kind="stable") if self.usage[m] > 0]

    def sorted(self, weights: np.ndarray) -> list[tuple[str, float]]:
        """(feature, effect of one spread), the largest first; without features that never vary."""
        effects = weights * self.spread
        order = np.argsort(-np.abs(effects), kind="stable")
        return [(self.about.features[i], float(effects[i])) for i in map(int, order) if self.spread[i] > 0]

    @property
    def constant(self) -> list[str]:
        """The features that never vary."""
        return [name for name, spread in zip(self.about.features, self.spread, strict=True) if not spread > 0]


# --- returns, and who acts ------------------------------------------------------------------------------


def _returns(reading: Reading) -> Html:
    discrete = reading.law.low is None
    said = {
        TRAINED: f"the {'largest' if discrete else 'tanh'} of the winner's probability times its law, as trained",
        LINEAR: f"the law as it is printed{': the largest score' if discrete else ', clipped to the bounds'}",
        BY_TREES: "trees choose the expert, which acts by its law as printed",
    }
    rows = [[name, said[name], *_spread(reading.returns[name])] for name in said]
    order = np.argsort(-reading.alone, kind="stable")
    alone = [[f"expert {m} alone", "its law as printed, at every step", *_spread(reading.returns[f"expert {m}"])]
             for m in map(int, order)]  # fmt: skip
    head = ["reading", "the action", "mean return", "deviation", "least", "most"]
    draws = " Here the largest score acts always; a run without `greedy` draws by the scores." if discrete else ""
    starts = f"Whole episodes from {len(reading.length)} starts, the same for all; trees were fitted on others.{draws}"
    made = table(head, [*rows, *alone[:1]], caption="Returns of the readings")
    others = element("details", element("summary", "Every expert alone"), table(head, alone, caption="Experts alone"))
    return markup([note(starts), made, others if len(alone) > 1 else None])


def _spread(values: np.ndarray) -> list[Html]:
    return [sortable(float(x)) for x in (values.mean(), values.std(), values.min(), values.max())]


def _episode(seen: Seen) -> Html:
    reading = seen.reading
    first = reading.chosen[: reading.length[0]]
    changes = int(np.sum(np.diff(first) != 0))
    shown = [seen.labels[m] for m in seen.used]
    words = (
        f"One episode of {len(first)} steps in which the expert changes {changes} times. Over all "
        f"{len(reading.chosen):,} steps: "
        + joined([f"{seen.labels[m]} {share(seen.usage[m])}" for m in seen.used]) + "."
    )  # fmt: skip
    idle = [label for m, label in enumerate(seen.labels) if seen.usage[m] == 0]
    frames = [
        element("figure", element("img", src=f"data:image/png;base64,{b64encode(png).decode()}", alt=f"step {step}"),
                element("figcaption", f"step {step}"))
        for step, png in seen.about.pictures
    ]  # fmt: skip
    return markup([
        element("p", words),
        note(f"Never chosen: {joined(idle)}.") if idle else None,
        element("div", frames, class_="frames") if frames else note(f"No pictures: {seen.about.no_pictures}."),
        strip(first, seen.labels, title="Expert that acts at each step of an episode"),
        charts.legend(seen.labels, shown),
    ])  # fmt: skip


# --- laws and router --------------------------------------------------------------------------------------


def _laws(seen: Seen) -> Html:
    output = "score" if seen.discrete else "action"
    ends = "the largest score wins" if seen.discrete else "1 and -1 are the action's bounds"
    remark = note(
        f"An expert's {output} is its value at the average observation plus the sum of all features' effects; {ends}. "
        "A bar is the effect of a feature that is one spread (standard deviation over the steps) above its average."
    )
    constant, what = seen.constant, "Never varies, so is part of the value at the average: "
    aside = note(f"{what}{joined(constant)}.") if constant else None
    if len(constant) > MOST_NAMED:
        aside = element("details", element("summary", f"{what}{len(constant)} features"), note(joined(constant)))
    return markup([remark, aside, *(_law(seen, m) for m in seen.used)])


def _law(seen: Seen, m: int) -> Html:
    kernel, middle = seen.kernels[m], seen.mean @ seen.kernels[m] + seen.biases[m]
    scale = float(np.max(np.abs(kernel * seen.spread[:, None]), initial=0.0))
    mine = seen.reading.steps[seen.reading.chosen == m]
    away = np.divide(mine.mean(axis=0) - seen.mean, seen.spread, out=np.zeros_like(seen.mean), where=seen.spread > 0)
    panels, words = [], []
    for a, name in enumerate(seen.about.actions):
        effects = seen.sorted(kernel[:, a])
        words.append(element("li", element("b", name), f" {_sentence(float(middle[a]), effects)}"))
        panels.append(panel(f"{name}: {middle[a]:+.3g} at the average", bars(
            effects[:MOST_BARS], scale, title=f"Effects on {name} of expert {m}")))  # fmt: skip
    head = element("h3", element("span", "", class_=f"swatch {charts.colour(seen.labels, seen.labels[m])}"),
                   f"{seen.labels[m]}, {share(seen.usage[m])} of the steps", id=slug(seen.labels[m]))  # fmt: skip
    acts = _where(seen, away) if len(seen.used) > 1 else ""
    return markup([
        head, element("p", acts) if acts else None, element("ul", words), element("div", panels, class_="panels"),
        _coefficients(seen, m),
    ])  # fmt: skip


def _sentence(middle: float, effects: list[tuple[str, float]]) -> str:
    """A component's law in words, by its largest effects: those of at least a third of the largest one."""
    main = [(name, x) for name, x in effects[:4] if x and abs(x) >= abs(effects[0][1]) / 3]
    if not main:
        return f"is always {number(middle)}."
    sides = (("rises", [pair for pair in main if pair[1] > 0]), ("falls", [pair for pair in main if pair[1] < 0]))
    told = [f"{verb} with {joined([f'{name} ({x:+.2g})' for name, x in side])}" for verb, side in sides if side]
    return f"is {number(middle)} on average; it {' and '.join(told)}."


def _where(seen: Seen, away: np.ndarray) -> str:
    """Where an expert acts, by the features whose average there is furthest from the overall one, in spreads."""
    order = [int(i) for i in np.argsort(-np.abs(away), kind="stable")[:3] if abs(away[i]) >= 0.3]
    if not order:
        return "It acts all over the range of observations."
    told = [f"{seen.about.features[i]} is {'high' if away[i] > 0 else 'low'} ({away[i]:+.2g} spreads)" for i in order]
    return f"It acts where {joined(told)}, on average."


def _coefficients(seen: Seen, m: int) -> Html:
    kernel = seen.kernels[m]
    size = np.max(np.abs(kernel), axis=1) * np.where(seen.spread > 0, seen.spread, 1e-9)
    order = np.argsort(-size, kind="stable")[:MOST_ROWS]
    rows = [["constant", sortable(np.nan), *(sortable(float(x)) for x in seen.biases[m])]]
    rows += [[seen.about.features[i], sortable(float(seen.spread[i])), *(sortable(float(x)) for x in kernel[i])]
             for i in order]  # fmt: skip
    more = len(kernel) - len(order)
    words = f"The law's own coefficients{f' ({more} smaller ones are left out)' if more else ''}"
    made = table(["feature", "spread", *seen.about.actions], rows, caption=f"Coefficients of expert {m}")
    return element("details", element("summary", words), made)


def _router(seen: Seen) -> Html:
    if len(seen.labels) == 1:
        return note("There is one expert and nothing to route.")
    centred = seen.router - seen.router.mean(axis=1, keepdims=True)
    scale = float(np.max(np.abs(centred[:, seen.used] * seen.spread[:, None]), initial=0.0))
    panels, words = [], []
    for m in seen.used:
        effects = seen.sorted(centred[:, m])
        main = [f"{name} is {'high' if x > 0 else 'low'} ({x:+.2g})" for name, x in effects[:3] if x]
        words.append(element("li", element("b", seen.labels[m]),
                             f" gains where {joined(main)}." if main else " always gains the same."))  # fmt: skip
        panels.append(panel(seen.labels[m], bars(effects[:MOST_BARS], scale, title=f"Router of expert {m}")))
    remark = note(
        "The expert with the largest score acts. Shown are effects on an expert's score, less their average over all "
        "experts, which decides nothing, of a feature that is one spread above its average."
    )
    return markup([remark, element("ul", words), element("div", panels, class_="panels")])


# --- trees, size, seeds -----------------------------------------------------------------------------------


def _trees(seen: Seen) -> Html:
    reading, rows = seen.reading, []
    for kind, faith in reading.fidelity.items():
        figures = (faith.agreement, faith.mean_balanced, faith.none, faith.several)
        depth = reading.routings[kind].trees.depth
        rows.append([KINDS[kind], sortable(depth), *(sortable(x) for x in figures), sortable(faith.nodes)])
    head = ["trees", "depth", "agreement", "balanced accuracy", "none says yes", "several say yes", "nodes"]
    by = [
        [seen.labels[m], sortable(seen.usage[m], share(seen.usage[m])), sortable(x)]
        for m, x in reading.fidelity["each"].balanced.items()
    ]
    texts = [
        element("details", element("summary", KINDS[kind].capitalize()),
                element("pre", trees.to_text(routing, list(seen.about.features))), open="" if kind == "each" else None)
        for kind, routing in reading.routings.items()
    ]  # fmt: skip
    remark = note(
        "Shares of the steps of episodes that the trees were not fitted on. Of several trees that say yes, or of all "
        "where none does, the most certain one decides, and of equals the first. In brackets: how many of the fit's "
        "steps at a leaf agree."
    )
    return markup([
        remark, table(head, rows, caption="Fidelity of the trees"),
        table(["tree of", "share of steps", "balanced accuracy"], by, caption="Balanced accuracy by expert"), *texts,
    ])  # fmt: skip


def _size(about: About) -> Html:
    mine = about.parameters[0][1]
    rows = [[name, sortable(n, f"{n:,}"), sortable(n / mine)] for name, n in about.parameters]
    return markup([
        note("Parameters of policies, biases included; critics, which only training needs, are left out."),
        table(["policy", "parameters", "of this one's"], rows, caption="Numbers of parameters"),
    ])  # fmt: skip


def _seeds(about: About) -> Html | None:
    if len(about.seeds) < 2:
        return None
    shown = {
        "eval/return": "return as trained", "eval/linear/return": "return as printed",
        "learn/experts_used": "experts above 1 % of a batch",
    }  # fmt: skip
    names = [name for name in shown if any(row.get(name) is not None for row in about.seeds)]
    rows = [[f"seed {row['seed']}", *(sortable(_value(row, name)) for name in names)] for row in about.seeds]
    return table(["", *(shown[name] for name in names)], rows, caption="Final figures of all seeds")


def _value(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return float("nan") if value is None else float(value)
