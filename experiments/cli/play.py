"""`prospect play RUN`: runs a policy of a finished run for one episode, draws it and compares it with the archive."""

from __future__ import annotations

from pathlib import Path

from prospect_rl.agents.api import Rollouts, wants_of
from prospect_rl.envs.api import Env
from prospect_rl.experiments.cli.parser import Parser
from prospect_rl.experiments.cli.run import figure
from prospect_rl.experiments.run import episode, machine, reopen
from prospect_rl.experiments.terminal import SEED_HELP, natural, out, table

FRAMES = 60
"""Largest number of frames in a GIF."""


def cell(word: str) -> tuple[int, int]:
    """Parse a cell of the descriptor grid, `i,j`."""
    i, j = (int(part) for part in word.split(","))
    return i, j


def play_run(words: list[str]) -> int:
    """Run a policy of a finished run for one episode, compare it with the archive, and draw its path."""
    parser = Parser(
        prog="prospect play", description="Run a policy of a finished run for one episode and draw its path."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="The folder of a finished run.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--best", action="store_true", help="Play the policy of the archive with the highest fitness.")
    which.add_argument(
        "--cell", type=cell, metavar="I,J", help="Play the best policy that ends in this cell of the 50 x 50 grid."
    )
    which.add_argument("--index", type=natural, metavar="N", help="Play the archive entry with this index.")
    parser.add_argument("--seed", type=natural, help=SEED_HELP)
    parser.add_argument("--gif", type=Path, metavar="FILE", help="Also write an animated GIF of the episode.")
    args = parser.parse_args(words)
    machine.enable_compilation_cache()
    found = reopen.open_run(args.run, args.seed)
    env = found.run.make_env()
    row = episode.choose(found, env, cell=args.cell, index=args.index, best=args.best)
    behaviour = reopen.behaviour_of(found, row)
    played = episode.play(found, env, behaviour, frames=min(FRAMES, env.spec.horizon - 1) if args.gif else 0)
    return _show_played(found, env, played, row, args.gif)


def _show_played(found: reopen.Finished, env: Env, played: episode.Played, row: int | None, gif: Path | None) -> int:
    name = "the final policy" if row is None else f"entry {row}"
    made, alike = table(name, "played", "archive"), True
    want = wants_of(found.run.agent)[0]
    same_start = isinstance(want, Rollouts) and want.starts == "fixed" and want.episodes == 1
    said = episode.stored(found, row) if row is not None and same_start else {}
    for what, value in played.facts.items():
        made.add_row(what, figure(value), figure(said[what]) if what in said else "")
        alike &= what not in said or episode.agrees(value, said[what])
    out().print(made)
    if played.text:
        out().print(played.text, markup=False)
    if said:
        out().print("as stored" if alike else "NOT as stored")
    if played.points.shape[-1:] == (2,):
        from prospect_rl.experiments.reports.plots import draw_path

        path = found.folder / ("play.png" if row is None else f"play-{row}.png")
        facts = f"return {played.facts['return']:.3g}, {played.facts['length']} steps"
        draw_path(env, played.points, f"{env.spec.id}, {name}: {facts}", path)
        out().print(str(path))
    if gif:
        episode.save_gif(played.frames, gif)
        out().print(str(gif))
    return 0 if alike else 1
