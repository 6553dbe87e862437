"""The experiments that there are: every file `experiments/papers/<method>/<name>.py` that declares an `EXPERIMENT`.

They are found by their text: a name is known without importing anything, and a file that cannot be imported hides no
other one. Commands take the path of any other Python file with an `EXPERIMENT` too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.api import Experiment

PAPERS = Path(__file__).parent / "papers"
DECLARATION = re.compile(r"^EXPERIMENT\b.*=", re.M)
"""How a file declares one; the Makefile looks for the same."""


def declared(papers: Path = PAPERS) -> dict[str, str]:
    """Name -> module of every experiment under a folder. Raises ValueError where two files have one name."""
    found: dict[str, Path] = {}
    for path in sorted(papers.glob("*/*.py")):
        if DECLARATION.search(path.read_text(encoding="utf-8")):
            if (other := found.setdefault(path.stem, path)) != path:
                raise ValueError(f"{other} and {path} declare experiments of one name")
    return {name: f"{__package__}.papers.{path.parent.name}.{name}" for name, path in found.items()}


EXPERIMENTS = declared()
"""Name -> module that exposes `EXPERIMENT`; imported when it is first asked for."""


def is_experiment(word: str) -> bool:
    """Whether a word of the command line means an experiment: a registered name, or a Python file."""
    return word in EXPERIMENTS or word.endswith(".py")


def load(name: str) -> Experiment:
    """The experiment registered as `name`, or the `EXPERIMENT` of a Python file.

    Raises ValueError with the nearest name for an unknown one, and with the file's for one that cannot be imported or
    declares none.
    """
    if name.endswith(".py"):
        return _load_file(Path(name).resolve())
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    path = PAPERS.joinpath(*EXPERIMENTS[name].split(".")[-2:]).with_suffix(".py")
    experiment = _declared_by(lambda: import_module(EXPERIMENTS[name]), path)
    if experiment.name != name:
        raise ValueError(f"{path} calls its experiment {experiment.name!r}: it must be {name!r}, as the file")
    return experiment


def load_all(broken: dict[str, str] | None = None) -> Iterator[Experiment]:
    """All registered experiments; what is wrong with the others goes into `broken`, by name, or is raised."""
    for name in EXPERIMENTS:
        try:
            yield load(name)
        except ValueError as error:
            if broken is None:
                raise
            broken[name] = str(error)


def _load_file(path: Path) -> Experiment:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    experiment = _declared_by(lambda: _run(path), path)
    if experiment.name in EXPERIMENTS:
        raise ValueError(f"{path} calls itself {experiment.name!r}, the name of a registered experiment")
    return replace(experiment, file=str(path))


def _run(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"experiment_file_{path.stem}", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _declared_by(run: Callable[[], ModuleType], path: Path) -> Experiment:
    """The experiment of a file. Raises ValueError, which names the file, where it declares none or has an error."""
    try:
        experiment = getattr(run(), "EXPERIMENT", None)
    except Exception as error:
        line = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {line}") from error
    if not isinstance(experiment, Experiment):
        raise ValueError(f"{path} declares no EXPERIMENT")
    return experiment
