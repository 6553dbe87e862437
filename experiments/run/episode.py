"""Running one episode of a trained agent, with rendered frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Agent
from prospect_rl.envs import rollout
from prospect_rl.envs.api import Array, Env, Episodes, Tree
from prospect_rl.envs.rollout.episode import Course, continued, keys_of, opened
from prospect_rl.experiments.run import ledger
from prospect_rl.experiments.run.archive import entries
from prospect_rl.experiments.run.keys import evaluation
from prospect_rl.experiments.run.reopen import Finished

TOLERANCE = 1e-4
"""Tolerance for comparing the same episode in two programs, which may differ in the last bits."""


@dataclass(frozen=True)
class Played:
    """One episode."""

    facts: dict[str, float]
    """Return, length, area and descriptor_* of the episode."""
    points: np.ndarray
    """[T, d] descriptors at each step; empty without descriptor."""
    frames: list[np.ndarray]
    """Frames uint8 [H, W, 3], if requested."""
    text: str = ""
    """What was said, in a text task."""


def choose(found: Finished, env: Env, *, cell: tuple[int, int] | None, index: int | None, best: bool) -> int | None:
    """The archive row selected by the arguments; None for the agent's final policy."""
    if cell is None and index is None and not best:
        return None
    if "genome" not in found.arrays:
        raise ValueError(f"{found.folder} has no archive of policies; play it without --cell, --index and --best")
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
    """Run one episode from the run's own start. Raises ValueError if frames are requested but cannot be drawn."""
    agent = found.run.agent.bind(env.spec)
    speaks = hasattr(env, "text")
    album = _episode(agent, env, behaviour, found.seed, max(frames, int(speaks)))
    steps = album.steps
    assert steps is not None
    length = int(album.length[0, 0])
    facts = {"return": float(album.returns[0, 0]), "length": length}
    facts |= {"area": int(album.info["area"][0, 0])} if "area" in album.info else {}
    points = np.zeros((0, 0))
    if "descriptor" in album.info:
        facts |= {f"descriptor_{i}": float(x) for i, x in enumerate(album.info["descriptor"][0, 0])}
        points = np.asarray(steps.info["descriptor"][:length, 0, 0])
    said = env.text(jax.tree.map(lambda x: x[0, 0, -1], album.frames)) if speaks else ""  # type: ignore[attr-defined]
    return Played(facts, points, _pictures(env, album, frames) if frames else [], said)


def _episode(agent: Agent, env: Env, behaviour: Tree, seed: int, frames: int) -> Episodes:
    @jax.jit
    def go(env: Env, behaviour: Tree) -> Episodes:
        return rollout.episodes(
            env, agent, behaviour, jnp.ones(1, bool), population=1, shared=True, keep_steps=True, frames=frames,
            **evaluation(agent, seed),
        )  # fmt: skip

    return go(env, behaviour)


def _pictures(env: Env, album: Episodes, frames: int) -> list[np.ndarray]:
    try:
        return [np.asarray(env.frame(jax.tree.map(lambda x, i=i: x[0, 0, i], album.frames))) for i in range(frames)]
    except NotImplementedError as error:
        raise ValueError(f"{error}; leave out --gif") from None


def stored(found: Finished, row: int) -> dict[str, float]:
    """The archive's values of an entry, under the names of `Played.facts`."""
    facts = {"return": float(found.arrays["fitness"][row])}
    if "area" in found.arrays:
        facts["area"] = int(found.arrays["area"][row])
    return facts | {f"descriptor_{i}": float(x) for i, x in enumerate(np.atleast_1d(found.arrays["descriptor"][row]))}


def agrees(found: float, said: float) -> bool:
    """Whether a value equals that of the archive, up to the tolerance."""
    return math.isclose(found, said, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def save_gif(frames: list[np.ndarray], path: Path, fps: int = 20) -> None:
    """Write frames as an animated GIF."""
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=1000 // fps, loop=0)


MOST = 300
"""Largest number of frames of an episode; of a longer episode, evenly spaced ones are kept."""


@dataclass(frozen=True)
class Watched:
    """One episode."""

    frames: list[np.ndarray]
    """Frames uint8 [H, W, 3], from the start to the end of the episode."""
    captions: list[str]
    """Step number and return so far, for each frame."""
    facts: dict[str, float]
    """Return, length and success of the episode."""


def watch(agent: Agent, env: Env, behaviour: Tree, seed: int, mark: int, episode: int = 0) -> Watched:
    """An episode of a bound agent, by its number, of the evaluation of a seed at a mark, by its number.

    It is begun and continued by what `rollout.episodes` begins and continues it by, with the keys of
    `Program.evaluate`. Raises ValueError where the environment draws no pictures.
    """
    keys = keys_of(**evaluation(agent, seed, mark))

    @jax.jit
    def begin(env: Env, behaviour: Tree) -> Course:
        return opened(env, agent, behaviour, keys, episode, episode, jnp.ones((), bool))

    @jax.jit
    def advance(env: Env, behaviour: Tree, course: Course, t: Array) -> Course:
        return continued(env, agent, behaviour, keys, episode, course, t)[0]

    course = begin(env, behaviour)
    states = [(course.stream.state, "step 0")]
    for t in range(env.spec.horizon):
        course = advance(env, behaviour, course, np.int32(t))
        states.append((course.stream.state, f"step {t + 1}, return {float(course.returns):.4g}"))
        if not course.live:
            break
    chosen = np.unique(np.linspace(0, len(states) - 1, min(len(states), MOST)).round().astype(int))
    try:
        frames = [np.asarray(env.frame(states[i][0])) for i in chosen]
    except NotImplementedError as error:
        raise ValueError(str(error)) from None
    facts = {
        "return": float(course.returns), "length": int(course.length), "success": float(course.info["success"]),
    }  # fmt: skip
    return Watched(frames, [states[i][1] for i in chosen], facts)
