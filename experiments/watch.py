"""`prospect watch`: an episode of a trained agent, in the terminal or as an animated picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from prospect_rl.agents.api import Agent
from prospect_rl.envs import rollout
from prospect_rl.envs.api import Array, Env, Inputs, Tree
from prospect_rl.envs.rollout import fold_in
from prospect_rl.experiments import play, runs
from prospect_rl.experiments.console import natural, out, positive
from prospect_rl.experiments.options import Parser
from prospect_rl.experiments.program import EVAL, START, starts_of, stream
from prospect_rl.experiments.runs import Folder

MOST = 300
"""Pictures of an episode; of a longer one they are evenly spaced."""
PIXEL = "▀"
"""Two pixels: the upper one in its colour, the lower one in its background's."""

SHADES = " .:-=+*#%@"
"""From white to black, where there are no colours."""


@dataclass(frozen=True)
class Watched:
    """One episode."""

    frames: list[np.ndarray]
    """Pictures uint8 [H, W, 3], the start first and the end last."""
    captions: list[str]
    """Step and return so far, for each picture."""
    facts: dict[str, float]
    """return, length, success."""


def watch_run(words: Sequence[str]) -> int:
    """Show one episode of what a finished run has learned."""
    parser = Parser(prog="prospect watch", description="Show an episode of a finished run's agent.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--gif", type=Path, metavar="FILE", help="write an animated picture; needs no terminal")
    parser.add_argument(
        "--episode", type=natural, default=0, metavar="N", help="which one of its last evaluation (default: 0)"
    )
    parser.add_argument("--seed", type=natural, help="of a run with several (default: its first)")
    parser.add_argument("--unseen", action="store_true", help="in a level that is kept for evaluation")
    parser.add_argument("--fps", type=positive, default=20, metavar="N", help="pictures a second (default: 20)")
    args = parser.parse_args(list(words))
    console = out()
    if not args.gif and not console.is_terminal:
        raise ValueError("watch needs a terminal, or --gif FILE")
    runs.enable_compilation_cache()
    found = play.open_run(args.run, args.seed)
    env = found.run.make_env()
    if args.unseen:
        if (unseen := env.unseen()) is None:
            raise ValueError(f"{env.spec.id} keeps no levels for evaluation; leave out --unseen")
        env = unseen
    behaviour = play.behaviour_of(found, None)
    agent = found.run.agent.bind(env.spec)
    seen = watch(agent, env, behaviour, found.seed, last_mark(found), args.episode)
    if args.gif:
        play.save_gif(seen.frames, args.gif, args.fps)
        console.print(str(args.gif))
    else:
        show(console, seen, args.fps)
    console.print(", ".join(f"{name} {value:.4g}" for name, value in seen.facts.items()))
    return 0


def last_mark(found: play.Finished) -> int:
    """The number of a finished run's last evaluation."""
    result = Folder(found.folder).result
    assert result is not None
    reached = result["rows"][0]["mark"] if result["rows"] else 0
    return max(sum(mark <= reached for mark in found.run.marks) - 1, 0)


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


def show(console: Console, seen: Watched, fps: int) -> None:
    """Play the pictures in a terminal; in one that cannot draw anew, show the last."""
    height, width = seen.frames[0].shape[:2]
    scale = min(console.width / width, 2 * (console.height - 3) / height, 1.0)
    size = max(1, int(width * scale)), max(2, int(height * scale))
    draw = blocks if console.color_system and not console.no_color else shades
    if not console.is_interactive:
        console.print(Text.assemble(draw(seen.frames[-1], size), seen.captions[-1]))
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        for frame, caption in zip(seen.frames, seen.captions, strict=True):
            live.update(Text.assemble(draw(frame, size), caption), refresh=True)
            time.sleep(1 / fps)


def _resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))


def blocks(frame: np.ndarray, size: tuple[int, int]) -> Text:
    """A picture as coloured half blocks, `size` (width, height) pixels."""
    small = _resized(frame, (size[0], size[1] - size[1] % 2))
    text = Text(no_wrap=True)
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        for above, below in zip(upper, lower, strict=True):
            text.append(PIXEL, f"rgb({','.join(map(str, above))}) on rgb({','.join(map(str, below))})")
        text.append("\n")
    return text


def shades(frame: np.ndarray, size: tuple[int, int]) -> Text:
    """A picture without colours: a letter for every two pixels, one above the other; the darker, the denser."""
    grey = _resized(frame, (size[0], max(1, size[1] // 2))).mean(axis=2) / 255
    letters = np.array(list(SHADES))[((1 - grey) * (len(SHADES) - 1)).round().astype(int)]
    return Text("".join("".join(row) + "\n" for row in letters), no_wrap=True)
