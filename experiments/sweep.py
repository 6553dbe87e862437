"""Many runs: a sorted list of jobs, each done by a process of its own with one XLA thread.

    with pool(workers) as workers:            # one process after another, or Ray tasks; BEFORE JAX is imported
        jobs = plan(load("serene_maze"), "repro")
        outcome = sweep(jobs, workers)

A job is a few plain values; the worker rebuilds the run from them. A run finds its own newest checkpoint, so a
retry, a lost node and a second call of the sweep are one code path. XLA's bits depend on its number of threads,
so every way of running sets it to one, and all ways give the same files.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospect_rl.experiments import durable
from prospect_rl.experiments.api import Data, Experiment, Tier, load
from prospect_rl.experiments.workers import Pool

if TYPE_CHECKING:
    from prospect_rl.experiments.runs import Run

CRASHES = 2
"""A run whose process died (memory, a lost node) is tried again this many times; one that raised is not."""
NOTICES = "notices.json"
"""In a run's folder: a list of texts, each once."""


@dataclass(frozen=True)
class Job:
    """One run as a worker receives it."""

    payload: dict[str, Any]
    """JSON values: {experiment, tier or trial, label, env, seeds} or {agent, fields, env, env_fields, seeds, ...}."""
    out: Path
    """The run's folder, absolute."""
    env: str
    label: str
    seeds: tuple[int, ...]
    budget: int
    hash: str

    @property
    def title(self) -> str:
        """For people, e.g. `maze/hard SERENE seed 3`."""
        return f"{self.env} {self.label} {seeds_name(self.seeds).replace('-', ' ', 1)}"

    @property
    def message(self) -> dict[str, Any]:
        """What is sent to the worker."""
        return {**self.payload, "out": str(self.out)}

    def finished(self) -> bool:
        """Whether the folder holds this very run, finished."""
        try:
            result = json.loads((self.out / "result.json").read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(result, dict) and result.get("hash") == self.hash and bool(result.get("finished"))

    def progress(self) -> float:
        """Part of the budget that was used when it last saved (work that a crash undid counts twice)."""
        return min(1.0, sum(row["used"] for row in read_lines(self.out / "timing.jsonl")) / self.budget)


@dataclass
class Outcome:
    """What became of a sweep."""

    skipped: list[Job] = field(default_factory=list)
    """Had finished before."""
    finished: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)
    """With the last line of the error."""


def seeds_name(seeds: Sequence[int]) -> str:
    """`seed-3`, or `seeds-0-4` for several in one run."""
    return f"seed-{seeds[0]}" if len(seeds) == 1 else f"seeds-{seeds[0]}-{seeds[-1]}"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file that may be being written; nothing where there is none."""
    try:
        return durable.read_lines(path, whole=True)
    except OSError:
        return []


def notices(out: Path) -> list[str]:
    """What a run in a sweep has told the user; nothing where the file is absent or damaged."""
    try:
        found = json.loads((out / NOTICES).read_bytes())
    except (OSError, ValueError):
        return []
    return [str(text) for text in found] if isinstance(found, list) else []


# --- jobs --------------------------------------------------------------------------------------------


def resolve(payload: dict[str, Any]) -> Run:
    """The run that a job's payload stands for. Raises ValueError with one line where it stands for none."""
    from prospect_rl import agents
    from prospect_rl.experiments.runs import Run

    seeds = tuple(payload["seeds"])
    if "experiment" in payload:
        experiment = load(payload["experiment"])
        settings = payload.get("trial")
        tier = experiment.tier(payload["tier"]) if settings is None else experiment.trial(dict(_pairs(settings)))
        return cell(tier, payload["label"], payload["env"], seeds)
    return Run(
        agent=agents.make(payload["agent"], **dict(_pairs(payload["fields"]))), env=payload["env"],
        env_fields=_pairs(payload["env_fields"]), seeds=seeds, budget=payload["budget"], evals=payload["evals"],
        eval_episodes=payload["eval_episodes"], name=payload["agent"],
        dataset=Data(**payload["dataset"]) if payload.get("dataset") else None,
    )  # fmt: skip


def cell(tier: Tier, label: str, env: str, seeds: tuple[int, ...]) -> Run:
    """The run of one cell of a tier."""
    from prospect_rl.experiments.runs import Run

    return Run(
        agent=tier.agents[label], env=env, env_fields=_pairs(tier.env_fields.get(env, {})), seeds=seeds,
        budget=tier.budget_of(env), evals=tier.evals, eval_episodes=tier.eval_episodes, name=label,
        dataset=tier.dataset_of(label, env, seeds), exams=tier.exams.get(label, ()),
    )  # fmt: skip


def _pairs(fields: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Fields as `Run` wants them, with the tuples that JSON has made lists of."""

    def hashable(x: Any) -> Any:
        return tuple(map(hashable, x)) if isinstance(x, list) else x

    return tuple((name, hashable(x)) for name, x in sorted(fields.items()))


def make_job(payload: dict[str, Any], out: Path, run: Run | None = None) -> Job:
    """A job with the identity of its run: seeds, budget and hash. Raises ValueError where these decide no result."""
    run = run or resolve(payload)
    if run.dataset:
        run.dataset.check()
    assert isinstance(run.env, str)
    return Job(payload, out.resolve(), run.env, run.name, tuple(run.seeds), run.budget, run.hash)


def plan(
    experiment: Experiment,
    tier: str,
    *,
    root: Path | None = None,
    seeds: int | None = None,
    agents: Sequence[str] | None = None,
) -> list[Job]:
    """All runs of a tier in a fixed order: environment, then seed, then agent, so that a partial sweep is balanced.

    `seeds` limits the number of seeds; `agents` the labels. Agents whose seeds are vmapped get one run for all
    their seeds, unless each learns from data of its own. Raises ValueError for an unknown label or tier.
    """
    from prospect_rl.agents.api import wants_of
    from prospect_rl.envs.names import unknown
    from prospect_rl.experiments.runs import runs_root

    cells = experiment.tier(tier)
    for label in agents or ():
        if label not in cells.agents:
            raise unknown("agent", label, cells.agents)
    if seeds is not None and seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}")
    base, listed = Path(root or runs_root()) / experiment.name / tier, []
    for e, env in enumerate(cells.envs):
        for a, (label, agent) in enumerate(cells.agents.items()):
            if agents and label not in agents:
                continue
            numbers = tuple(range(min(cells.seeds_of(label), seeds or cells.seeds_of(label))))
            together = agent.vmap_seeds and len(wants_of(agent)) == 1 and not callable(cells.data_of(label, env))
            for batch in [numbers] if together else [(s,) for s in numbers]:
                of = {"experiment": experiment.reference, "tier": tier, "label": label, "env": env}
                out = base / env.replace("/", "-") / label / seeds_name(batch)
                job = make_job(of | {"seeds": list(batch)}, out, cell(cells, label, env, batch))
                listed.append(((e, batch[0], a), job))
    return [job for _, job in sorted(listed, key=lambda pair: pair[0])]


def work(message: dict[str, Any]) -> None:
    """Do one job, in a worker process. An error leaves its traceback in the run's folder and goes on upwards.

    A worker that was cut off may still be saving its run: its folder is waited for.
    """
    from prospect_rl.experiments.lock import EXPIRY, Busy
    from prospect_rl.experiments.runs import enable_compilation_cache

    if message.get("nice"):
        os.setpriority(os.PRIO_PROCESS, 0, 10)
    out, until = Path(message["out"]), time.monotonic() + 1.5 * EXPIRY
    try:
        enable_compilation_cache()
        while True:
            try:
                return _train(message, out)
            except Busy:
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)
    except Exception:
        out.mkdir(parents=True, exist_ok=True)
        (out / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        raise


def _train(message: dict[str, Any], out: Path) -> None:
    from prospect_rl.experiments.driver import train_run

    def keep(now: dict[str, Any]) -> None:
        known = notices(out)
        if new := [text for text in now["notices"] if text not in known]:
            durable.write(out / NOTICES, durable.dumps([*known, *new], indent=1).encode())

    train_run(resolve(message), out=out, progress=keep)
    (out / "error.txt").unlink(missing_ok=True)


# --- the loop ----------------------------------------------------------------------------------------


@dataclass
class Progress:
    """Where a sweep stands; handed to the display about once a second."""

    total: int
    outcome: Outcome
    running: tuple[Job, ...] = ()
    waiting: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        """Part of all budgets that is used, 0 to 1."""
        over = self.total - len(self.running) - self.waiting
        return (over + sum(job.progress() for job in self.running)) / max(1, self.total)

    def seconds_left(self) -> float | None:
        """An estimate from the runs of this call alone; None before there is any."""
        skipped = len(self.outcome.skipped) / max(1, self.total)
        gained = self.share - skipped
        return (time.monotonic() - self.started) * (1 - self.share) / gained if gained > 0.01 else None


def sweep(
    jobs: Iterable[Job], pool: Pool, *, nice: bool = False, display: Callable[[Progress], None] | None = None
) -> Outcome:
    """Run all jobs that have not finished; failures are collected, never hidden.

    Jobs of one configuration and seed are one run: it is done once, and its folder copied for the others. On
    KeyboardInterrupt the running ones are asked to save and to stop, and the interrupt goes on upwards.
    """
    jobs, outcome, crashes = list(jobs), Outcome(), dict[Path, int]()
    todo = list[Job]()
    for job in jobs:  # each result is read once: there may be ten thousand
        (outcome.skipped if job.finished() else todo).append(job)
    done = {job.hash: job for job in outcome.skipped}
    outcome.finished = [_copied(done[job.hash], job) for job in todo if job.hash in done and not job.out.exists()]
    copied = {job.out for job in outcome.finished}
    waiting, twins = _without_twins(job for job in todo if job.out not in copied)
    progress = Progress(len(jobs), outcome)
    try:
        while waiting or pool.running:
            while waiting and len(pool.running) < pool.capacity:
                job = waiting.popleft()
                pool.start(job, {**job.message, "nice": nice})
            for job, error, crashed in pool.wait(1.0):
                if error is None:
                    outcome.finished += [job, *(_copied(job, twin) for twin in twins.pop(job.hash, ()))]
                elif crashed and crashes.get(job.out, 0) < CRASHES:
                    crashes[job.out] = crashes.get(job.out, 0) + 1
                    waiting.append(job)
                else:
                    outcome.failed += [(failed, error) for failed in (job, *twins.pop(job.hash, ()))]
            progress.running = tuple(pool.running)
            progress.waiting = len(waiting) + sum(map(len, twins.values()))
            if display:
                display(progress)
    except KeyboardInterrupt:
        pool.interrupt()
        raise
    place = {job.out: i for i, job in enumerate(jobs)}
    outcome.finished.sort(key=lambda job: place[job.out])
    outcome.failed.sort(key=lambda pair: place[pair[0].out])
    return outcome


def _without_twins(jobs: Iterable[Job]) -> tuple[deque[Job], dict[str, list[Job]]]:
    """(jobs to do, hash -> those that are the same run as one of them and have not begun)."""
    waiting, twins, hashes = deque[Job](), dict[str, list[Job]](), set[str]()
    for job in jobs:
        if job.hash in hashes and not job.out.exists():
            twins.setdefault(job.hash, []).append(job)
        else:
            waiting.append(job)
            hashes.add(job.hash)
    return waiting, twins


def _copied(job: Job, twin: Job) -> Job:
    """The twin, whose folder is now that of a finished job: copied aside, then renamed."""
    aside = twin.out.with_name(f".{twin.out.name}.copy")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(job.out, aside, ignore=shutil.ignore_patterns("lock*", ".lock*"))
    aside.rename(twin.out)
    return twin
