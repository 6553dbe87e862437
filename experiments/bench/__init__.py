"""Benchmarks of speed and memory. `make bench` runs them all.

A benchmark is a module with `TARGETS` (figure -> ("at least" | "at most", value)), `measure() -> {figure: value}` and,
if it uses more than one core, `CORES`. Measurements run in child processes on one core with one XLA thread (or two, if
a benchmark says so), so that figures of different machines and days are comparable. This module does not import JAX.

A benchmark of an accelerator is named `gpu_...`, and its `measure(small)` is told whether there is none. Its targets
hold on an accelerator alone, whose name is in the file, `gpu/<name>.json`; elsewhere it is small and leaves no file.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.metrics import number
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.run.versions import version_of
from prospect_rl.experiments.terminal import out as stdout
from prospect_rl.experiments.terminal import table as table_of
from prospect_rl.experiments.terminal import waiting

BENCHES: dict[str, str] = {
    path.stem: f"{__name__}.{path.stem}"
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if re.search(r"^TARGETS\b", path.read_text(encoding="utf-8"), re.M)
}
"""Name -> module; imported on first use."""

RESULTS = Path("results/bench")
ACCELERATOR = "gpu_"
"""Beginning of the names of benchmarks of an accelerator."""

Targets = dict[str, tuple[str, float]]


def run(name: str | None = None, *, out: Path = RESULTS, console: Console | None = None) -> bool:
    """Run one benchmark, or all; writes `out`/<name>.json, prints tables and returns whether every target was met.

    When running all, one that cannot run here (a missing extra) is reported and skipped, and counts as not met. One of
    an accelerator counts only where there is one.
    """
    if name is not None and name not in BENCHES:
        raise unknown("bench", name, BENCHES)
    console = console or stdout()
    met = True
    for each in BENCHES if name is None else [name]:
        module = import_module(BENCHES[each])
        try:
            with waiting(f"measuring {each} ..."):
                if each.startswith(ACCELERATOR):
                    met &= on_accelerator(each, module, out, console)
                    continue
                figures = module.measure()
        except ValueError as error:
            if name is not None:
                raise
            console.print(f"{each}: not measured: {error}")
            met = False
            continue
        threads = getattr(module, "CORES", 1)
        write(out / f"{each}.json", figures, threads=threads, command=f"make bench NAME={each}")
        console.print(table(each, figures, module.TARGETS))
        met &= all(holds(figures[figure], *target) for figure, target in module.TARGETS.items())
    return met


def on_accelerator(name: str, module: Any, out: Path, console: Console) -> bool:
    """Run a benchmark of an accelerator, small where there is none; returns whether no target was missed."""
    device = start(accelerator).result()
    figures = module.measure(small=device is None)
    console.print(table(name, figures, {} if device is None else module.TARGETS))
    if device is None:
        console.print(f"{name}: there is no accelerator here: measured small on the processor, which is no verdict")
        return True
    path, cores = out / ACCELERATOR.strip("_") / f"{name}.json", len(os.sched_getaffinity(0))
    write(path, figures, threads=cores, command=f"make bench NAME={name}", device=device)
    return all(holds(figures[figure], *target) for figure, target in module.TARGETS.items())


def accelerator() -> str | None:
    """The name of this process's accelerator, None if JAX computes on the processor."""
    import jax

    return None if jax.default_backend() == "cpu" else jax.devices()[0].device_kind


def holds(value: float, relation: str, bound: float) -> bool:
    """Whether a figure meets its target; NaN never does."""
    if relation not in ("at least", "at most"):
        raise ValueError(f"a target is 'at least' or 'at most' a value, not {relation!r}")
    return value >= bound if relation == "at least" else value <= bound


def table(name: str, figures: dict[str, float], targets: Targets) -> Table:
    """A table of figures and targets."""
    made = table_of("figure", "value", "target", "")
    made.title, made.title_justify = name, "left"
    for figure, value in figures.items():
        target = targets.get(figure)
        verdict = "" if target is None else Text("met", "green") if holds(value, *target) else Text("missed", "red")
        made.add_row(figure, number(value, 4), f"{target[0]} {number(target[1], 4)}" if target else "", verdict)
    return made


def page(folder: Path = RESULTS) -> list[Path]:
    """Write `folder`/README.md if there are any figures; returns its path in a list."""
    if not files(folder):
        return []
    durable.write(folder / "README.md", page_text(folder).encode())
    return [folder / "README.md"]


def files(folder: Path) -> list[Path]:
    """The files of figures in a folder, those of an accelerator last."""
    return [*sorted(folder.glob("*.json")), *sorted(folder.glob(f"{ACCELERATOR.strip('_')}/*.json"))]


def page_text(folder: Path = RESULTS) -> str:
    """The text of the page: the figures of all files in `folder` with their targets."""
    parts = ["# Speed and memory", PAGE]
    for path in files(folder):
        found = durable.read_object(path)
        module = import_module(BENCHES[path.stem]) if path.stem in BENCHES else None
        targets = module.TARGETS if module else {}
        figures = {name: x for name, x in found.items() if isinstance(x, int | float) and name != "threads"}
        lines = [
            f"| {figure.replace('_', ' ')} | {number(value, 4)} | {_met(value, targets.get(figure))} |"
            for figure, value in sorted(figures.items(), key=lambda item: item[0] not in targets)
        ]
        said = ((module and module.__doc__) or "").split("\n\n")[0].strip()
        machine = f"{found['machine']['cpu']}, {found['threads']} of {found['machine']['cores']} cores"
        machine = f"{device}, {machine}" if (device := found["machine"].get("device")) else machine
        parts += [
            f"## {path.stem}",
            said,
            "\n".join(["| figure | value | target |", "| --- | --- | --- |", *lines]),
            f"{found['date']}, {machine}: `{found['command']}`",
        ]
    return "\n\n".join([*parts, "Made by `prospect report --all`; edits are overwritten."]) + "\n"


PAGE = """What is promised about speed and memory, measured by `make bench`; a target that is missed is bold. Rivals
need the extras `rivals` and `minigrid`, PyTorch the extra `sb3`. Figures without a target are there to read the others
by: `per s` is a second's steps or updates, `ratio to` is ours over the other's."""


def _met(value: float, target: tuple[str, float] | None) -> str:
    if target is None:
        return ""
    said = f"{target[0]} {number(target[1], 4)}"
    return said if holds(value, *target) else f"**missed: {said}**"


PACKAGES = ("prospect-rl", "jax", "jaxlib", "flax", "numpy", "mujoco", "gymnasium")
"""Packages whose versions are written beside the figures."""


def write(path: Path, figures: dict[str, float], *, threads: int, command: str, device: str | None = None) -> None:
    """Write the figures as flat JSON, with machine, threads, versions, date and command."""
    about = {
        "machine": {"cpu": cpu_model(), "cores": len(os.sched_getaffinity(0))} | ({"device": device} if device else {}),
        "threads": threads,
        "versions": {"python": platform.python_version()}
        | {name: found for name in PACKAGES if (found := version_of(name))},
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, (durable.dumps(figures | about, indent=2) + "\n").encode())


def cpu_model() -> str:
    """The name of the processor, or its architecture if the system does not provide a name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


@dataclass(frozen=True)
class Child:
    """A function that is running in a child process."""

    pool: ProcessPoolExecutor
    """Executor that owns the child process."""
    future: Future[Any]
    """The pending result of the function."""

    def result(self) -> Any:
        """Wait for the process to end; returns the function's result or raises its error."""
        with self.pool:
            return self.future.result()


def start(work: Callable[..., Any], *args: Any, core: int = 0, cores: int = 1) -> Child:
    """Run `work(*args)` in a new process on `cores` cores (0: all), starting at number `core` of those available.

    Affinity and NPROC are set before JAX starts, because it counts its cores only once.
    """
    cores = cores or len(os.sched_getaffinity(0))
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _pin, (core, cores))
    return Child(pool, pool.submit(work, *args))


def _pin(core: int, count: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[(core + i) % len(cores)] for i in range(count)})
    os.environ["NPROC"] = str(count)
