"""Claims about runs of the tier `gpu`, from their committed tables: results/gpu/README.md.

They are apart from those of the other tiers, because the settings are others. What was not run says so.
"""

from __future__ import annotations

from pathlib import Path

from prospect_rl.experiments.api import GPU
from prospect_rl.experiments.register import EXPERIMENTS, load
from prospect_rl.experiments.reports.overview import Judged, counts, judged_in
from prospect_rl.experiments.reports.report import RESULTS
from prospect_rl.experiments.reports.scores import markdown
from prospect_rl.experiments.run import durable

INTRO = """Some experiments have a fourth tier, `gpu`, for one GPU: large batches, all seeds of an agent as one
program, at most 25 minutes. Its settings are not those of the other tiers, so it has claims of its own; they are
written down before any of its runs. Where settings are searched (`prospect search`), the search uses seeds and levels
that no verdict does. A run that is stopped goes on where it was; the tables are a few small files."""
HEAD = ("claim (source)", "kind", "measured", "difference or mean [95 %]", "verdict")


def write(results: Path = RESULTS) -> Path:
    """Write results/gpu/README.md; returns its path."""
    path = results / GPU / "README.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, text(results).encode())
    return path


def text(results: Path = RESULTS) -> str:
    """The text of the page: each tier for a GPU in words, and its claims."""
    parts, every = [], list[Judged]()
    for name in EXPERIMENTS:
        if (experiment := load(name)).gpu is None:
            continue
        path = results / GPU / name / "claims.csv"
        found = judged_in(name, experiment.gpu_claims, path, f"--tier {GPU} ") if path.exists() else []
        run = {one.claim.name: one for one in found}
        claims = [run.get(claim.name, Judged(name, claim, {"outcome": "NOT RUN"})) for claim in experiment.gpu_claims]
        lines = [[f"{one.text} ({one.claim.source})", one.kind, *_measured(one)] for one in claims]
        title = f"[{name}]({name}/README.md)" if run else name
        parts += [f"## {title}", experiment.gpu_text, f"`make {name} TIER={GPU}`", markdown(HEAD, lines)]
        every += claims
    intro = ["# Claims about runs on a GPU", f"{counts(every)}.", INTRO]
    return "\n\n".join([*intro, *parts, "Made by `prospect report --all`; edits are overwritten."]) + "\n"


def _measured(one: Judged) -> list[str]:
    return ["–", "–", one.outcome] if one.outcome == "NOT RUN" else [one.figures, one.interval, one.verdict]
