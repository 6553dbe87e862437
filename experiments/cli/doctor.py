"""`prospect doctor`: facts about the installation and warnings about problems."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

import prospect_rl

PACKAGES = (
    "prospect-rl", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "mujoco", "gymnasium", "ray", "matplotlib",
)  # fmt: skip


def facts() -> list[tuple[str, str]]:
    """Pairs (name, value); every problem is a pair named `warning`."""
    from prospect_rl.envs.threads import threads
    from prospect_rl.experiments.run.machine import enable_compilation_cache, runs_root

    cache = enable_compilation_cache()
    return [
        ("package", str(Path(prospect_rl.__file__).parent)),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *((name, version_of(name)) for name in PACKAGES),
        ("compiler", shutil.which("c++") or shutil.which("g++") or "none (native code falls back to callbacks)"),
        (
            "threads",
            f"{threads()} (NPROC {os.environ.get('NPROC', 'unset')}, {len(os.sched_getaffinity(0))} cores allowed)",
        ),
        ("devices", _devices()),
        ("cache", f"{cache} ({_megabytes(cache):.0f} MB)"),
        ("runs", f"{runs_root().resolve()} ({'writable' if _writable(runs_root()) else 'NOT writable'})"),
    ]


def version_of(name: str) -> str:
    """The version of a package, or `not installed`."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> str:
    import jax

    return ", ".join(str(device) for device in jax.devices())


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _writable(folder: Path) -> bool:
    """Whether files can be created in a folder, or in its nearest existing parent."""
    while not folder.exists():
        folder = folder.resolve().parent
    return os.access(folder, os.W_OK)
