"""One episode of a trained agent, with its pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Agent
from prospect_rl.envs import rollout
from prospect_rl.envs.api import Array, Env, Episodes, Inputs, Tree
from prospect_rl.envs.rollout import fold_in
from prospect_rl.experiments.run import ledger
from prospect_rl.experiments.run.archive import entries
from prospect_rl.experiments.run.program import EVAL, START, starts_of, stream
from prospect_rl.experiments.run.reopen import Finished

TOLERANCE = 1e-4
"""Two programs of the same episode may differ in the last bits."""


@dataclass(frozen=True)
class Played:
    """One episode."""

    facts: dict[str, float]
    """return, length, area and descriptor_*."""
    points: np.ndarray
    """[T, d] descriptors along the way; empty without descriptor."""
    frames: list[np.ndarray]
    """Pictures uint8 [H, W, 3], where asked for."""


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


MOST = 300
"""Pictures of an episode; of a longer one they are evenly spaced."""


@dataclass(frozen=True)
class Watched:
    """One episode."""

    frames: list[np.ndarray]
    """Pictures uint8 [H, W, 3], the start first and the end last."""
    captions: list[str]
    """Step and return so far, for each picture."""
    facts: dict[str, float]
    """return, length, success."""


def watch(agent: Agent, env: Env, behaviour: Tree, seed: int, mark: int, episode: int = 0) -> Watched:
    """An episode of a bound agent, by its number, of the evaluation of a seed at a mark, by its number.

    The keys are those of `rollout.episodes` for one policy in `Program.evaluate`. Raises ValueError where the
    environment draws no pictures.
    """
    key = stream(EVAL, seed, mark)
    origin = stream(START, seed) if starts_of(agent) == "fixed" else fold_in(key, 0)

    @jax.jit
    def begin(env: Env, behaviour: Tree) -> tuple[Tree, Tree, Inputs]:
        state, obs = env.reset(fold_in(origin, episode))
        memory = agent.memory(behaviour, fold_in(fold_in(key, 1), episode))
        return state, memory, rollout.first_inputs(env.spec, obs)

    @jax.jit
    def advance(env: Env, behaviour: Tree, carry: tuple[Tree, Tree, Inputs], t: Array) -> tuple[Any, Any]:
        state, memory, inputs = carry
        k_act, k_step = (fold_in(fold_in(fold_in(key, i), t), episode) for i in (2, 3))
        action, memory, _ = agent.act(behaviour, memory, inputs, k_act)
        state, step = env.step(state, action, k_step)
        return (state, memory, rollout.next_inputs(step.obs, action, step.reward)), step

    carry = begin(env, behaviour)
    states, total, step = [(carry[0], "step 0")], np.float32(0), None
    for t in range(env.spec.horizon):
        carry, step = advance(env, behaviour, carry, np.int32(t))
        total += np.float32(step.reward)  # summed up as in the kernel
        states.append((carry[0], f"step {t + 1}, return {total:.4g}"))
        if step.terminated or step.truncated:
            break
    assert step is not None
    chosen = np.unique(np.linspace(0, len(states) - 1, min(len(states), MOST)).round().astype(int))
    try:
        frames = [np.asarray(env.frame(states[i][0])) for i in chosen]
    except NotImplementedError as error:
        raise ValueError(str(error)) from None
    facts = {"return": float(total), "length": len(states) - 1, "success": float(step.info["success"])}
    return Watched(frames, [states[i][1] for i in chosen], facts)
