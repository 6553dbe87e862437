"""`prospect watch`: shows an episode of a trained agent in the terminal or writes it as an animated GIF."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from prospect_rl.experiments.cli.parser import Parser
from prospect_rl.experiments.run import machine, reopen
from prospect_rl.experiments.run.episode import Watched, save_gif, watch
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.terminal import SEED_HELP, natural, out, positive

PIXEL = "▀"
"""Character that shows two pixels: the upper one as its foreground, the lower one as its background."""

SHADES = " .:-=+*#%@"
"""Characters from white to black, for terminals without colours."""


def watch_run(words: Sequence[str]) -> int:
    """Show one episode of the agent of a finished run."""
    parser = Parser(prog="prospect watch", description="Show an episode of a finished run's agent.")
    parser.add_argument("run", type=Path, metavar="RUN", help="The folder of a finished run.")
    parser.add_argument("--gif", type=Path, metavar="FILE", help="Write an animated GIF; needs no terminal.")
    parser.add_argument(
        "--episode", type=natural, default=0, metavar="N",
        help="Number of the episode in the last evaluation (default: 0)",
    )  # fmt: skip
    parser.add_argument("--seed", type=natural, help=SEED_HELP)
    parser.add_argument("--unseen", action="store_true", help="Use a level that training never uses.")
    parser.add_argument("--fps", type=positive, default=20, metavar="N", help="Frames per second (default: 20)")
    args = parser.parse_args(list(words))
    console = out()
    if not args.gif and not console.is_terminal:
        raise ValueError("watch needs a terminal, or --gif FILE")
    machine.enable_compilation_cache()
    found = reopen.open_run(args.run, args.seed)
    env = found.run.make_env()
    if args.unseen:
        if (unseen := env.unseen()) is None:
            raise ValueError(f"{env.spec.id} has no unseen levels; omit --unseen")
        env = unseen
    behaviour = reopen.behaviour_of(found, None)
    agent = found.run.agent.bind(env.spec)
    seen = watch(agent, env, behaviour, found.seed, last_mark(found), args.episode)
    if args.gif:
        save_gif(seen.frames, args.gif, args.fps)
        console.print(str(args.gif))
    else:
        show(console, seen, args.fps)
    console.print(", ".join(f"{name} {value:.4g}" for name, value in seen.facts.items()))
    return 0


def last_mark(found: reopen.Finished) -> int:
    """The number of a finished run's last evaluation."""
    result = Folder(found.folder).result
    assert result is not None
    reached = result["rows"][0]["mark"] if result["rows"] else 0
    return max(sum(mark <= reached for mark in found.run.marks) - 1, 0)


def show(console: Console, seen: Watched, fps: int) -> None:
    """Play the frames in a terminal; if it cannot redraw, show only the last frame."""
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
    """A frame as coloured half blocks; `size` is (width, height) in pixels."""
    small = _resized(frame, (size[0], size[1] - size[1] % 2))
    text = Text(no_wrap=True)
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        for above, below in zip(upper, lower, strict=True):
            text.append(PIXEL, f"rgb({','.join(map(str, above))}) on rgb({','.join(map(str, below))})")
        text.append("\n")
    return text


def shades(frame: np.ndarray, size: tuple[int, int]) -> Text:
    """A frame without colours: one character for two vertically adjacent pixels, denser for darker pixels."""
    grey = _resized(frame, (size[0], max(1, size[1] // 2))).mean(axis=2) / 255
    letters = np.array(list(SHADES))[((1 - grey) * (len(SHADES) - 1)).round().astype(int)]
    return Text("".join("".join(row) + "\n" for row in letters), no_wrap=True)
