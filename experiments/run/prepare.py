"""The preparation of a run before its first chunk: environment, agent, data, and its folder under a lock."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from prospect_rl.agents.api import Agent
from prospect_rl.envs.api import Dataset, Env
from prospect_rl.envs.data import datasets
from prospect_rl.experiments.run import device
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.folder import Folder, data_hashes
from prospect_rl.experiments.run.lock import Lock
from prospect_rl.experiments.run.machine import device_model, make_folder
from prospect_rl.experiments.run.member import Member
from prospect_rl.experiments.run.program import Program
from prospect_rl.experiments.run.reading import check_reading
from prospect_rl.experiments.run.signals import listening


class Made(NamedTuple):
    """The objects that a run needs besides its configuration."""

    env: Env
    """The environment of the run."""
    agent: Agent
    """The agent, bound to the environment."""
    dataset: Dataset | None
    """The dataset as it was given."""
    data: Dataset | None
    """The dataset as the agent prepared it."""
    warned: list[str]
    """Texts of the warnings that were raised."""


def make(run: Run, dataset: Dataset | None, *, quiet: bool) -> Made:
    """Create the objects of a run, before anything is compiled. Raises ValueError, in one line, for invalid input.

    quiet: do not raise warnings, because the caller reports them as notices of the run.
    """
    run.check(dataset)
    if run.device:
        device.check(run.device)
    with warnings.catch_warnings(record=True) as warned:
        env = run.make_env()
        for exam in run.exams:
            run.make_env(**exam.fields)  # so that a mistake shows before training
            if exam.reads:
                check_reading(run.agent)
        agent = run.agent.bind(env.spec)
        if dataset is not None:
            datasets.check(dataset)
        elif run.dataset:
            dataset = run.dataset.make()  # checked where it was made
        if dataset is not None:
            datasets.check_fits(dataset, env.spec)
        data = agent.prepare(dataset) if dataset is not None else None
    for one in warned if not quiet else ():
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return Made(env, agent, dataset, data, [str(one.message) for one in warned])


@contextmanager
def opened(
    members: Sequence[Member], places: Sequence[Path] | None, program: Program, dataset: Dataset | None
) -> Iterator[Callable[[], bool]]:
    """Open the runs' folders, if any, under locks; yields a function that says whether a signal asks them to stop."""
    with ExitStack() as stack:
        stack.enter_context(advising(members[0].run, places))
        for member in members:
            stack.enter_context(closing(member.callbacks))
        if places is None:
            yield lambda: False
            return
        locks, hashes = [], data_hashes(program.banks, dataset)
        for place in places:
            make_folder(place)
            locks.append(stack.enter_context(Lock(place)))
        signalled = stack.enter_context(listening())
        for member, place in zip(members, places, strict=True):
            member.folder = Folder(place)
            member.notices += member.folder.open(member.run, hashes, program.traced)

        def should_stop() -> bool:
            for place, lock in zip(places, locks, strict=True):
                if not lock.held:
                    raise ValueError(f"{place} has been taken over by another process")
            return signalled()

        yield should_stop


SIZES = ("num_envs", "length", "population", "archive_capacity", "capacity", "batch_size", "context", "width")
"""Fields of agents that decide how much memory a run takes."""


@contextmanager
def advising(run: Run, places: Sequence[Path] | None) -> Iterator[None]:
    """Turn XLA's error of a device without free memory into one line that says what to reduce."""
    try:
        yield
    except Exception as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        sizes = {name: getattr(run.agent, name, None) for name in SIZES} | {"eval_episodes": run.eval_episodes}
        fields = ", ".join(f"{name} ({value})" for name, value in sizes.items() if isinstance(value, int))
        kept = f"; what {places[0]} has saved stays" if places else ""
        raise ValueError(f"the {device_model()} has no memory left: reduce one of {fields}{kept}") from error
