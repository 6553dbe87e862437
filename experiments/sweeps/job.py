"""A job: the description of one run as JSON values, from which a worker process rebuilds the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospect_rl.experiments.api import GPU, Data, Experiment, Tier, seeds_name
from prospect_rl.experiments.register import load
from prospect_rl.experiments.run import durable

if TYPE_CHECKING:
    from prospect_rl.experiments.run.config import Run


NOTICES = "notices.json"
"""File in a run's folder with a JSON list of distinct messages."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as a worker receives it."""

    payload: dict[str, Any]
    """JSON values: {experiment, tier or trial, label, env, seeds} or {agent, fields, env, env_fields, seeds, ...}; and
    {device} for a run that is not on the CPU."""
    out: Path
    """Absolute path of the run's folder."""
    env: str
    """Id of the run's environment."""
    label: str
    """Label of the agent in the experiment."""
    seeds: tuple[int, ...]
    """Seeds that the run trains together."""
    budget: int
    """Budget of the run, in the agent's unit."""
    hash: str
    """Hash of the run's configuration (`Run.hash`)."""

    @property
    def title(self) -> str:
        """A human-readable title, e.g. `maze/hard SERENE seed 3`."""
        return f"{self.env} {self.label} {seeds_name(self.seeds).replace('-', ' ', 1)}"

    @property
    def device(self) -> str:
        """The kind of device that the run is for."""
        return self.payload.get("device", "cpu")

    @property
    def message(self) -> dict[str, Any]:
        """The message that is sent to the worker."""
        return {**self.payload, "out": str(self.out)}

    def finished(self) -> bool:
        """Whether the folder contains this run, finished."""
        try:
            result = json.loads((self.out / "result.json").read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(result, dict) and result.get("hash") == self.hash and bool(result.get("finished"))

    def progress(self) -> float:
        """Fraction of the budget used at the last checkpoint (work lost in a crash is counted twice)."""
        return min(1.0, sum(row["used"] for row in read_lines(self.out / "timing.jsonl")) / self.budget)


@dataclass
class Outcome:
    """The result of a sweep."""

    skipped: list[Job] = field(default_factory=list)
    """Jobs that were already finished before the sweep."""
    finished: list[Job] = field(default_factory=list)
    """Jobs that finished during the sweep."""
    failed: list[tuple[Job, str]] = field(default_factory=list)
    """Failed jobs, each with the last line of its error."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a JSON-lines file that another process may be writing; empty if there is no file."""
    try:
        return durable.read_lines(path, whole=True)
    except OSError:
        return []


def notices(out: Path) -> list[str]:
    """The notices of a run in a sweep; empty if the file is missing or damaged."""
    try:
        found = json.loads((out / NOTICES).read_bytes())
    except (OSError, ValueError):
        return []
    return [str(text) for text in found] if isinstance(found, list) else []


def resolve(payload: dict[str, Any]) -> Run:
    """Rebuild the run from a job's payload. Raises ValueError, with a one-line message, for an invalid payload."""
    from prospect_rl import agents
    from prospect_rl.experiments.run.config import Run

    seeds, device = tuple(payload["seeds"]), payload.get("device", "cpu")
    if "experiment" in payload:
        experiment = load(payload["experiment"])
        settings = payload.get("trial")
        tier = experiment.tier(payload["tier"]) if settings is None else experiment.trial(dict(_pairs(settings)))
        return cell(tier, payload["label"], payload["env"], seeds, device)
    return Run(
        agent=agents.make(payload["agent"], **dict(_pairs(payload["fields"]))), env=payload["env"],
        env_fields=_pairs(payload["env_fields"]), seeds=seeds, budget=payload["budget"], evals=payload["evals"],
        eval_episodes=payload["eval_episodes"], name=payload["agent"],
        dataset=Data(**payload["dataset"]) if payload.get("dataset") else None, device=device,
    )  # fmt: skip


def cell(tier: Tier, label: str, env: str, seeds: tuple[int, ...], device: str = "cpu") -> Run:
    """The run of one agent in one environment of a tier, with these seeds, on a kind of device."""
    from prospect_rl.experiments.run.config import Run

    return Run(
        agent=tier.agent_of(label, env), env=env, env_fields=_pairs(tier.env_fields.get(env, {})), seeds=seeds,
        budget=tier.budget_of(env, label), evals=tier.evals, eval_episodes=tier.eval_episodes, name=label,
        dataset=tier.dataset_of(label, env, seeds), exams=tier.exams.get(label, ()), device=device,
    )  # fmt: skip


def _pairs(fields: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Fields as sorted pairs for `Run`; lists, which JSON made of tuples, become tuples again."""

    def hashable(x: Any) -> Any:
        return tuple(map(hashable, x)) if isinstance(x, list) else x

    return tuple((name, hashable(x)) for name, x in sorted(fields.items()))


def make_job(payload: dict[str, Any], out: Path, run: Run | None = None) -> Job:
    """A job with its run's seeds, budget and hash. Raises ValueError if these do not determine the result."""
    run = run or resolve(payload)
    if run.dataset:
        run.dataset.check()
    assert isinstance(run.env, str)
    return Job(payload, out.resolve(), run.env, run.name, tuple(run.seeds), run.budget, run.hash)


def on(payload: dict[str, Any], device: str) -> dict[str, Any]:
    """A payload with its kind of device, which is left out for the CPU."""
    return payload if device == "cpu" else payload | {"device": device}


def folder_name(seeds: Sequence[int], device: str) -> str:
    """The name of a run's folder in a tier: its seeds, and the kind of device unless that is the CPU."""
    return seeds_name(seeds) + ("" if device == "cpu" else f"-{device}")


def _runs(cells: Tier, label: str, env: str, most: int | None, device: str) -> tuple[str, list[tuple[int, ...]]]:
    """(kind of device, seeds of each run) of an agent in an environment, at most `most`; `device` may be "auto"."""
    from prospect_rl.agents.api import can_share
    from prospect_rl.experiments.run.choice import best
    from prospect_rl.experiments.run.seeds import seeds_together

    def count(kind: str) -> int:
        planned = cells.seeds_of(label, kind)
        return min(planned, most or planned)

    agent = cells.agents[label]
    able = can_share(agent) and not callable(cells.data_of(label, env))
    kind = best(agent, env, count(GPU) if able else 1) if device == "auto" else device
    seeds = tuple(range(count(kind)))
    return kind, [seeds] if able and seeds_together(agent, kind) else [(seed,) for seed in seeds]


def plan(
    experiment: Experiment,
    tier: str,
    *,
    root: Path | None = None,
    seeds: int | None = None,
    agents: Sequence[str] | None = None,
    device: str = "cpu",
) -> list[Job]:
    """List all runs of a tier, ordered by environment, then seed, then agent, so that a partial sweep is balanced.

    An agent whose seeds are one program (`experiments.run.seeds`) gets one run, unless each seed has its own data.

    Args:
        experiment: The experiment.
        tier: "smoke", "repro", "paper" or "gpu".
        root: Folder of all runs; by default $PROSPECT_RUNS or results/runs.
        seeds: Largest number of seeds per agent; by default as declared.
        agents: Labels to include; by default all.
        device: Kind of device; "auto" gives each run the one that it is faster on, where there is a GPU. The runs of
            the tier "gpu" are always for one.

    Returns:
        One job per run.

    Raises:
        ValueError: The tier or a label is unknown, or `seeds` is below 1.

    Example:
        >>> jobs = plan(load("serene_maze"), "repro", seeds=3)
        >>> outcome = sweep(jobs, workers)
    """
    from prospect_rl.envs.names import unknown
    from prospect_rl.experiments.run.machine import runs_root

    cells = experiment.tier(tier)
    for label in agents or ():
        if label not in cells.agents:
            raise unknown("agent", label, cells.agents)
    if seeds is not None and seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}")
    base, listed = Path(root or runs_root()) / experiment.name / tier, []
    device = GPU if tier == GPU else device
    for e, env in enumerate(cells.envs):
        for a, label in enumerate(cells.agents):
            if agents and label not in agents:
                continue
            kind, batches = _runs(cells, label, env, seeds, device)
            for batch in batches:
                payload = on({
                    "experiment": experiment.reference, "tier": tier, "label": label, "env": env, "seeds": list(batch)
                }, kind)  # fmt: skip
                out = base / env.replace("/", "-") / label / folder_name(batch, kind)
                job = make_job(payload, out, cell(cells, label, env, batch, kind))
                listed.append(((e, batch[0], a), job))
    return [job for _, job in sorted(listed, key=lambda pair: pair[0])]
