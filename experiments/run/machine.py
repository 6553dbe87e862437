"""The machine that a run uses: folders, versions, the cache of compiled programs."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from pathlib import Path

import jax

from prospect_rl.envs import cache
from prospect_rl.experiments.run.versions import version_of


def runs_root() -> Path:
    """The folder of all runs: $PROSPECT_RUNS, or results/runs in the current folder."""
    return cache.place("PROSPECT_RUNS", Path("results") / "runs")


def enable_compilation_cache() -> Path:
    """Cache compiled programs in $PROSPECT_CACHE (default ~/.cache/prospect); returns the folder."""
    folder = cache.folder()
    make_folder(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def make_folder(path: Path) -> None:
    """Create a folder if it does not exist. Raises ValueError if it is not writable."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be written to: {error.strerror}") from None


def versions() -> dict[str, str]:
    """Versions of the software that results depend on bit for bit."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()}-{platform.machine()}"}
    packages = {name: version_of(name) for name in ("jax", "jaxlib", "numpy", "flax", "mujoco")}
    found |= {name: version for name, version in packages.items() if version}
    return {**found, "device": device_model()}


def device_model() -> str:
    """What this process computes on: "cpu", or the model of the GPU."""
    return jax.devices()[0].device_kind


def git_commit() -> str | None:
    """The git commit of this code; None outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
