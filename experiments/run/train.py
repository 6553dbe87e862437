"""`train`: the public function that trains one agent; checks its arguments and suggests what to pass instead."""

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
from prospect_rl.experiments.run.choice import placed
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run
from prospect_rl.experiments.run.hooks import Callback, Progress
from prospect_rl.experiments.run.result import Result

EPISODES = 5
"""Default number of episodes per evaluation: a single episode would be too noisy."""


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
    device: str = "auto",
) -> Result:
    """Train an agent in an environment until the budget is used.

    Args:
        agent: An agent that is not bound to an environment; its class or registered name stands for its defaults.
        env: Id of a registered environment, or an environment object.
        seed: Random seed, 0 to 2**32 - 1.
        seeds: Several seeds that train as one vmapped program, in place of `seed`; only for agents that allow it.
        budget: Environment steps for agents that want `Segments`, policy evaluations for `Rollouts`, updates for
            `Batches`.
        evals: Number of evaluations, evenly spaced over the budget; each gives one metrics row per seed.
        eval_episodes: Episodes per evaluation.
        out: Folder of the run, for checkpoints and results. An unfinished run in it resumes, also one to a smaller
            budget; a finished run is returned without training. None: nothing is written.
        dataset: A dataset or its name, for agents that want `Batches`.
        progress: True shows a progress bar. A function is called after every chunk (and before the first one, if there
            are notices) with a dict {iteration, used, budget, unit, rows, notices}; rows and notices are those that are
            new since the last call.
        callbacks: See `experiments.run.hooks`. If one fails, the run is saved and the error names the callback. A run
            that a callback ended is not finished: the same call without that callback continues to the full budget.
        chunk_s: Target duration of a chunk in seconds; signals and callbacks are handled between chunks.
        device: "cpu", "gpu", or "auto", by what is faster (`experiments.run.choice`). A process uses one kind of
            device: what the first use of JAX has chosen stays, and "auto" then means that one.

    Returns:
        The final agent state, the behaviour to deploy and the metrics rows.

    Raises:
        ValueError: The arguments do not fit together; raised before anything is compiled.
        Interrupted: SIGINT or SIGTERM ended a run that has a folder; it is saved and can be resumed.

    Example:
        >>> result = train("serene", "maze/hard", budget=20_000, out="run")
        >>> result.rows[-1]["eval/return"]
    """
    agent = agent_of(agent)
    env = env_of(env, agent)
    numbers = (seed,) if seeds is None else tuple(seeds)
    run = Run(agent, env, (), numbers, budget, evals, eval_episodes, device=placed(device, agent, env, len(numbers)))
    if isinstance(dataset, str):
        dataset = datasets.make(dataset)
    with shown(progress, run) as report:
        return train_run(run, out=out, dataset=dataset, progress=report, callbacks=callbacks, chunk_s=chunk_s)


def agent_of(given: Any) -> Agent:
    """The agent that `train` was given. Raises ValueError if it is not an agent."""
    if isinstance(given, str):
        return agents.make(given)
    made = given() if isinstance(given, type) and issubclass(given, Agent) else given
    if not isinstance(made, Agent):
        raise ValueError(f"the first argument must be an agent, its class or its registered name, not {given!r}")
    return made


def env_of(given: Any, agent: Agent) -> str | Env:
    """The environment that `train` was given. Raises ValueError, saying what to pass instead, if it is not one."""
    if isinstance(given, str) and given in envs.ENVS:
        return given
    import gymnasium

    named = given if isinstance(given, str) else None
    if isinstance(given, gymnasium.Env | gymnasium.vector.VectorEnv) or named in gymnasium.registry:
        id = named or getattr(getattr(given, "spec", None), "id", None)
        raise ValueError(_gymnasium_advice(id, type(given).__name__, agent))
    if named is not None:
        raise unknown("environment", named, envs.ENVS)
    if isinstance(given, type):
        raise ValueError(f"train takes an environment, not its class: pass {given.__name__}()")
    if not isinstance(getattr(given, "spec", None), Spec):
        raise ValueError(f"train takes a registered environment id or an environment with a spec, not {given!r}")
    return given


def _gymnasium_advice(id: str | None, kind: str, agent: Agent) -> str:
    """The error message for a Gymnasium environment or its id; `kind` is its class, for one without an id."""
    from prospect_rl.envs.gymnasium import names

    if own := names().get(id or ""):
        return f"{id!r} is the Gymnasium version of one of our environments: pass {own!r}"
    subject, want = f"{kind if id is None else repr(id)} is a Gymnasium environment", wants_of(agent)[0]
    if not isinstance(want, Segments):
        name = type(agent).__name__
        return f"{subject}; only agents that want Segments can train in it, and {name} wants {type(want).__name__}"
    advice = f"{subject}: pass envs.from_gymnasium({'make' if id is None else repr(id)}, num_envs={want.num_envs})"
    return f"{advice}, where make is a function that creates one" if id is None else advice


def shown(
    progress: Progress | bool | None, run: Run, title: str | None = None
) -> AbstractContextManager[Progress | None]:
    """The function to call after every chunk; for True, one that draws the progress bar of the command line.

    title: the title of the bar, instead of the run's environment, agent and seeds.
    """
    if progress is not True:
        return nullcontext(progress or None)
    from prospect_rl.experiments.api import seeds_name
    from prospect_rl.experiments.run.bar import run_display
    from prospect_rl.experiments.terminal import err

    where, seeds = run.env if isinstance(run.env, str) else run.env.spec.id, seeds_name(run.seeds).replace("-", " ", 1)
    return run_display(err(), f"{where} {type(run.agent).__name__} {title or seeds}")
