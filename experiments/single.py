"""`prospect run AGENT ENV` and `prospect play RUN`: one agent, shown while it learns and after."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

import agents
import envs
from agents.api import Batches, Rollouts, wants_of
from envs import datasets
from envs.api import Env, Spec
from envs.names import unknown
from experiments import play, runs
from experiments.callbacks import parse_stop
from experiments.console import err, natural, out, positive, print_outcome
from experiments.display import run_display, sweep_display
from experiments.driver import train_run
from experiments.hooks import Callback
from experiments.options import Parser, add_options, given
from experiments.sweep import Job, make_job, resolve, seeds_name, sweep
from experiments.tracking import TRACKERS
from experiments.workers import Serial

FRAMES = 60
"""Pictures of a GIF, at most."""
MOST_SEEDS = 10_000


def run_agent(name: str, words: list[str]) -> int:
    """Train a registered agent in a registered environment; several seeds run one after another."""
    parser = Parser(prog=f"prospect run {name}", description=(agents.AGENTS[name].__doc__ or "").strip())
    parser.add_argument("env", metavar="ENV", help=f"one of: {', '.join(envs.ENVS)}")
    parser.add_argument(
        "--budget", type=positive, default=20_000, help="steps, evaluations or updates (default: 20000)"
    )
    parser.add_argument("--seed", type=natural, help="one seed (default: 0)")
    parser.add_argument("--seeds", type=positive, metavar="N", help="the seeds 0 to N-1")
    parser.add_argument("--evals", type=positive, default=20, help="rows of metrics (default: 20)")
    parser.add_argument("--eval-episodes", type=positive, default=1, help="episodes of an evaluation (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the run goes (default: under results/runs)")
    parser.add_argument("--track", choices=TRACKERS, help="write the rows for a dashboard too (the extra `track`)")
    parser.add_argument("--stop-at", metavar="METRIC>=VALUE", help="end early, e.g. at 'eval/return>=0.9' (or <=)")
    parser.add_argument(
        "--dataset", metavar="NAME", help="what an offline agent learns from (see: prospect data list), or a file"
    )
    add_options(parser, agents.AGENTS[name], title="hyper-parameters")
    if "--dataset" in words[:-1]:
        add_options(parser, type(datasets.recipe(words[words.index("--dataset") + 1])), title="dataset", prefix="data.")
    if id := next((word for word in words if not word.startswith("-")), None):
        # The environment's own flags are known only with its name, which comes first.
        if id in envs.ENVS:
            add_options(parser, type(envs.make(id)), title="environment", prefix="env.")
    args = parser.parse_args(words)
    if args.env not in envs.ENVS:
        raise unknown("environment", args.env, envs.ENVS)
    if args.seed is not None and args.seeds is not None:
        raise ValueError("give --seed or --seeds, not both")
    if args.seeds and args.seeds > MOST_SEEDS:
        raise ValueError(f"--seeds must be at most {MOST_SEEDS}, not {args.seeds}")
    runs.enable_compilation_cache()
    jobs, watched = _jobs(name, args), bool(_callbacks(args))
    if len(jobs) > 1 and not watched:
        return _run_all(jobs)
    return max(_run_here(job, _callbacks(args)) for job in jobs)  # callbacks live in this process


def _callbacks(args: argparse.Namespace) -> list[Callback]:
    """What the command line asks for, anew for each run."""
    asked = [TRACKERS[args.track]()] if args.track else []
    return [*asked, *([parse_stop(args.stop_at)] if args.stop_at is not None else [])]


def _jobs(name: str, args: argparse.Namespace) -> list[Job]:
    """A job a seed, or one for all where the agent allows it."""
    seeds = tuple(range(args.seeds)) if args.seeds else (args.seed or 0,)
    agent = agents.make(name, **given(args, "hyper-parameters"))
    spec = envs.make(args.env, **given(args, "environment")).spec
    if reason := agent.misfit(spec):
        fitting = [other for other, kind in agents.AGENTS.items() if kind().misfit(spec) is None]
        raise ValueError(f"{name} does not fit {args.env}: {reason}; these fit: {', '.join(fitting) or 'none'}")
    data = _data(args, spec)
    if data is None and isinstance(wants_of(agent)[0], Batches):
        raise ValueError(f"{name} learns from a dataset: give --dataset NAME (see: prospect data list)")
    together = agent.vmap_seeds and len(wants_of(agent)) == 1
    batches = [seeds] if together else [(seed,) for seed in seeds]
    jobs = []
    for batch in batches:
        payload: dict[str, Any] = {
            "agent": name, "fields": given(args, "hyper-parameters"), "env": args.env,
            "env_fields": given(args, "environment"), "seeds": list(batch), "budget": args.budget, "evals": args.evals,
            "eval_episodes": args.eval_episodes,
            "dataset": data,
        }  # fmt: skip
        base = runs.runs_root() / "single" / name / args.env.replace("/", "-")
        folder = base / f"{seeds_name(batch)}-{make_job(payload, base).hash[:8]}"
        if args.out:
            folder = args.out if len(batches) == 1 else args.out / seeds_name(batch)
        jobs.append(make_job(payload, folder))
    return jobs


def _data(args: argparse.Namespace, spec: Spec) -> dict[str, Any] | None:
    """The dataset as a job names it: one that lies elsewhere is read and checked, and named with its hash."""
    if not args.dataset:
        return None
    fields = given(args, "dataset")
    datasets.recipe(args.dataset, **fields)
    if datasets.is_elsewhere(args.dataset):
        with warnings.catch_warnings(action="ignore"):  # they come as notices of the run
            dataset, card = datasets.make_with_card(args.dataset, **fields)
            datasets.check_fits(dataset, spec)
        fields["sha256"] = card["sha256"]
    return {"name": args.dataset, "fields": fields}


def _run_here(job: Job, callbacks: Sequence[Callback] = ()) -> int:
    """Train in this process, with a bar. A finished run is opened for callbacks alone."""
    if job.finished() and not callbacks:
        err().print("finished before")
        rows = json.loads((job.out / "result.json").read_bytes())["rows"]
    else:
        with run_display(err(), job.title) as progress:
            result = train_run(resolve(job.payload), out=job.out, progress=progress, callbacks=callbacks)
        rows = result.rows[-len(job.seeds) :]
        if result.stopped:
            err().print(f"ended early: {escape(result.stopped)}", soft_wrap=True)
    _print_rows(rows)
    out().print(str(job.out), soft_wrap=True)
    if picture := _draw_archive(job):
        out().print(str(picture), soft_wrap=True)
    return 0


def _draw_archive(job: Job) -> Path | None:
    """A picture of what the first seed stored, over the environment; None where it stores no descriptors."""
    from experiments import plots, records

    run, path = resolve(job.payload), job.out / "archive.png"
    env, name = run.make_env(), str(job.payload["agent"])
    arrays = records.archives(records.read([job], tier=""))
    return path if plots.draw_archives(arrays, {env.spec.id: env}, [name], path) else None


def _run_all(jobs: list[Job]) -> int:
    with closing(Serial()) as worker, sweep_display(err()) as display:
        outcome = sweep(jobs, worker, display=display)
    for job in [*outcome.skipped, *outcome.finished]:
        out().print(str(job.out), soft_wrap=True)
    return print_outcome(outcome)


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """The final figures, a column a seed."""
    table = Table("", *(f"seed {row['seed']}" for row in rows))
    for name in rows[0]:
        if name not in ("seed", "mark", "unit"):
            table.add_row(name, *(_figure(row[name]) for row in rows))
    out().print(table)


def _figure(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# --- play --------------------------------------------------------------------------------------------


def cell(word: str) -> tuple[int, int]:
    """A cell of the descriptor grid, `i,j`."""
    i, j = (int(part) for part in word.split(","))
    return i, j


def play_run(words: list[str]) -> int:
    """Roll a policy of a finished run out once, compare it with the archive, draw its way."""
    parser = Parser(prog="prospect play", description="Roll a finished run's policy out once more.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--best", action="store_true", help="the fittest policy of the archive")
    which.add_argument("--cell", type=cell, metavar="I,J", help="the fittest that ends in this of 50 x 50 cells")
    which.add_argument("--index", type=natural, metavar="N", help="this entry of the archive")
    parser.add_argument("--seed", type=natural, help="of a run with several (default: its first)")
    parser.add_argument("--gif", type=Path, metavar="FILE", help="write an animated picture too")
    args = parser.parse_args(words)
    runs.enable_compilation_cache()
    found = play.open_run(args.run, args.seed)
    env = found.run.make_env()
    row = play.choose(found, env, cell=args.cell, index=args.index, best=args.best)
    behaviour = play.behaviour_of(found, row)
    played = play.play(found, env, behaviour, frames=min(FRAMES, env.spec.horizon - 1) if args.gif else 0)
    return _show_played(found, env, played, row, args.gif)


def _show_played(found: play.Finished, env: Env, played: play.Played, row: int | None, gif: Path | None) -> int:
    name = "the shipped policy" if row is None else f"entry {row}"
    table, alike = Table(name, "played", "archive"), True
    want = wants_of(found.run.agent)[0]
    same_start = isinstance(want, Rollouts) and want.starts == "fixed" and want.episodes == 1
    said = play.stored(found, row) if row is not None and same_start else {}
    for what, value in played.facts.items():
        table.add_row(what, _figure(value), _figure(said[what]) if what in said else "")
        alike &= what not in said or play.agrees(value, said[what])
    out().print(table)
    if said:
        out().print("as stored" if alike else "NOT as stored")
    if played.points.shape[-1:] == (2,):
        from experiments.plots import draw_path

        path = found.folder / ("play.png" if row is None else f"play-{row}.png")
        facts = f"return {played.facts['return']:.3g}, {played.facts['length']} steps"
        draw_path(env, played.points, f"{env.spec.id}, {name}: {facts}", path)
        out().print(escape(str(path)), soft_wrap=True)
    if gif:
        play.save_gif(played.frames, gif)
        out().print(escape(str(gif)), soft_wrap=True)
    return 0 if alike else 1
