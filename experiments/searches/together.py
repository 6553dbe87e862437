"""Searches whose trials differ only in `traced` floats: the trials of a rung are one program per worker.

Trials stop by synchronous successive halving: at rows grace, grace * reduction, ... all trials reach the row before any
is compared, and those continue that are among the best 1 / reduction of all that ever reached it. Which trials stop
therefore does not depend on timing. The others become a smaller program, which must be compiled. Folders are those of
searches by Ray Tune (`tuning`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from prospect_rl.agents.api import traced
from prospect_rl.experiments.search_space import Choice, Domain, IntUniform, Search
from prospect_rl.experiments.searches.study import Study, Trial, worth
from prospect_rl.experiments.sweeps.child import last_line
from prospect_rl.experiments.sweeps.sweep import CRASHES, Progress
from prospect_rl.experiments.sweeps.workers import Pool

MOST = 16
"""Largest number of trials in a program: with more, compiling saves little time and memory grows."""
Batch = tuple[Trial, ...]


def possible(study: Study) -> bool:
    """Whether the trials of a search may be one program."""
    names = traced(study.trials[0].run.agent)
    return all(name in names and real(domain) for name, domain in study.search.space.items())


def real(domain: Domain) -> bool:
    """Whether all values of a domain are real numbers."""
    if isinstance(domain, Choice):
        return all(isinstance(x, int | float) and not isinstance(x, bool) for x in domain.options)
    return not isinstance(domain, IntUniform)


def rungs(search: Search) -> Iterator[int]:
    """The rows at which trials are compared; the last one is the end of the trials."""
    row = search.grace
    while row < search.evals:
        yield row
        row *= search.reduction
    yield search.evals


def run(
    study: Study, pool: Pool, *, nice: bool = False, display: Callable[[Progress], None] | None = None
) -> None:  # fmt: skip
    """Run the trials that have not ended. KeyboardInterrupt is raised after the trials have saved."""
    begun = study.progress()

    def tell() -> None:
        if display:
            display(study.progress(begun))

    tell()
    for row in rungs(study.search):
        last = row == study.search.evals
        going = [trial for trial in study.trials if not study.over(trial) and trial.number not in study.failed]
        behind = [trial for trial in going if last or study.last(trial)[0] < row]
        try:
            _bring(study, behind, row, pool, nice, tell)
        except KeyboardInterrupt:
            pool.interrupt()
            raise
        if not last:
            judge(study, row)
            tell()


def judge(study: Study, row: int) -> None:
    """Stop the trials that are not among the best at a row; trials with equal scores all continue."""
    search, scored = study.search, dict[int, float]()
    for trial in study.trials:
        found = trial.scores(search)[: study.stopped.get(trial.number)]
        if len(found) >= row:
            scored[trial.number] = worth(search, found[row - 1])
    if not scored:
        return
    bound = np.percentile(list(scored.values()), 100 * (1 - 1 / search.reduction))
    for trial in study.trials:
        if scored.get(trial.number, bound) < bound and not study.over(trial):
            study.stop(trial.number, row)


def batches(trials: Sequence[Trial], workers: int) -> deque[Batch]:
    """The trials in parts of similar size: one per worker, or more if a program would have too many trials."""
    count = min(len(trials), max(workers, -(-len(trials) // MOST)))
    parts = np.array_split(range(len(trials)), count) if count else []
    return deque(tuple(trials[i] for i in part) for part in parts)


def _bring(
    study: Study, trials: Sequence[Trial], row: int, pool: Pool, nice: bool, tell: Callable[[], None]
) -> None:  # fmt: skip
    """Run trials up to a row; those that do not reach it have failed."""
    waiting, crashes = batches(trials, pool.capacity(study.device)), Counter[int]()
    while waiting or pool.running:
        while waiting and pool.room(study.device):
            batch = waiting.popleft()
            study.running |= {trial.number for trial in batch}
            pool.start(batch, message(study, batch, row, nice))
        for batch, error, crashed in pool.wait(1.0):
            if crashed and crashes[batch[0].number] < CRASHES:
                crashes[batch[0].number] += 1
                waiting.append(batch)
                continue
            for trial in batch:
                there = trial.job.finished() or (study.last(trial)[0] >= row and row < study.search.evals)
                study.end(trial.number, None if there else error or _why(trial.job.out))
        tell()


def message(study: Study, batch: Batch, row: int, nice: bool) -> dict[str, object]:
    """What a worker is sent."""
    return {
        "together": [trial.job.message for trial in batch], "fields": sorted(study.search.space), "rows": row,
        "nice": nice, "device": study.device,
    }  # fmt: skip


def _why(out: Path) -> str:
    path = out / "error.txt"
    return last_line(path.read_text(encoding="utf-8")) if path.exists() else "it did not come to its end"
