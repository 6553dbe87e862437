"""Register of experiments: every file `experiments/papers/<method>/<name>.py` that assigns an `EXPERIMENT`.

Files are searched as text, without importing them, so that a file that cannot be imported does not hide the others.
Commands also accept the path of any other Python file with an `EXPERIMENT`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.api import Experiment

PAPERS = Path(__file__).parent / "papers"
DECLARATION = re.compile(r"^EXPERIMENT\b.*=", re.M)
"""Pattern of a declaration; the Makefile searches for the same."""


def declared(papers: Path = PAPERS) -> dict[str, str]:
    """Name -> module of every experiment under a folder. Raises ValueError if two files share a name."""
    found: dict[str, Path] = {}
    for path in sorted(papers.glob("*/*.py")):
        if DECLARATION.search(path.read_text(encoding="utf-8")):
            if (other := found.setdefault(path.stem, path)) != path:
                raise ValueError(f"{other} and {path} declare experiments of the same name")
    return {name: f"{__package__}.papers.{path.parent.name}.{name}" for name, path in found.items()}


EXPERIMENTS = declared()
"""Name -> module that exposes `EXPERIMENT`; imported on first use."""


def is_experiment(word: str) -> bool:
    """Whether a command-line argument denotes an experiment: a registered name or a Python file."""
    return word in EXPERIMENTS or word.endswith(".py")


def load(name: str) -> Experiment:
    """The experiment registered as `name`, or the `EXPERIMENT` of a Python file.

    Raises ValueError, with the nearest known name, for an unknown name, and for a file that cannot be imported or does
    not declare an experiment.
    """
    if name.endswith(".py"):
        return _load_file(Path(name).resolve())
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    path = PAPERS.joinpath(*EXPERIMENTS[name].split(".")[-2:]).with_suffix(".py")
    experiment = _declared_by(lambda: import_module(EXPERIMENTS[name]), path)
    if experiment.name != name:
        raise ValueError(f"{path} names its experiment {experiment.name!r}: it must be {name!r}, like the file")
    return experiment


def _load_file(path: Path) -> Experiment:
    if not path.is_file():
        raise ValueError(f"file not found: {path}")
    experiment = _declared_by(lambda: _run(path), path)
    if experiment.name in EXPERIMENTS:
        raise ValueError(f"{path} is named {experiment.name!r}, like a registered experiment: choose another name")
    return replace(experiment, file=str(path))


def _run(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"experiment_file_{path.stem}", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module there
    spec.loader.exec_module(module)
    return module


def _declared_by(run: Callable[[], ModuleType], path: Path) -> Experiment:
    """The experiment of a file. Raises ValueError, naming the file, if it declares none or has an error."""
    try:
        experiment = getattr(run(), "EXPERIMENT", None)
    except Exception as error:
        line = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {line}") from error
    if not isinstance(experiment, Experiment):
        raise ValueError(f"{path} declares no EXPERIMENT")
    return experiment
