"""`prospect run AGENT [ENV]`: trains one agent and shows its progress."""

from __future__ import annotations

import argparse
import json
import math
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from prospect_rl import agents, envs
from prospect_rl.agents.api import Agent, Batches, Rollouts, Segments, can_share, wants_of
from prospect_rl.envs.api import Spec
from prospect_rl.envs.data import datasets
from prospect_rl.envs.names import unknown
from prospect_rl.experiments.api import Scores, seeds_name
from prospect_rl.experiments.cli.display import sweep_display
from prospect_rl.experiments.cli.outcome import print_outcome
from prospect_rl.experiments.cli.parser import Parser, add_device, add_options, given
from prospect_rl.experiments.metrics import words_of
from prospect_rl.experiments.reports.claims import interval
from prospect_rl.experiments.reports.records import NEVER
from prospect_rl.experiments.run import device as devices
from prospect_rl.experiments.run import machine
from prospect_rl.experiments.run.bar import run_display
from prospect_rl.experiments.run.callbacks import parse_stop
from prospect_rl.experiments.run.choice import chosen
from prospect_rl.experiments.run.driver import train_run
from prospect_rl.experiments.run.hooks import Callback
from prospect_rl.experiments.run.seeds import seeds_together
from prospect_rl.experiments.run.tracking import TRACKERS
from prospect_rl.experiments.run.train import EPISODES
from prospect_rl.experiments.sweeps.job import Job, make_job, on, resolve
from prospect_rl.experiments.sweeps.sweep import sweep
from prospect_rl.experiments.sweeps.workers import Serial
from prospect_rl.experiments.terminal import err, natural, out, positive, table

MOST_SEEDS = 10_000
BUDGET = 20_000
"""Default budget of an agent without a default run."""
SHOWN = ("eval/return", "eval/linear/return", "eval/success", "unseen/return", "unseen/success", "ledger/coverage")
"""Metrics in the table over seeds, if a run has them."""


def run_agent(name: str, words: list[str]) -> int:
    """Train a registered agent; several seeds run one after another, or as one program."""
    cls = agents.AGENTS[name]
    usual = cls.default_run
    parser = Parser(prog=f"prospect run {name}", usage=f"prospect run {name} [ENV] [options]", description=_about(cls))
    here = usual.env if usual else None
    id = next((word for word in words if word in envs.ENVS), here)
    device = _start(cls, name, words, id)  # before anything uses JAX
    shown = f"default: {here}; " if here else ""
    parser.add_argument(
        "env", metavar="ENV", nargs="?", default=here,
        help=f"Environment to train in ({shown}see: prospect list envs).",
    )  # fmt: skip
    data = usual.dataset if usual and id == here else None
    _add_run_options(parser, cls, data)
    # The flags of an environment or a dataset depend on its name.
    if id is not None:
        add_options(parser, type(envs.make(id)), title="environment", prefix="env.")
    if (named := _value_of("--dataset", words) or data) is not None:
        add_options(parser, type(datasets.recipe(named)), title="dataset", prefix="data.")
    args = parser.parse_args(words)
    if args.env is None:
        raise ValueError(f"{name} has no default environment: prospect run {name} ENV (see: prospect list envs)")
    if args.env not in envs.ENVS:
        raise unknown("environment", args.env, envs.ENVS)
    if args.seed is not None and args.seeds is not None:
        raise ValueError("use either --seed or --seeds, not both")
    if args.seeds and args.seeds > MOST_SEEDS:
        raise ValueError(f"--seeds must be at most {MOST_SEEDS}, not {args.seeds}")
    machine.enable_compilation_cache()
    jobs, watched = _jobs(name, args, device), bool(_callbacks(args))
    if len(jobs) > 1 and not watched:
        return _run_all(jobs)
    rows = [row for job in jobs for row in _run_here(job, _callbacks(args))]  # callbacks need this process
    if len(jobs) > 1:
        _print_seeds(rows, jobs[0].env)
    return 0


def _start(cls: type[Agent], name: str, words: list[str], env: str | None) -> str:
    """Choose the kind of device, and let JAX start on it if this process trains; returns the kind."""
    first = Parser(prog=f"prospect run {name}", add_help=False)
    _add_run_options(first, cls)
    args, _ = first.parse_known_args(words)
    agent, seeds = agents.make(name, **given(args, "hyper-parameters")), args.seeds or 1
    device = chosen(
        devices.asked(args.device), agent, env or "", seeds if can_share(agent) else 1, gpus=devices.count()
    )
    if seeds_together(agent, device) or seeds == 1 or args.track or args.stop_at:
        devices.start(device)
        devices.check(device)
    else:  # several runs, in workers
        devices.keep_off()
    return device


def _about(cls: type[Agent]) -> str:
    """The first paragraph of an agent's docstring."""
    return " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split())


def _value_of(flag: str, words: list[str]) -> str | None:
    """The value of a flag in unparsed arguments: `--flag value` or `--flag=value`."""
    after = dict(zip(words, words[1:], strict=False)).get(flag)
    return after or next((word.partition("=")[2] for word in words if word.startswith(f"{flag}=")), None)


def _add_run_options(parser: Parser, cls: type[Agent], dataset: str | None = None) -> None:
    """The flags that do not depend on the environment."""
    add_options(parser, cls, title="hyper-parameters")
    budget = cls.default_run.budget if cls.default_run else BUDGET
    unit = {Segments: "environment steps", Rollouts: "evaluations of policies", Batches: "gradient updates"}
    what = f"{unit[type(wants_of(cls())[0])]} (default: {budget})"
    add = parser.add_argument
    add("--budget", type=positive, default=budget, metavar="N", help=f"Length of the training in {what}")
    add("--seed", type=natural, metavar="N", help="Train with this one seed (default: 0)")
    add("--seeds", type=positive, metavar="N", help="Train with each of the seeds 0 to N-1.")
    add("--evals", type=positive, default=20, metavar="N", help="Number of evaluations during training (default: 20)")
    add(
        "--eval-episodes", type=positive, default=EPISODES, metavar="N",
        help=f"Number of episodes per evaluation (default: {EPISODES})",
    )  # fmt: skip
    add_device(parser)
    add("--out", type=Path, metavar="FOLDER", help="Folder of the run (default: under results/runs)")
    add("--track", choices=TRACKERS, help="Also log the metrics to TensorBoard or W&B (needs the extra `track`).")
    add(
        "--stop-at", metavar="METRIC>=VALUE", help="End when a metric reaches a value, e.g. 'eval/return>=0.9' (or <=)."
    )
    shown = f" (default: {dataset})" if dataset else ""
    learns = isinstance(wants_of(cls())[0], Batches)
    add(
        "--dataset", metavar="NAME", default=dataset,
        help=f"Dataset to learn from: a file, or a name in `prospect data list`{shown or '.'}"
        if learns
        else argparse.SUPPRESS,
    )  # fmt: skip


def _callbacks(args: argparse.Namespace) -> list[Callback]:
    """New callback objects for a run, as requested on the command line."""
    asked = [TRACKERS[args.track]()] if args.track else []
    return [*asked, *([parse_stop(args.stop_at)] if args.stop_at is not None else [])]


def _jobs(name: str, args: argparse.Namespace, device: str) -> list[Job]:
    """One job per seed, or one for all seeds if the agent allows it."""
    seeds = tuple(range(args.seeds)) if args.seeds else (args.seed or 0,)
    agent = agents.make(name, **given(args, "hyper-parameters"))
    spec = envs.make(args.env, **given(args, "environment")).spec
    if reason := agent.misfit(spec):
        fitting = [other for other, kind in agents.AGENTS.items() if kind().misfit(spec) is None]
        raise ValueError(f"{name} does not fit {args.env}: {reason}; these fit: {', '.join(fitting) or 'none'}")
    data = _data(args, spec)
    if data is None and isinstance(wants_of(agent)[0], Batches):
        raise ValueError(f"{name} learns from a dataset: add --dataset NAME (see: prospect data list)")
    batches = [seeds] if seeds_together(agent, device) else [(seed,) for seed in seeds]
    jobs = []
    for batch in batches:
        payload = on({
            "agent": name, "fields": given(args, "hyper-parameters"), "env": args.env,
            "env_fields": given(args, "environment"), "seeds": list(batch), "budget": args.budget, "evals": args.evals,
            "eval_episodes": args.eval_episodes,
            "dataset": data,
        }, device)  # fmt: skip
        base = machine.runs_root() / "single" / name / args.env.replace("/", "-")
        folder = base / f"{seeds_name(batch)}-{make_job(payload, base).hash[:8]}"
        if args.out:
            folder = args.out if len(batches) == 1 else args.out / seeds_name(batch)
        resolve(payload).check(None)
        jobs.append(make_job(payload, folder))
    return jobs


def _data(args: argparse.Namespace, spec: Spec) -> dict[str, Any] | None:
    """The dataset of a job's payload; external data is read, checked and identified by its hash."""
    if not args.dataset:
        return None
    fields = given(args, "dataset")
    datasets.recipe(args.dataset, **fields)
    if datasets.is_external(args.dataset):
        with warnings.catch_warnings(action="ignore"):  # the run reports them as notices
            dataset, card = datasets.make_with_card(args.dataset, **fields)
            datasets.check_fits(dataset, spec)
        fields["sha256"] = card["sha256"]
    return {"name": args.dataset, "fields": fields}


def _run_here(job: Job, callbacks: Sequence[Callback] = ()) -> list[dict[str, Any]]:
    """Train in this process with a progress bar; returns the final rows. Reopens a finished run only for callbacks."""
    if job.finished() and not callbacks:
        err().print("finished before")
        rows = _final_rows(job)
    else:
        with run_display(err(), job.title) as progress:
            result = train_run(resolve(job.payload), out=job.out, progress=progress, callbacks=callbacks)
        rows = result.rows[-len(job.seeds) :]
        if result.stopped:
            err().print(f"ended early: {result.stopped}")
    if len(rows) > 1:
        _print_seeds(rows, job.env)
    else:
        _print_row(rows[0], job.env)
    out().print(str(job.out))
    if picture := _draw_archive(job):
        out().print(str(picture))
    return rows


def _final_rows(job: Job) -> list[dict[str, Any]]:
    """The last row of each seed of a run that has ended."""
    return json.loads((job.out / "result.json").read_text(encoding="utf-8"))["rows"]


def _draw_archive(job: Job) -> Path | None:
    """Draw the archive of the first seed over the environment; None if the agent has no archive of descriptors."""
    from prospect_rl.experiments.reports import plots, records

    run, path = resolve(job.payload), job.out / "archive.png"
    env, name = run.make_env(), str(job.payload["agent"])
    arrays = records.archives(records.read([job], tier=""))
    return path if plots.draw_archives(arrays, {env.spec.id: env}, [name], path) else None


def _run_all(jobs: list[Job]) -> int:
    with closing(Serial()) as worker, sweep_display(err()) as display:
        outcome = sweep(jobs, worker, display=display)
    over = sorted([*outcome.skipped, *outcome.finished], key=lambda job: job.seeds)
    for job in over:
        out().print(str(job.out))
    code = print_outcome(outcome)
    if over:
        _print_seeds([row for job in over for row in _final_rows(job)], over[0].env)
    return code


def _print_row(row: dict[str, Any], env: str) -> None:
    """Print the final metrics of one seed."""
    made = table("", f"seed {row['seed']}")
    for name, value in row.items():
        if name not in ("seed", "mark", "unit"):
            never = name.startswith(NEVER) and value is not None and value < 0
            made.add_row(words_of(name, env), "never" if never else figure(value))
    out().print(made)


def _print_seeds(rows: list[dict[str, Any]], env: str) -> None:
    """Print the main final metrics: one row per seed, then the mean and its confidence interval (as for claims)."""
    names = [name for name in SHOWN if name in rows[0]]
    made = table("seed", *(words_of(name, env) for name in names))
    for row in rows:
        made.add_row(str(row["seed"]), *(figure(row[name]) for name in names))
    made.add_section()
    values = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    made.add_row("mean", *(figure(sum(x) / len(x) if x else None) for x in values.values()))
    made.add_row("95 % interval", *(_interval(x, Scores.of(name, env)) for name, x in values.items()))
    out().print(made)


def _interval(values: list[float], scores: Scores) -> str:
    try:
        low, high = interval(np.asarray(values), scores) if len(values) > 1 else (math.nan, math.nan)
    except ValueError:  # a value outside the bounds of its metric, e.g. by rounding, has no interval
        low = high = math.nan
    return f"{figure(low)} to {figure(high)}" if math.isfinite(high - low) else figure(None)


def figure(value: Any) -> str:
    """Format a value for the tables of commands."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
