"""`train`: the driver's door for people, which says what to give instead where it cannot work."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from prospect_rl import agents, envs
from prospect_rl.agents.api import Agent, Segments, wants_of
from prospect_rl.envs.api import Dataset, Env, Spec
from prospect_rl.envs.data import datasets
from prospect_rl.envs.names import unknown
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run
from prospect_rl.experiments.run.hooks import Callback, Progress
from prospect_rl.experiments.run.result import Result

EPISODES = 5
"""Of an evaluation, where nothing else is said: a curve's point is no single episode."""


def train(
    agent: Agent | type[Agent] | str,
    env: str | Env,
    *,
    seed: int = 0,
    seeds: tuple[int, ...] | None = None,
    budget: int,
    evals: int = 20,
    eval_episodes: int = EPISODES,
    out: Path | str | None = None,
    dataset: Dataset | str | None = None,
    progress: Progress | bool | None = None,
    callbacks: Sequence[Callback] = (),
    chunk_s: float = 5.0,
) -> Result:
    """Train `agent` in `env` (a registered id or an object) until `budget` is used.

    agent: not bound; its class or its registered name stands for it with its defaults.

    budget: env steps for agents that want `Segments`, evaluations of policies for `Rollouts`, updates for
    `Batches`. seeds: several run as one vmapped program, in agents that allow it. dataset: for agents that want
    `Batches`, an object or the name of one. out: the run's folder; a run that is there goes on, one to a smaller
    budget too; a finished one is returned as it is. progress: True shows the bar of the command line; a function is
    called after every chunk, and before the first where there are notices, with {iteration, used, budget, unit, rows,
    notices}; rows and notices are those new since the last call. callbacks: see `experiments.run.hooks`; when one fails
    the run is saved, and the error names it. A run that one of them ended is not finished: without that callback the
    same call goes on to the full budget.

    Raises ValueError, in one line, for whatever cannot work, before anything is compiled; `Interrupted` after
    SIGINT or SIGTERM, where there is a folder.
    """
    agent = _agent(agent)
    env = _env(env, agent)
    run = Run(agent, env, (), (seed,) if seeds is None else tuple(seeds), budget, evals, eval_episodes)
    if isinstance(dataset, str):
        dataset = datasets.make(dataset)
    with _shown(progress, run) as told:
        return train_run(run, out=out, dataset=dataset, progress=told, callbacks=callbacks, chunk_s=chunk_s)


def _agent(given: Any) -> Agent:
    """What `train` was given as agent. Raises ValueError where that is none."""
    if isinstance(given, str):
        return agents.make(given)
    made = given() if isinstance(given, type) and issubclass(given, Agent) else given
    if not isinstance(made, Agent):
        raise ValueError(f"train takes an agent, its class or its registered name first, not {given!r}")
    return made


def _env(given: Any, agent: Agent) -> str | Env:
    """What `train` was given as environment. Raises ValueError, which says what to give instead, where that is none."""
    if isinstance(given, str) and given in envs.ENVS:
        return given
    import gymnasium

    named = given if isinstance(given, str) else None
    if isinstance(given, gymnasium.Env | gymnasium.vector.VectorEnv) or named in gymnasium.registry:
        id = named or getattr(getattr(given, "spec", None), "id", None)
        raise ValueError(_instead_of_gymnasiums(id, type(given).__name__, agent))
    if named is not None:
        raise unknown("environment", named, envs.ENVS)
    if isinstance(given, type):
        raise ValueError(f"train takes an environment, not its class: give {given.__name__}()")
    if not isinstance(getattr(given, "spec", None), Spec):
        raise ValueError(f"train takes a registered environment's id or an environment with a spec, not {given!r}")
    return given


def _instead_of_gymnasiums(id: str | None, kind: str, agent: Agent) -> str:
    """What to give instead of an environment of gymnasium's, or of its id; without an id it is called by its class."""
    from prospect_rl.envs.gymnasium import names

    if own := names().get(id or ""):
        return f"{id!r} is an environment of ours for gymnasium: give {own!r}"
    said, want = f"{kind if id is None else repr(id)} is an environment of gymnasium's", wants_of(agent)[0]
    if not isinstance(want, Segments):
        return f"{said}; agents that want Segments learn there, and {type(agent).__name__} wants {type(want).__name__}"
    give = f"{said}: give envs.from_gymnasium({'make' if id is None else repr(id)}, num_envs={want.num_envs})"
    return f"{give}, where make is a function that makes one" if id is None else give


def _shown(progress: Progress | bool | None, run: Run) -> AbstractContextManager[Progress | None]:
    """The function to call after every chunk: for True, one that draws the bar of the command line."""
    if progress is not True:
        return nullcontext(progress or None)
    from prospect_rl.experiments.api import seeds_name
    from prospect_rl.experiments.run.bar import run_display
    from prospect_rl.experiments.terminal import err

    where = run.env if isinstance(run.env, str) else run.env.spec.id
    return run_display(err(), f"{where} {type(run.agent).__name__} {seeds_name(run.seeds).replace('-', ' ', 1)}")
