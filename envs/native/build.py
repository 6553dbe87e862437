"""Build batch.cc, on a GPU with cuda.cc, by the system's C++ compiler, once, and load it.

The library is stored in $PROSPECT_CACHE/native (default ~/.cache/prospect/native) under a hash of everything it depends
on: the sources, the flags, the compiler and the versions of jaxlib and mujoco.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import jax
import mujoco

from prospect_rl.envs import cache

HERE = Path(__file__).parent
SOURCES = {"cpu": (HERE / "batch.cc",), "gpu": (HERE / "batch.cc", HERE / "cuda.cc")}
"""JAX's default backend -> what is built."""
# -ffp-contract=off: with fused multiply-adds, the Python implementation (callback.py) would differ in the last bit
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-pthread")
TARGETS = {"prospect_mujoco_reset": "ProspectReset", "prospect_mujoco_step": "ProspectStep"}
"""Name in XLA programs -> function of the library for CPU programs; for GPU programs `Cuda` is appended."""
TIMEOUT = 300
"""Maximum duration of a compiler call (seconds)."""


class UnavailableError(RuntimeError):
    """No compiler works, its output cannot be loaded, or a GPU has no CUDA driver; the message is one line."""


def compiler() -> str | None:
    """Return $CXX, or the first C++ compiler on the path, or None."""
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


def engine_library() -> Path:
    """Return the libmujoco that the Python package loads; raise UnavailableError if there is none."""
    found = sorted(Path(mujoco.__file__).parent.glob("libmujoco*.so*")) + sorted(
        Path(mujoco.__file__).parent.glob("libmujoco*.dylib")
    )
    if not found:
        raise UnavailableError("the mujoco package has no shared library to link with")
    return found[0]


def build(sources: Sequence[Path] = SOURCES["cpu"]) -> Path:
    """Build a library unless it is cached; $PROSPECT_CXXFLAGS adds compiler flags.

    Args:
        sources: C++ files, which may include those of this folder.

    Returns:
        The path of the library.

    Raises:
        UnavailableError: If there is no working compiler, or the build fails.
    """
    command = compiler()
    if command is None:
        raise UnavailableError("no C++ compiler was found ($CXX, c++, g++, clang++)")
    try:
        version_output = subprocess.run(
            [command, "--version"], capture_output=True, encoding="utf-8", errors="replace", timeout=TIMEOUT,
            check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"the compiler {command} does not run: {error}") from None
    extra = os.environ.get("PROSPECT_CXXFLAGS", "").split()
    texts = [path.read_text(encoding="utf-8") for path in (HERE / "batch.h", *SOURCES["gpu"], *sources)]
    facts = (
        *texts, *FLAGS, *extra, version_output.stdout, platform.machine(), version("jaxlib"), version("mujoco"),
    )  # fmt: skip
    name = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:20]
    library = cache.folder("native") / f"batch-{name}.so"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with open(library.parent / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # if several workers start at once, one builds and the others wait
        if library.exists():
            return library
        engine, temporary = engine_library(), library.with_suffix(".tmp")
        done = subprocess.run(
            [command, *FLAGS, *extra, f"-I{jax.ffi.include_dir()}", f"-I{Path(mujoco.__file__).parent / 'include'}",
             f"-I{HERE}", *map(str, sources), "-o", str(temporary), str(engine),
             f"-Wl,-rpath,{engine.parent}", "-ldl"],
            capture_output=True, encoding="utf-8", errors="replace", timeout=TIMEOUT,
        )  # fmt: skip
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
            raise UnavailableError(f"{command} could not build {sources[-1].name}: {first}")
        temporary.replace(library)
    return library


@lru_cache(1)
def load() -> ctypes.CDLL:
    """Load the library and register its targets with XLA; raise UnavailableError if that is not possible."""
    if (device := jax.default_backend()) not in SOURCES:
        raise UnavailableError(f"there are no compiled calls for {device}")
    library = opened(build(SOURCES[device]))
    register(library, "cpu", TARGETS)
    if device == "gpu":
        library.ProspectDriver.restype = ctypes.c_char_p
        if missing := library.ProspectDriver():
            raise UnavailableError(missing.decode(errors="replace"))
        register(library, "CUDA", {target: f"{symbol}Cuda" for target, symbol in TARGETS.items()})
    return library


def opened(path: Path) -> ctypes.CDLL:
    """Open a built library and declare its functions; raise UnavailableError if that is not possible."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise UnavailableError(f"the built library cannot be loaded: {error}") from None
    library.ProspectRegister.restype = library.ProspectThreads.restype = library.ProspectFailure.restype = None
    library.ProspectRegister.argtypes = [
        ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_int,
    ]  # fmt: skip
    return library


def register(library: ctypes.CDLL, platform: str, targets: dict[str, str]) -> None:
    """Make functions of a library the targets of these names in XLA's programs for a platform."""
    for target, symbol in targets.items():
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, symbol)), platform=platform)
