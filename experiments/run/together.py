"""Several runs as one program: runs of one agent that differ only in seeds and in `traced` fields.

A field of an agent is a constant of its program, so a run with another value must be compiled. Fields that only enter
arithmetic (`agents.api.traced`) can be arguments instead, one value for each run, and the runs advance in parallel.

Each run has the folder, rows, checkpoints and hash that it has alone; run.json says `together`. It may continue with
other runs, or alone, and a finished run is never run again. Its last bits may differ from those of a run alone, and in
the end its metrics, because an argument may be rounded differently from a constant, and a batch of products differently
from a single one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prospect_rl.agents.api import Agent, traced
from prospect_rl.envs.api import Dataset, Env
from prospect_rl.envs.data import datasets
from prospect_rl.envs.names import unknown
from prospect_rl.experiments.run import checkpoint, durable
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import Driver
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.hooks import Progress
from prospect_rl.experiments.run.member import Member
from prospect_rl.experiments.run.prepare import Made, make, opened
from prospect_rl.experiments.run.program import Program
from prospect_rl.experiments.run.result import Result
from prospect_rl.experiments.run.train import EPISODES, agent_of, env_of, shown


def train_many(
    agent: Agent | type[Agent] | str,
    env: str | Env,
    fields: Mapping[str, Sequence[float]],
    *,
    seeds: int | Sequence[int] = 0,
    budget: int,
    evals: int = 20,
    eval_episodes: int = EPISODES,
    out: Path | str | None = None,
    dataset: Dataset | str | None = None,
    progress: Progress | bool | None = None,
    chunk_s: float = 5.0,
) -> list[Result]:
    """Train variants of an agent as one program, compiled once: variant i has the i-th value of every field.

    Args:
        agent: The agent, its class, or its registered name.
        env: Registered id, or an environment object.
        fields: Traced field (`agents.api.traced`) -> its values, the same number for all.
        seeds: One seed for all variants, or a seed for each.
        budget: Budget of each run, in its unit (see `train`).
        evals: Number of evaluations of each run.
        eval_episodes: Number of episodes of an evaluation.
        out: Folder for the runs' folders, which are named by hash. Existing runs are resumed, finished ones returned.
        dataset: The dataset of an offline agent, or its name.
        progress: True for a progress bar, or a function (see `train`).
        chunk_s: Target length of a chunk, in seconds.

    Returns:
        One result for each variant, in order. A variant whose loss becomes NaN ends alone, and its `stopped` says so.

    Raises:
        ValueError: In one line, for anything that cannot work, before anything is compiled.

    Example:
        >>> train_many("ppo", "minigrid/DoorKey-5x5-v0", {"learning_rate": [1e-4, 3e-4, 1e-3]}, budget=100_000)
    """
    agent = agent_of(agent)
    env = env_of(env, agent)
    runs = [
        Run(one, env, (), (seed,), budget, evals, eval_episodes)
        for one, seed in zip(variants(agent, fields), _each(seeds, fields), strict=True)
    ]
    if isinstance(dataset, str):
        dataset = datasets.make(dataset)
    outs = None if out is None else [Path(out) / run.hash for run in runs]
    with shown(progress, runs[0], f"{len(runs)} variants") as told:
        return train_together(runs, outs, fields=tuple(fields), dataset=dataset, progress=told, chunk_s=chunk_s)


def variants(agent: Agent, fields: Mapping[str, Sequence[float]]) -> list[Agent]:
    """The agent with the i-th value of every field, for all i. Raises ValueError for a value that it rejects."""
    check_traced(agent, fields)
    counts = {name: len(values) for name, values in fields.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        said = ", ".join(f"{count} for {name}" for name, count in counts.items())
        raise ValueError(f"give every field the same number of values, at least one, not {said or 'no field'}")
    each = zip(*fields.values(), strict=True)
    return [replace(agent, **dict(zip(fields, map(_number, values), strict=True))) for values in each]


def check_traced(agent: Agent, fields: Sequence[str] | Mapping[str, Any]) -> None:
    """Raise ValueError, in one line, unless runs that differ in these fields can be one program."""
    known, name = traced(agent), type(agent).__name__
    if not known:
        raise ValueError(f"{name} has no field in which runs of one program may differ: run them one by one")
    for field in fields:
        if field not in known:
            raise unknown(f"field of {name} in which runs of one program may differ", field, known)


def _number(value: Any) -> Any:
    """A NumPy number as a Python number; other values are checked by the agent."""
    return value.item() if hasattr(value, "item") else value


def _each(seeds: int | Sequence[int], fields: Mapping[str, Sequence[float]]) -> Sequence[int]:
    """The seed of each variant."""
    count = len(next(iter(fields.values())))
    if isinstance(seeds, int):
        return [seeds] * count
    if len(seeds) != count:
        raise ValueError(f"give one seed, or one for each of the {count} variants, not {len(seeds)}")
    return seeds


# --- for the driver and searches ---------------------------------------------------------------------------


def train_together(
    runs: Sequence[Run],
    outs: Sequence[Path] | None = None,
    *,
    fields: Sequence[str],
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    rows: int | None = None,
    chunk_s: float = 5.0,
) -> list[Result]:
    """Train runs that differ only in seeds and in `fields`, each in its own folder if folders are given.

    rows: stop, unfinished, after this many rows each. Runs with different progress become several programs, one after
    another. Raises ValueError, in one line, if they cannot be one program, and `Interrupted` as `train` does.
    """
    check_alike(runs, fields)
    for run in runs[1:]:
        run.check(dataset)
    made = make(runs[0], dataset, quiet=progress is not None)
    results: dict[int, Result] = {}
    for places, most in [(list(range(len(runs))), None)] if outs is None else groups(runs, outs):
        here = [runs[i] for i in places]
        members = _members(here, made)
        seeds = [seed for run in here for seed in run.seeds]
        floats = {name: [float(getattr(run.agent, name)) for run in here for _ in run.seeds] for name in fields}
        program = Program(
            members[0].agent, made.env, seeds, eval_episodes=runs[0].eval_episodes, dataset=made.data, floats=floats
        )
        driver = Driver(program, members, progress, chunk_s, rows)
        with opened(members, None if outs is None else [outs[i] for i in places], program, made.dataset) as stopped:
            results |= zip(places, driver.go(stopped, most), strict=True)
    return [results[i] for i in range(len(runs))]


def check_alike(runs: Sequence[Run], fields: Sequence[str]) -> None:
    """Raise ValueError, in one line, unless the runs differ only in seeds and in these traced fields."""
    first = runs[0]
    check_traced(first.agent, fields)
    same = {name: getattr(first.agent, name) for name in fields}
    for run in runs[1:]:
        others = replace(run, agent=replace(run.agent, **same), seeds=first.seeds) if _comparable(run, first) else run
        if changed := durable.differences(first.config(), others.config()):
            words = ", ".join(fields)
            raise ValueError(f"runs of one program differ in seeds and in {words} alone, not in {', '.join(changed)}")
        if not isinstance(run.env, str) and run.env is not first.env:
            raise ValueError("runs of one program share their environment: give all of them the same object")
    if len({run.hash for run in runs}) < len(runs):
        raise ValueError("two of the runs are the same: give each another seed or value")


def _comparable(run: Run, first: Run) -> bool:
    return type(run.agent) is type(first.agent) and len(run.seeds) == len(first.seeds)


def _members(runs: Sequence[Run], made: Made) -> list[Member]:
    several, found = len(runs[0].seeds), []
    for i, run in enumerate(runs):
        part = i if several == 1 else slice(i * several, (i + 1) * several)
        found.append(Member(run, run.agent.bind(made.env.spec), made.env, made.dataset, (), part))
        found[-1].notices += made.warned
    return found


def groups(runs: Sequence[Run], outs: Sequence[Path]) -> list[tuple[list[int], int | None]]:
    """(numbers of runs, the iteration from which they continue together; None for the newest checkpoint, or the start).

    A kill while checkpoints are written leaves some runs one save ahead: these return to the previous one, so that the
    group stays together. Runs that are further apart, and finished ones, form groups of their own.
    """
    steps: dict[int, list[int]] = {}
    found: list[tuple[list[int], int | None]] = []
    over: dict[int, list[int]] = {}
    for i, (run, out) in enumerate(zip(runs, outs, strict=True)):
        folder = Folder(out)
        steps[i] = [int(path.name) for path in checkpoint.steps(folder.checkpoints)]
        result = folder.result
        if steps[i] and result is not None and result["finished"] and result["hash"] == run.hash:
            over.setdefault(steps.pop(i)[-1], []).append(i)
    if new := [i for i, known in steps.items() if not known]:
        found.append((new, None))
    left = {i: known for i, known in steps.items() if known}
    while left:
        least = min(known[-1] for known in left.values())
        group = [i for i, known in left.items() if least in known[-checkpoint.KEEP :]]
        found.append((group, least))
        left = {i: known for i, known in left.items() if i not in group}
    return found + [(group, None) for group in over.values()]
