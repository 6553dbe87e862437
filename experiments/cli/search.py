"""`prospect search EXPERIMENT`: tunes an agent's hyper-parameters and writes the best settings as an experiment."""

from __future__ import annotations

import importlib
import math

from rich.table import Table

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.api import GPU, Experiment
from prospect_rl.experiments.cli.display import sweep_display
from prospect_rl.experiments.cli.outcome import print_notices
from prospect_rl.experiments.cli.parser import Parser, add_device
from prospect_rl.experiments.options import show
from prospect_rl.experiments.register import EXPERIMENTS, is_experiment, load
from prospect_rl.experiments.run.device import asked
from prospect_rl.experiments.run.lock import Lock
from prospect_rl.experiments.searches.study import Study, worth
from prospect_rl.experiments.sweeps.workers import Ray, connect, of_pool, on_cluster, worker_environment
from prospect_rl.experiments.terminal import FAILED, err, out, positive, table

MOST_TRIALS = 10_000


def search_experiment(words: list[str]) -> int:
    """Run or resume the search that an experiment declares; print its trials and the best one."""
    parser = Parser(
        prog="prospect search",
        description="Tune hyper-parameters by successive halving, as an experiment declares. The same command "
        "resumes an interrupted search; more trials extend it.",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help="A registered experiment or a Python file.")
    parser.add_argument("--trials", type=positive, metavar="N", help="Number of trials (default: as declared)")
    parser.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="Number of trials at the same time (default: 1)"
    )
    parser.add_argument("--nice", action="store_true", help="Run workers at low priority (nice 10).")
    parser.add_argument(
        "--limit", type=positive, metavar="SECONDS", help="Time limit of a trial in seconds (default: none)"
    )
    add_device(parser, shared=True)
    args = parser.parse_args(words)
    if not is_experiment(args.experiment):
        raise unknown("experiment", args.experiment, EXPERIMENTS)
    if args.trials and args.trials > MOST_TRIALS:
        raise ValueError(f"--trials must be at most {MOST_TRIALS}, not {args.trials}")
    experiment = load(args.experiment)
    for_gpu = experiment.search is not None and experiment.search.tier == GPU
    wanted = asked(GPU if for_gpu else args.device, elsewhere=on_cluster())
    ray = connect(args.workers, runtime_env={"env_vars": worker_environment()})  # before JAX
    try:
        pool = Ray(args.workers, args.limit, ray, args.gpu_share)
        study = open_study(experiment, args.trials, of_pool(wanted, pool))
        with Lock(study.folder), sweep_display(err()) as display:
            from prospect_rl.experiments.searches import together

            study.open()
            if together.possible(study):
                together.run(study, pool, nice=args.nice, display=display)
            else:
                _need_tune()
                from prospect_rl.experiments.searches.tuning import run

                run(study, workers=args.workers, nice=args.nice, limit=args.limit, display=display, share=pool.share)
            return conclude(study)
    finally:
        ray.shutdown()


def _need_tune() -> None:
    try:
        importlib.import_module("pyarrow")
        importlib.import_module("pandas")
    except ImportError as error:
        advice = 'install it with: pip install "prospect-rl[search]"'
        raise ValueError(f"this search needs Ray Tune ({error}); {advice}") from None


def open_study(experiment: Experiment, trials: int | None = None, device: str = "cpu") -> Study:
    """Open the search of an experiment in its folder among the runs."""
    from prospect_rl.experiments.run.machine import make_folder, runs_root

    study = Study(experiment, runs_root() / experiment.name / "search", trials, device)
    make_folder(study.folder)
    return study


def conclude(study: Study) -> int:
    """Write and print the best trial; returns the exit code."""
    from prospect_rl.experiments.searches.winner import write

    best, path = write(study)
    console = out()
    console.print(trials_table(study))
    for number, error in sorted(study.failed.items()):
        folder = study.trials[number].job.out
        console.print(f"failed: trial {number}: {error}\n        {folder}")
    print_notices(trial.job for trial in study.trials)
    if best is None:
        console.print("no trial finished with a score: there is no best trial")
    elif path is None:
        console.print(f"no trial was better than {study.search.label} with its own settings")
    else:
        console.print(f"to compare the best trial, {best.number}, with {study.search.label} itself on other seeds:")
        console.print(f"prospect run {path} --tier {study.search.tier}")
    return FAILED if study.failed or best is None else 0


def trials_table(study: Study) -> Table:
    """A table of all trials, sorted by number of rows, then by score."""
    names, best = sorted(study.search.space), study.best()
    made = table("trial", *names, study.search.metric, "rows", "state")
    each = [(trial, *study.last(trial)) for trial in study.trials]
    base = study.experiment.trial({}).agents[study.search.label]
    for trial, rows, score in sorted(each, key=lambda one: (-one[1], -worth(study.search, one[2]), one[0].number)):
        values = [show(trial.settings.get(name, getattr(base, name))) for name in names]
        figure = "–" if math.isnan(score) else f"{score:.4g}"
        state = study.state(trial) + (" (best)" if trial is best else "")
        made.add_row(str(trial.number), *values, figure, f"{rows}/{study.search.evals}", state)
    return made
