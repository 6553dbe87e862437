"""Opening finished runs, for `agents.load`, `prospect play`, `prospect watch` and `prospect export`."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl import agents
from prospect_rl.agents.api import Agent
from prospect_rl.envs.api import Env, Tree
from prospect_rl.experiments.api import Data, Exam
from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.archive import load_report
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.folder import has_ended


@dataclass(frozen=True)
class Finished:
    """A finished run and one of its seeds."""

    folder: Path
    """The folder of the run."""
    run: Run
    """The configuration of the run."""
    seed: int
    """The seed that was selected."""
    arrays: dict[str, np.ndarray]
    """The arrays of that seed in report.npz."""


def open_run(folder: Path, seed: int | None = None, env: Env | None = None) -> Finished:
    """Open a finished run, or one that a callback ended; `env` must be given if its environment is not registered.

    Raises ValueError, with a one-line message, for any other folder.
    """
    try:
        known = json.loads((folder / "run.json").read_bytes())
        config, stated = known["config"], known["hash"]
        name, strange = config["agent"]["name"], "class" in config["env"] and env is None
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{folder} is not a run folder (it has no readable run.json)") from None
    if strange:
        raise ValueError(f"{folder} was trained in an environment that is not registered: pass it (env=...)")
    run = rebuild(config) if env is None else dataclasses.replace(rebuild(config), env=env, env_fields=())
    if run.hash != stated:
        changed = f"another version of {name}" if env is None else f"another version of {name}, or of its environment"
        raise ValueError(f"{folder} was made by {changed}")
    if not has_ended(folder, run):
        raise ValueError(f"{folder} has not finished")
    seed = run.seeds[0] if seed is None else seed
    if seed not in run.seeds:
        raise ValueError(f"{folder} has no seed {seed}; it has {', '.join(map(str, run.seeds))}")
    try:
        arrays = load_report(folder, run.seeds.index(seed), len(run.seeds))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise ValueError(f"{folder / 'report.npz'} is not readable") from None
    return Finished(folder, run, seed, arrays)


def rebuild(config: dict[str, Any]) -> Run:
    """Rebuild a run from the configuration in run.json. Raises ValueError if its agent is not registered."""
    name, agent = agent_of(config["agent"])
    env_fields = tuple(values_of(config["env"]["fields"]).items())
    named = config.get("dataset")
    return Run(
        agent, config["env"]["id"], env_fields, tuple(config["seeds"]), config["budget"], config["evals"],
        config["eval_episodes"], name, Data(named["name"], values_of(named["fields"])) if named else None,
        tuple(Exam(**exam | {"fields": values_of(exam["fields"])}) for exam in config.get("exams", ())),
        config.get("device", "cpu"),
    )  # fmt: skip


def agent_of(config: dict[str, Any]) -> tuple[str, Agent]:
    """(registered name, agent) from its configuration. Raises ValueError if this version has no such agent."""
    fields = values_of(config)
    cls_name = fields.pop("name")
    names = [name for name, cls in agents.AGENTS.items() if cls.__name__ == cls_name]
    if not names:
        raise ValueError(f"{cls_name} is not a registered agent; known: {', '.join(agents.AGENTS)}")
    known = {f.name for f in dataclasses.fields(agents.AGENTS[names[0]])}
    if strange := set(fields) - known:
        raise ValueError(f"{cls_name} has no {', '.join(sorted(strange))}: another version made the run")
    return names[0], agents.make(names[0], **fields)


def values_of(fields: dict[str, Any]) -> dict[str, Any]:
    """Undo the JSON encoding of the fields of a configuration."""
    return {name: value_of(x) for name, x in fields.items()}


def value_of(x: Any) -> Any:
    """Undo the JSON encoding of a configuration value."""
    if isinstance(x, list):
        return tuple(value_of(part) for part in x)
    return float(x) if x in ("inf", "-inf", "nan") else x


# --- choosing a policy -------------------------------------------------------------------------------


def behaviour_of(found: Finished, row: int | None) -> Tree:
    """The genome in a row of the archive, or without a row the policy to deploy, read from the checkpoint."""
    if row is not None:
        return jnp.asarray(found.arrays["genome"][row])
    return shipped(found, found.run.agent.bind(found.run.make_env().spec))


def shipped(found: Finished, agent: Agent, checkpoints: Path | None = None) -> Tree:
    """The parameters of the policy to deploy. Raises ValueError if the newest checkpoint is damaged.

    checkpoints: folder to read instead of the run's own, e.g. `experiments.run.callbacks.best_folder(found.folder)`.
    Only the agent's part of the run state is read, so that no environment state or dataset is needed.
    """
    named = checkpoint.last(checkpoints or found.folder / "checkpoints", found.run.hash)
    state = {name.removeprefix(".agent"): x for name, x in named.items() if name.startswith(".agent")}
    if len(found.run.seeds) > 1:
        state = {name: x[found.run.seeds.index(found.seed)] for name, x in state.items()}
    template = jax.eval_shape(agent.init, jax.random.key(0))
    return jax.jit(agent.exploit)(checkpoint.rebuild(state, template))
