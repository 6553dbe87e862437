"""The report of an experiment: tables, verdicts on claims and figures, all generated.

    run folders -> summary.csv, curves.csv, archive.npz -> README.md, claims.csv, curves.png, archive.png

The archive exists only if an agent has one. The second step needs no runs. The same runs give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prospect_rl.experiments.api import GPU, TIERS, Claim, Experiment
from prospect_rl.experiments.metrics import number, sentence
from prospect_rl.experiments.reports import kinds, records, tables_csv
from prospect_rl.experiments.reports.budgets import in_words, least_of, on_one_axis
from prospect_rl.experiments.reports.claims import METHODS_NOTE, Verdict, judge
from prospect_rl.experiments.reports.kinds import devices_in
from prospect_rl.experiments.reports.records import Row
from prospect_rl.experiments.reports.scores import cell_table, finished, markdown, sums_table
from prospect_rl.experiments.reports.statistics import LEVEL
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.run.device import KINDS
from prospect_rl.experiments.sweeps.job import Job, plan

RESULTS = Path("results")
CLAIM_HEAD = (
    "claim", "outcome", "env", "metric", "left", "right", "left_mean", "right_mean", "left_iqm", "right_iqm",
    "left_seeds", "right_seeds", "left_missing", "right_missing", "difference", "low", "high", "margin", "p", "reduced",
    "left_planned", "right_planned", "kind", "scores", "method", "coverage", "words",
    "why",
)  # fmt: skip
BEFORE = "verdicts_before.csv"
"""File with the earlier verdicts, under the percentile bootstrap: experiment, claim, outcome."""


@dataclass(frozen=True)
class Report:
    """The files of a report and the verdicts on its claims."""

    folder: Path
    """Folder of the report's files."""
    verdicts: list[Verdict]
    """Verdicts in the order of the claims."""
    pictures: list[Path]
    """Paths of the figures that were drawn."""


def report(
    experiment: Experiment, tier: str, *, root: Path | None = None, out: Path | None = None, from_summary: bool = False
) -> Report:
    """Read the runs of a tier under `root` and write the report into `out`; smoke reports are written beside the runs.

    A cell (environment, label) for which the tables in `out` have more finished seeds than there are runs, with the
    current configuration, is kept: runs may be made on several machines. `from_summary` uses only these tables. Raises
    ValueError if no run has finished, or if the tables belong to another tier.
    """
    folder = out or _folder(experiment, tier, root)
    if not from_summary:
        before = records.tables_in(folder)
        jobs = _planned(experiment, tier, root, before.summary)
        found = records.read(jobs, tier)
        if not found:
            command = f"prospect run {experiment.name} --tier {tier}"
            raise ValueError(f"no finished run of {experiment.name} ({tier}); start them with: {command}")
        records.tables(experiment, tier, found).over(before, jobs).write(folder)
    return render(experiment, tier, folder)


def _planned(experiment: Experiment, tier: str, root: Path | None, before: Sequence[Row]) -> list[Job]:
    """The runs of a tier as declared, and those that a folder or the tables show: on a GPU, or of fewer seeds as one.

    Most seeds first, so that a run of fewer counts only where the larger one has not finished.
    """
    jobs, cells = plan(experiment, tier, root=root), experiment.tier(tier)
    base, known, seen = jobs[0].out.parents[2], {row["hash"] for row in before}, dict[tuple[str, ...], int]()
    for row in before:
        cell = (*kinds.cell_of(row), kinds.kind_of(row))
        seen[cell] = max(seen.get(cell, 0), int(row["seed"]) + 1)
    counts = {*seen.values(), *(int(path.name.split("-")[2]) + 1 for path in base.glob("*/*/seeds-0-*"))}
    for kind in KINDS[tier == GPU :]:
        other = kind != jobs[0].device
        if other and not any(base.glob(f"*/*/*-{kind}")) and kind not in {cell[2] for cell in seen}:
            continue
        most = max(cells.seeds_of(label, kind) for label in cells.agents)
        for count in (*([most] if other else ()), *sorted((x for x in counts if x < most), reverse=True)):
            more = plan(experiment, tier, root=root, device=kind, seeds=count)
            jobs += [job for job in more if job.out.exists() or job.hash in known]
    return list({job.out: job for job in jobs}.values())


def _folder(experiment: Experiment, tier: str, root: Path | None) -> Path:
    from prospect_rl.experiments.run.machine import runs_root

    if tier == "smoke":
        return Path(root or runs_root()) / experiment.name / tier / "report"
    return RESULTS / GPU / experiment.name if tier == GPU else RESULTS / experiment.name


def render(experiment: Experiment, tier: str, folder: Path) -> Report:
    """Write README.md, claims.csv and the figures from the tables in `folder`."""
    if not (folder / "summary.csv").exists():
        raise ValueError(f"file not found: {folder / 'summary.csv'}")
    rows = records.read_summary(folder)
    if rows[0]["tier"] != tier:
        raise ValueError(f"{folder} contains tier {rows[0]['tier']!r}, not {tier!r}")
    cells = experiment.tier(tier)
    known = [claim for claim in experiment.claims_of(tier) if set(claim.envs) <= set(cells.envs)]
    verdicts = [judge(claim, rows, budget=least_of(claim, cells, rows), tier=cells) for claim in known]
    tables_csv.write_csv(folder / "claims.csv", [_claim_row(v) for v in verdicts], CLAIM_HEAD)
    pictures = _draw(experiment, tier, folder, rows)
    durable.write(folder / "README.md", readme(experiment, tier, rows, verdicts, pictures, folder).encode())
    return Report(folder, verdicts, pictures)


def _draw(experiment: Experiment, tier: str, folder: Path, rows: Sequence[Row]) -> list[Path]:
    from prospect_rl import envs
    from prospect_rl.experiments.reports import plots

    cells, labels, drawn = experiment.tier(tier), list(experiment.tier(tier).agents), []
    found = records.tables_in(folder).shown()
    if "curves" in experiment.pictures and found.curves:
        plots.draw_curves(*on_one_axis(found.curves, rows), labels, folder / "curves.png")
        drawn.append(folder / "curves.png")
    if "exams" in experiment.pictures:
        plots.draw_exams(found.summary, labels, folder / "exams.png")
        drawn.append(folder / "exams.png")
    if "archive" in experiment.pictures and found.archives:
        made = {env: envs.make(env, **cells.env_fields.get(env, {})) for env in cells.envs}
        if plots.draw_archives(found.archives, made, labels, folder / "archive.png"):
            drawn.append(folder / "archive.png")
    return drawn


def _claim_row(v: Verdict) -> Row:
    claim, right = v.claim, v.right
    return {
        "claim": claim.name, "outcome": v.outcome, "env": claim.env, "metric": claim.metric, "left": claim.left,
        "right": claim.right or "", "left_mean": v.left.mean, "right_mean": right.mean if right else math.nan,
        "left_iqm": v.left.iqm, "right_iqm": right.iqm if right else math.nan, "left_seeds": v.left.seeds,
        "right_seeds": right.seeds if right else 0, "left_missing": v.left.missing,
        "right_missing": right.missing if right else 0, "difference": v.difference, "low": v.low, "high": v.high,
        "margin": claim.margin, "p": v.p, "reduced": v.reduced, "left_planned": v.left.planned,
        "right_planned": right.planned if right else 0, "kind": claim.kind, "scores": claim.scores.kind,
        "method": v.method, "coverage": v.coverage, "words": v.words,
        "why": why(v), **({"others": v.others} if v.others else {}),
    }  # fmt: skip


# --- README.md ---------------------------------------------------------------------------------------


def readme(
    experiment: Experiment, tier: str, rows: Sequence[Row], verdicts: Sequence[Verdict], pictures: Sequence[Path],
    folder: Path,
) -> str:  # fmt: skip
    """The text of an experiment's page."""
    cells = experiment.tier(tier)
    parts = [
        f"# {experiment.title}",
        "\n\n".join(filter(None, [experiment.text, experiment.gpu_text if tier == GPU else ""])),
        f"Source: {experiment.source}",
        _facts(experiment, tier, rows),
    ]
    if experiment.claims_of(tier):
        parts += ["## Claims", claims_table(verdicts), CLAIMS_NOTE, METHODS_NOTE]
        known = {(experiment.name, v.claim.name): v for v in verdicts}
        changed = verdict_changes({key: v.outcome for key, v in known.items()}, folder.parent / BEFORE)
        if changed:
            lines = [[key[1], was, known[key].outcome, why(known[key])] for key, was in changed.items()]
            parts += ["## How verdicts changed", CHANGES_NOTE, markdown(["claim", "before", "now", "why"], lines)]
    for env in cells.envs:
        parts += [f"## {env}", *cell_table(experiment, tier, env, rows)]
    if experiment.sums:
        parts += [f"## Sums over all {len(cells.envs)}", *sums_table(experiment, tier, rows)]
    parts += [f"![{path.stem}]({path.name})" for path in pictures]
    if any(path.stem == "curves" for path in pictures):
        parts.append(CURVES_NOTE)
    if any(path.stem == "exams" for path in pictures):
        parts.append("Success in changed environments: means over seeds, and each seed as a dot.")
    if any(path.stem == "archive" for path in pictures):
        parts.append("Archives of the first seed. Grey: where exploring policies ended; dots: stored ones, by reward.")
    parts.append(f"{METRICS_NOTE} Made by `prospect report` from the tables beside it; edits are overwritten.")
    return "\n\n".join(parts) + "\n"


CLAIMS_NOTE = (
    "PASS: the whole 95 % interval of the difference exceeds the margin, or lies within the stated bounds. FAIL: it "
    "lies wholly on the other side; *worse* where it lies below 0 too, else *not better by the margin*. Without a "
    "rival the figure is the mean itself, which must exceed the margin, or stay below it where less is claimed. NOT "
    "RUN: fewer than three seeds a side. Paper: a claim printed in one; check: a sanity bound, or a reading of ours. "
    "p: one-sided Mann-Whitney. In brackets: runs with a value, of those planned. Reduced: the budget was below the "
    "source's."
)
CHANGES_NOTE = (
    "Before these intervals, verdicts rested on a percentile bootstrap of the means, whose 95 % interval covers in 74 "
    "% of draws with three seeds a side and in 85 % with five. No run was added or left out."
)
CURVES_NOTE = (
    "Lines: interquartile mean over seeds; bands: its percentile bootstrap, too narrow at few seeds, which decides "
    "nothing."
)


def verdict_changes(now: Mapping[tuple[str, str], str], before: Path) -> dict[tuple[str, str], str]:
    """(experiment, claim) -> earlier verdict, under the percentile bootstrap, where the interval has changed it."""
    if not before.exists():
        return {}
    old = {(row["experiment"], row["claim"]): row["outcome"] for row in read_claims(before)}
    return {key: old[key] for key, outcome in now.items() if old.get(key, outcome) != outcome != "NOT RUN"}


def why(v: Verdict) -> str:
    """The reason of a verdict in one sentence."""
    seeds = " and ".join(str(len(s.values)) for s in (v.left, v.right) if s)
    if not math.isfinite(v.low):
        return f"Values of {seeds} seeds do not make an interval."
    claim, sides = v.claim, ("above", "below")
    if claim.within:
        good, bad = "within", "outside"
    else:
        good, bad = sides[::-1] if v.right is None and claim.better == "lower" else sides
    place = {"PASS": f"lies {good}", "FAIL": f"lies {bad}"}.get(v.outcome, "reaches over")
    spread = f"{number(v.low)} to {number(v.high)}"
    usual = "95 % " if v.level == LEVEL else ""
    where = " No kind of device has seeds of both sides." if v.apart else ""
    return f"The {usual}interval ({v.method}; {seeds} seeds) is {spread}: it {place} {bound_of(claim)}.{where}"


def bound_of(claim: Claim) -> str:
    """The bound that a claim's interval is compared with: its margin, or its two bounds."""
    return f"{number(claim.within[0])} to {number(claim.within[1])}" if claim.within else number(claim.margin)


DEVICES_NOTE = (
    "runs were on cores, except where a number of seeds names another device. A claim, a figure and a table "
    "have seeds on one kind of device, CPU or GPU, for all their agents: the kind on which the agent with fewest seeds "
    "has more. A claim names the seeds on the other kind, which it leaves out; where no kind has seeds of both its "
    "sides, each has its own, and the claim says so."
)
METRICS_NOTE = "What each metric is, its name in the tables and where it is computed: `docs/metrics.md`."


def _facts(experiment: Experiment, tier: str, rows: Sequence[Row]) -> str:
    cells = experiment.tier(tier)
    minutes = sum({row["hash"]: row["wall_minutes"] for row in rows}.values())
    where = "" if tier == GPU else ", one core a run"
    lines = [
        f"- Tier `{tier}`: {in_words(cells, rows)}; {finished(experiment, tier, rows)}.",
        f"- Command: `make {experiment.name} TIER={tier}`",
        f"- Newest result: {max(row['date'] for row in rows)}; {number(minutes)} wall minutes{where}.",
        *(f"- Versions: {versions}" for versions in sorted({row["versions"] for row in rows})),
        *([f"- Devices: {DEVICES_NOTE}"] if devices_in(rows) else []),
    ]
    return "\n".join(lines)


def claims_table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a Markdown table."""
    lines = []
    for v in verdicts:
        claim = v.claim
        both = [s for s in (v.left, v.right) if s]
        named = v.others or v.apart or any(s.devices for s in both)
        on = [f", on {s.devices or 'cpu'}" if named else "" for s in both]
        sides = [
            f"{s.label}: {number(s.mean)} ({len(s.values)} of {s.planned}{device})"
            for s, device in zip(both, on, strict=True)
        ]
        if v.right and claim.part != 1:
            sides[-1] += f", {number(claim.part)} of it: {number(claim.part * v.right.mean)}"
        sides += [f"left out: {v.others}"] if v.others else []
        spread = f"{number(v.difference)} [{number(v.low)}, {number(v.high)}]"
        outcome = f"**{v.outcome}**" + (f", {v.words}" if v.words else "") + (" (reduced)" if v.reduced else "")
        method = v.method if math.isnan(v.coverage) else f"{v.method}, covers {100 * v.coverage:.0f} %"
        said, means = f"{sentence(claim.text, claim.env)} ({claim.source})", "; ".join(sides)
        bound, p = bound_of(claim), number(v.p)
        lines.append([claim.name, claim.kind, said, outcome, means, spread, bound, method, p])
    head = ["claim", "kind", "statement", "verdict", "means", "difference or mean [95 %]", "margin", "interval", "p"]
    return markdown(head, lines)


# --- all experiments ---------------------------------------------------------------------------------


def read_claims(path: Path) -> list[dict[str, str]]:
    """Read the rows of a claims.csv as text."""
    return [row for _, row in tables_csv.read_text_csv(path)]


def tier_of(folder: Path) -> str | None:
    """The tier of the committed tables in a folder; None if there are none."""
    path = folder / "summary.csv"
    tier = records.read_summary(folder)[0]["tier"] if path.exists() else None
    return tier if tier in TIERS else None
