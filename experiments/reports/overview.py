"""Overview of all experiments from their committed tables: results/README.md and the generated parts of README.md.

Failed claims come first. The verdicts themselves come from `experiments.reports.claims`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prospect_rl.experiments.api import Claim
from prospect_rl.experiments.metrics import number, sentence, words_of
from prospect_rl.experiments.metrics_page import page
from prospect_rl.experiments.register import EXPERIMENTS, load
from prospect_rl.experiments.reports.report import (
    BEFORE,
    CHANGES_NOTE,
    RESULTS,
    read_claims,
    verdict_changes,
)
from prospect_rl.experiments.reports.scores import markdown
from prospect_rl.experiments.run import durable

KINDS = {"paper": "Claims printed in papers", "check": "Checks of ours"}
"""`Claim.kind` -> heading in the overview."""
ORDER = {"FAIL": "Failed", "INCONCLUSIVE": "Inconclusive", "NOT RUN": "Not run", "PASS": "Passed"}
"""Outcome -> heading, in the order of the overview."""
HEADLINES = (
    ("SERENE", "serene_maze", "C5.0 archive"),
    ("SERENE", "serene_maze", "C2a"),
    ("MEX", "mex_velocity", "M cheetah_vel_sparse"),
    ("MEX, model-based", "mex_model_based", "M hopper_sparse"),
    ("ELMUR", "elmur_tmaze", "T1 paper"),
    ("ELMUR", "elmur_mikasa_lite", "M1 colour 3"),
    ("CDE", "cde_maze", "M1 optidice"),
    ("CDE", "cde_scarce", "K1 cde"),
    ("floor: no memory", "elmur_tmaze", "T7 floor"),
    ("baseline: NovelD", "minigrid_basics", "D DoorKey-8x8"),
    ("baseline: SAC", "mujoco_dense", "S sac half_cheetah"),
)
"""Method, experiment and claim of each row of the table in README.md."""
BEGIN, END = "<!-- {}: made by `prospect report --all` -->", "<!-- {}: end -->"
"""The marks around a generated part of README.md."""


@dataclass(frozen=True)
class Judged:
    """A claim with its row of claims.csv."""

    experiment: str
    """Name of the claim's experiment."""
    claim: Claim
    """The claim as it is declared."""
    row: dict[str, str]
    """The claim's row of claims.csv as text."""

    @property
    def outcome(self) -> str:
        """PASS, FAIL, INCONCLUSIVE or NOT RUN."""
        return self.row["outcome"]

    @property
    def kind(self) -> str:
        """`paper` or `check`."""
        return self.claim.kind

    @property
    def reduced(self) -> bool:
        """Whether the runs' budget was below the source's."""
        return self.row["reduced"] == "1"

    def figure(self, name: str) -> float:
        """A number in the row; NaN for an empty cell."""
        return float(self.row[name] or "nan")

    @cached_property
    def text(self) -> str:
        """The claim as a sentence."""
        return sentence(self.claim.text, self.claim.env)

    @property
    def figures(self) -> str:
        """The measured means, e.g. `coverage: serene 0.794, novelty_search 0.806 (10 seeds each)`."""
        sides = [side for side in ("left", "right") if self.row[side]]
        means = ", ".join(f"{self.row[side]} {number(self.figure(f'{side}_mean'))}" for side in sides)
        seeds = [int(self.row[f"{side}_seeds"]) - int(self.row[f"{side}_missing"]) for side in sides]
        counted = " and ".join(map(str, dict.fromkeys(seeds))) + (
            " seeds each" if len(sides) > len(set(seeds)) else " seeds"
        )
        return f"{words_of(self.claim.metric, self.claim.env)}: {means} ({counted})"

    @property
    def values(self) -> tuple[float, float, float]:
        """The difference in favour of the claim, or the mean if there is no rival, and its 95 % interval."""
        return self.figure("difference"), self.figure("low"), self.figure("high")

    @property
    def interval(self) -> str:
        """The difference (or mean) and its 95 % interval as text."""
        value, low, high = map(number, self.values)
        return f"{value} [{low}, {high}]" if math.isfinite(self.values[0]) else "–"

    @property
    def method(self) -> str:
        """The name of the interval; for skewed scores with its simulated coverage."""
        covers = self.figure("coverage")
        return self.row["method"] + (f", covers {100 * covers:.0f} %" if math.isfinite(covers) else "")

    @property
    def verdict(self) -> str:
        """The outcome; for a failed claim also how it failed."""
        said = f"{self.outcome}: {self.words}" if self.words else self.outcome
        return said + (" (reduced budget)" if self.reduced else "")

    @property
    def words(self) -> str:
        """How a claim failed; empty for other outcomes."""
        return self.row["words"]


def judged(results: Path = RESULTS) -> list[Judged]:
    """The claims of all registered experiments that have a claims.csv, in order."""
    found = []
    for name in EXPERIMENTS:
        path = results / name / "claims.csv"
        if not path.exists():
            continue
        found += judged_in(name, load(name).claims, path)
    return found


def judged_in(name: str, claims: Sequence[Claim], path: Path, more: str = "") -> list[Judged]:
    """The rows of a claims.csv with their claims. `more`: options of the command that rewrites the file."""
    known, rows = {claim.name: claim for claim in claims}, read_claims(path)
    if strangers := [row["claim"] for row in rows if row["claim"] not in known]:
        again = f"prospect report {name} {more}--from-summary"
        raise ValueError(
            f"{path} contains {', '.join(strangers)}, which {name} does not declare; to rewrite it: {again}"
        )
    return [Judged(name, known[row["claim"]], row) for row in rows]


def in_order(claims: Sequence[Judged]) -> list[Judged]:
    """The claims sorted by outcome, failed ones first."""
    return sorted(claims, key=lambda one: list(ORDER).index(one.outcome))


def counts(claims: Sequence[Judged]) -> str:
    """Number of claims per outcome, e.g. `12 FAIL, 30 INCONCLUSIVE, 0 NOT RUN, 40 PASS`."""
    return ", ".join(f"{sum(one.outcome == outcome for one in claims)} {outcome}" for outcome in ORDER)


# --- results/README.md -------------------------------------------------------------------------------


def overview(results: Path = RESULTS) -> Path:
    """Write results/README.md; returns its path."""
    results.mkdir(parents=True, exist_ok=True)
    path = results / "README.md"
    durable.write(path, overview_text(results).encode())
    return path


def overview_text(results: Path = RESULTS) -> str:
    """The text of the page: each claim as a sentence with its numbers and verdict, failed ones first."""
    every = judged(results)
    parts = {kind: [one for one in every if one.kind == kind] for kind in KINDS}
    lines = ["# Results", *(f"{title}: {counts(parts[kind])}." for kind, title in KINDS.items()), NOTE, GPU_NOTE]
    if missing := [name for name in EXPERIMENTS if not (results / name / "claims.csv").exists()]:
        lines.append(f"Without committed tables: {', '.join(missing)}.")
    for kind, title in KINDS.items():
        lines.append(f"## {title}")
        for outcome, heading in ORDER.items():
            if those := [one for one in parts[kind] if one.outcome == outcome]:
                lines += [f"### {heading}: {len(those)}", _table(those)]
    lines += [*_changes(every, results / BEFORE), "Made by `prospect report --all`; edits are overwritten."]
    return "\n\n".join(lines) + "\n"


NOTE = """A claim is written down before its runs, with the margin it must clear; one that fails stays. The difference
is in favour of the claim, with its 95 % interval; without a rival it is the mean itself. *Reduced budget*: the runs
were shorter than the source's. An experiment's page has the curves, all scores and the method of its intervals;
[undecided claims](UNDECIDED.md) says what would decide them, [metrics](../docs/metrics.md) where each figure is
computed, [the benches](bench/README.md) how fast it goes."""
GPU_NOTE = (
    "Claims about runs on a GPU, with settings of their own, are not among these: [they have a page](gpu/README.md)."
)


def _table(claims: Sequence[Judged]) -> str:
    lines = [
        [
            f"{one.text} ({one.claim.source})",
            one.figures,
            one.interval,
            one.method,
            one.verdict,
            f"[{one.experiment}]({one.experiment}/README.md)",
        ]
        for one in claims
    ]
    return markdown(
        ["claim (source)", "measured", "difference or mean [95 %]", "interval", "verdict", "experiment"], lines
    )


def _changes(claims: Sequence[Judged], before: Path) -> list[str]:
    """A section on the verdicts that changed with the method of the intervals, and why."""
    known = {(one.experiment, one.claim.name): one for one in claims}
    changed = verdict_changes({key: one.outcome for key, one in known.items()}, before)
    if not changed:
        return []
    lines = [
        [
            f"[{one.experiment}]({one.experiment}/README.md)", one.text,
            changed[one.experiment, one.claim.name], one.outcome, one.row["why"],
        ]
        for one in in_order([known[key] for key in changed])
    ]  # fmt: skip
    head = ["experiment", "claim", "before", "now", "why"]
    count = f"{len(changed)} of {len(claims)} verdicts are others now."
    cells = "Coverage, a mean over thousands of cells, has Welch's t and not the interval of bounded scores."
    return ["## How verdicts changed with the intervals", f"{CHANGES_NOTE} {cells} {count}", markdown(head, lines)]


# --- README.md ---------------------------------------------------------------------------------------


def front_table(results: Path = RESULTS) -> str:
    """The table of README.md: method, claim, measured numbers and verdict, failed ones first."""
    known = {(one.experiment, one.claim.name): one for one in judged(results)}
    methods = {(experiment, claim): method for method, experiment, claim in HEADLINES}
    if missing := [key for key in methods if key not in known]:
        raise ValueError(
            "no verdict for a row of the table in README.md: "
            + ", ".join(f"claim {claim!r} of {experiment}" for experiment, claim in missing)
        )
    lines = [
        [
            methods[one.experiment, one.claim.name] + (" (check of ours)" if one.kind == "check" else ""),
            one.text, one.figures,
            f"[{one.verdict}](results/{one.experiment}/README.md)",
        ]
        for one in in_order([known[key] for key in methods])
    ]  # fmt: skip
    return markdown(["method", "headline claim", "our number", "verdict"], lines)


def front_speed(results: Path = RESULTS) -> str:
    """The list of README.md with four measurements of speed."""
    values = [durable.read_object(results / "bench" / f"{name}.json")[figure] for name, figure, _ in SPEED]
    shown = [f"{x / 1e6:.3g} million" if x >= 1e6 else number(x) for x in values]
    return "\n".join(f"- {text.format(x)}" for x, (_, _, text) in zip(shown, SPEED, strict=True))


SPEED = (
    ("maze_rollout", "steps_per_s", "{} steps a second of the hard maze on one core, policies included"),
    ("native_env", "ratio_to_sync", "MuJoCo: {} times gymnasium's SyncVectorEnv, 64 environments on two cores"),
    (
        "ppo_loop",
        "ratio_to_sb3",
        "PPO's whole loop in DoorKey-8x8: {} times stable-baselines3's on Farama's, one core each",
    ),
    ("td3_loop", "ratio_to_sb3", "TD3's whole loop in HalfCheetah: {} times stable-baselines3's, two cores each"),
)
"""Benchmark, figure and sentence of each line of the list in README.md."""
MARKS = {"results": front_table, "speed": front_speed}
"""Name of a generated part of README.md -> function that makes its text."""


def with_front(text: str, results: Path = RESULTS) -> str:
    """The text of README.md with its generated parts replaced. Raises ValueError unless each has its two marks."""
    for name, made in MARKS.items():
        begin, end = BEGIN.format(name), END.format(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"README.md must have the marks {begin} and {end} once each")
        text = f"{text.split(begin)[0]}{begin}\n{made(results)}\n{end}{text.split(end)[1]}"
    return text


def write_front(root: Path = Path(), results: Path = RESULTS) -> list[Path]:
    """Rewrite README.md and docs/metrics.md of a clone; does nothing without a README.md with such marks."""
    front, metrics = root / "README.md", root / "docs" / "metrics.md"
    text = front.read_text("utf-8") if front.exists() else ""
    if not any(BEGIN.format(name) in text for name in MARKS):
        return []
    durable.write(front, with_front(text, results).encode())
    durable.write(metrics, page().encode())
    return [front, metrics]
