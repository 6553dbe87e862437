"""`prospect play` and `prospect export`: what a finished run has found, shown and handed out.

A stored policy is rolled out once more and compared with what the archive says of it.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl import agents
from prospect_rl.agents.api import Agent
from prospect_rl.envs import rollout
from prospect_rl.envs.api import Env, Episodes, Tree
from prospect_rl.experiments import checkpoint, durable, ledger
from prospect_rl.experiments.api import Data, Exam
from prospect_rl.experiments.program import EVAL, START, starts_of, stream
from prospect_rl.experiments.records import entries, load_report
from prospect_rl.experiments.runs import Run, has_ended

TOLERANCE = 1e-4
"""Two programs of the same episode may differ in the last bits."""


@dataclass(frozen=True)
class Finished:
    """A finished run with one of its seeds chosen."""

    folder: Path
    run: Run
    seed: int
    arrays: dict[str, np.ndarray]
    """report.npz of that seed."""


@dataclass(frozen=True)
class Played:
    """One episode."""

    facts: dict[str, float]
    """return, length, area and descriptor_*."""
    points: np.ndarray
    """[T, d] descriptors along the way; empty without descriptor."""
    frames: list[np.ndarray]
    """Pictures uint8 [H, W, 3], where asked for."""


def open_run(folder: Path, seed: int | None = None, env: Env | None = None) -> Finished:
    """A finished run, or one that a callback ended; `env` is that of a run whose environment is not registered.

    Raises ValueError, in one line, for any other folder.
    """
    try:
        known = json.loads((folder / "run.json").read_bytes())
        config, stated = known["config"], known["hash"]
        name, strange = config["agent"]["name"], "class" in config["env"] and env is None
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{folder} is no run folder (it has no readable run.json)") from None
    if strange:
        raise ValueError(f"{folder} was trained in an environment that is not registered: give it (env=...)")
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
    """The run of a run.json's configuration. Raises ValueError where its agent is not registered."""
    name, agent = agent_of(config["agent"])
    env_fields = tuple(values_of(config["env"]["fields"]).items())
    named = config.get("dataset")
    return Run(
        agent, config["env"]["id"], env_fields, tuple(config["seeds"]), config["budget"], config["evals"],
        config["eval_episodes"], name, Data(named["name"], values_of(named["fields"])) if named else None,
        tuple(Exam(**exam | {"fields": values_of(exam["fields"])}) for exam in config.get("exams", ())),
    )  # fmt: skip


def agent_of(config: dict[str, Any]) -> tuple[str, Agent]:
    """(registered name, agent) of its name and fields. Raises ValueError where this version has no such agent."""
    fields = values_of(config)
    cls_name = fields.pop("name")
    names = [name for name, cls in agents.AGENTS.items() if cls.__name__ == cls_name]
    if not names:
        raise ValueError(f"{cls_name} is no registered agent; known: {', '.join(agents.AGENTS)}")
    known = {f.name for f in dataclasses.fields(agents.AGENTS[names[0]])}
    if strange := set(fields) - known:
        raise ValueError(f"{cls_name} has no {', '.join(sorted(strange))}: another version made the run")
    return names[0], agents.make(names[0], **fields)


def values_of(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a configuration as they were before JSON."""
    return {name: value_of(x) for name, x in fields.items()}


def value_of(x: Any) -> Any:
    """A configuration value as it was before JSON."""
    if isinstance(x, list):
        return tuple(value_of(part) for part in x)
    return float(x) if x in ("inf", "-inf", "nan") else x


# --- choosing a policy -------------------------------------------------------------------------------


def choose(found: Finished, env: Env, *, cell: tuple[int, int] | None, index: int | None, best: bool) -> int | None:
    """The archive's row that is meant; None for what the agent itself would ship."""
    if cell is None and index is None and not best:
        return None
    if "genome" not in found.arrays:
        raise ValueError(f"{found.folder} keeps no archive of policies; play it without --cell, --index and --best")
    rows = entries(found.arrays)
    if not len(rows):
        raise ValueError(f"the archive of {found.folder} is empty")
    if index is not None:
        if index not in rows:
            raise ValueError(f"index must be that of an entry, from {rows[0]} to {rows[-1]}, not {index}")
        return index
    if cell is not None:
        assert env.spec.descriptor is not None
        at = ledger.cells(jnp.asarray(found.arrays["descriptor"][rows]), env.spec.descriptor)
        rows = rows[(np.asarray(at[0]) == cell[0]) & (np.asarray(at[1]) == cell[1])]
        if not len(rows):
            raise ValueError(f"no stored policy ends in cell {cell[0]},{cell[1]} (of {ledger.CELLS} x {ledger.CELLS})")
    return int(rows[np.argmax(found.arrays["fitness"][rows])])


def behaviour_of(found: Finished, row: int | None) -> Tree:
    """A stored genome, or what the agent ships (read from the checkpoint)."""
    if row is not None:
        return jnp.asarray(found.arrays["genome"][row])
    return shipped(found, found.run.agent.bind(found.run.make_env().spec))


def shipped(found: Finished, agent: Agent, checkpoints: Path | None = None) -> Tree:
    """What the bound agent of a run has come to. Raises ValueError where the newest checkpoint is damaged.

    checkpoints: others than those of the run's end, e.g. `experiments.callbacks.best_folder(found.folder)`.
    Of the run's state the agent's part alone is read: neither experience nor a dataset has to be made for it.
    """
    named = checkpoint.last(checkpoints or found.folder / "checkpoints", found.run.hash)
    state = {name.removeprefix(".agent"): x for name, x in named.items() if name.startswith(".agent")}
    if len(found.run.seeds) > 1:
        state = {name: x[found.run.seeds.index(found.seed)] for name, x in state.items()}
    template = jax.eval_shape(agent.init, jax.random.key(0))
    return jax.jit(agent.exploit)(checkpoint.rebuild(state, template))


# --- an episode --------------------------------------------------------------------------------------


def play(found: Finished, env: Env, behaviour: Tree, *, frames: int = 0) -> Played:
    """One episode from the run's own start. Raises ValueError where pictures are wanted of an env without any."""
    agent = found.run.agent.bind(env.spec)
    album = _episode(agent, env, behaviour, found.seed, frames)
    steps = album.steps
    assert steps is not None
    length = int(album.length[0, 0])
    facts = {"return": float(album.returns[0, 0]), "length": length}
    facts |= {"area": int(album.info["area"][0, 0])} if "area" in album.info else {}
    points = np.zeros((0, 0))
    if "descriptor" in album.info:
        facts |= {f"descriptor_{i}": float(x) for i, x in enumerate(album.info["descriptor"][0, 0])}
        points = np.asarray(steps.info["descriptor"][:length, 0, 0])
    return Played(facts, points, _pictures(env, album, frames) if frames else [])


def _episode(agent: Agent, env: Env, behaviour: Tree, seed: int, frames: int) -> Episodes:
    @jax.jit
    def go(env: Env, behaviour: Tree) -> Episodes:
        return rollout.episodes(
            env, agent, behaviour, jnp.ones(1, bool), stream(EVAL, seed), stream(START, seed), population=1,
            starts=starts_of(agent), shared=True, keep_steps=True, frames=frames,
        )  # fmt: skip

    return go(env, behaviour)


def _pictures(env: Env, album: Episodes, frames: int) -> list[np.ndarray]:
    try:
        return [np.asarray(env.frame(jax.tree.map(lambda x, i=i: x[0, 0, i], album.frames))) for i in range(frames)]
    except NotImplementedError as error:
        raise ValueError(f"{error}; leave out --gif") from None


def stored(found: Finished, row: int) -> dict[str, float]:
    """What the archive says of an entry, under the names of `Played.facts`."""
    facts = {"return": float(found.arrays["fitness"][row])}
    if "area" in found.arrays:
        facts["area"] = int(found.arrays["area"][row])
    return facts | {f"descriptor_{i}": float(x) for i, x in enumerate(np.atleast_1d(found.arrays["descriptor"][row]))}


def agrees(found: float, said: float) -> bool:
    """Whether a figure is that of the archive."""
    return math.isclose(found, said, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def save_gif(frames: list[np.ndarray], path: Path, fps: int = 20) -> None:
    """An animated picture."""
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=1000 // fps, loop=0)


# --- export ------------------------------------------------------------------------------------------


def export(found: Finished, path: Path) -> int:
    """Write the archive as CSV, a row an entry; gives their number. Raises ValueError where there is none."""
    arrays = found.arrays
    if "descriptor" not in arrays or "genome" not in arrays:
        raise ValueError(f"{found.folder} keeps no archive of policies")
    rows = entries(arrays)
    columns = {name: arrays[name][rows] for name in ("fitness", "area") if name in arrays}
    for name, array in (("descriptor", arrays["descriptor"]), ("gene", arrays["genome"])):
        columns |= {f"{name}_{i}": array[rows, i] for i in range(array.shape[1])}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", *columns])
    for number, values in zip(rows, zip(*columns.values(), strict=True), strict=True):
        writer.writerow([number, *(f"{x:.9g}" if x.dtype.kind == "f" else str(x) for x in values)])
    durable.write(path, text.getvalue().encode())
    return len(rows)
