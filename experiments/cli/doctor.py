"""`prospect doctor`: facts about the installation and warnings about problems."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import prospect_rl
from prospect_rl.experiments.run.device import Facts, backend, missing, probe
from prospect_rl.experiments.run.versions import version_of

PACKAGES = (
    "prospect-rl", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "mujoco", "gymnasium", "ray", "matplotlib",
)  # fmt: skip


def facts() -> list[tuple[str, str]]:
    """Pairs (name, value); every problem is a pair named `warning`."""
    from prospect_rl.envs.threads import threads
    from prospect_rl.experiments.run.machine import enable_compilation_cache, runs_root

    cache, seen = enable_compilation_cache(), probe()
    used, problem = _devices()
    return [
        ("package", str(Path(prospect_rl.__file__).parent)),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *((name, version_of(name) or "not installed") for name in PACKAGES),
        ("compiler", shutil.which("c++") or shutil.which("g++") or "none (native code falls back to callbacks)"),
        (
            "threads",
            f"{threads()} (NPROC {os.environ.get('NPROC', 'unset')}, {len(os.sched_getaffinity(0))} cores allowed)",
        ),
        ("devices", used),
        ("gpu", gpu_words(seen, _memory())),
        ("cache", f"{cache} ({_megabytes(cache):.0f} MB)"),
        ("runs", f"{runs_root().resolve()} ({'writable' if _writable(runs_root()) else 'NOT writable'})"),
        *(("warning", text) for text in filter(None, [problem, gpu_warning(seen)])),
    ]


def gpu_words(seen: Facts, memory: int | None) -> str:
    """The GPUs of a machine, their driver, and the memory [bytes] that a run may use, as far as it is known."""
    if not seen.nodes:
        return "none"
    names = ", ".join(dict.fromkeys(seen.models)) or "of unknown model"
    driver = f"driver {seen.driver or 'of unknown version'}"
    plugin = " ".join(seen.plugin) if seen.plugin else "jax without CUDA"
    room = [f"{memory / 2**30:.0f} GiB for a run"] if memory else []
    return ", ".join([f"{seen.nodes} x {names}", driver, plugin, *room])


def gpu_warning(seen: Facts) -> str | None:
    """What keeps a GPU, or a jax that is installed for one, from being used; None if nothing does, or there is none."""
    why = missing(seen)
    if why is None or (not seen.nodes and not seen.card and not seen.driver and seen.plugin is None):
        return None
    return why if seen.nodes or seen.card or seen.driver else f"{seen.plugin[0]} is installed, but {why}"  # type: ignore[index]


def _devices() -> tuple[str, str | None]:
    """(the devices that JAX uses, what keeps it from starting)."""
    import jax

    try:
        backend()
    except ValueError as error:
        return "none", str(error)
    return ", ".join(f"{device} ({device.device_kind})" for device in jax.devices()), None


def _memory() -> int | None:
    """Bytes of the first device that a run may use; None where JAX has no GPU."""
    import jax

    try:
        facts = jax.devices()[0].memory_stats() if backend() == "gpu" else None
    except (ValueError, RuntimeError):
        return None
    return facts.get("bytes_limit") if facts else None


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _writable(folder: Path) -> bool:
    """Whether files can be created in a folder, or in its nearest existing parent."""
    while not folder.exists():
        folder = folder.resolve().parent
    return os.access(folder, os.W_OK)
