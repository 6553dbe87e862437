"""Build batch.cc with the system's C++ compiler, once, and load it.

The library is stored in $PROSPECT_CACHE/native (default ~/.cache/prospect/native) under a hash of everything it depends
on: the source, the flags, the compiler and the versions of jaxlib and mujoco.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import jax
import mujoco

from prospect_rl.envs import cache

SOURCE = Path(__file__).with_name("batch.cc")
# -ffp-contract=off: with fused multiply-adds, the Python implementation (callback.py) would differ in the last bit
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-pthread")
TARGETS = {"prospect_mujoco_reset": "ProspectReset", "prospect_mujoco_step": "ProspectStep"}
TIMEOUT = 300
"""Maximum duration of a compiler call (seconds)."""


class NoCompilerError(RuntimeError):
    """There is no working compiler, or its output cannot be loaded; the message is one line."""


def compiler() -> str | None:
    """Return $CXX, or the first C++ compiler on the path, or None."""
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


def engine_library() -> Path:
    """Return the libmujoco that the Python package loads; raise NoCompilerError if there is none."""
    found = sorted(Path(mujoco.__file__).parent.glob("libmujoco*.so*")) + sorted(
        Path(mujoco.__file__).parent.glob("libmujoco*.dylib")
    )
    if not found:
        raise NoCompilerError("the mujoco package has no shared library to link with")
    return found[0]


def build() -> Path:
    """Build the library unless it is cached; $PROSPECT_CXXFLAGS adds compiler flags.

    Returns:
        The path of the library.

    Raises:
        NoCompilerError: If there is no working compiler, or the build fails.
    """
    command = compiler()
    if command is None:
        raise NoCompilerError("no C++ compiler was found ($CXX, c++, g++, clang++)")
    try:
        version_output = subprocess.run(
            [command, "--version"], capture_output=True, encoding="utf-8", errors="replace", timeout=TIMEOUT,
            check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise NoCompilerError(f"the compiler {command} does not run: {error}") from None
    extra = os.environ.get("PROSPECT_CXXFLAGS", "").split()
    facts = (
        SOURCE.read_text(encoding="utf-8"), *FLAGS, *extra, version_output.stdout, platform.machine(),
        version("jaxlib"), version("mujoco"),
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
             str(SOURCE), "-o", str(temporary), str(engine), f"-Wl,-rpath,{engine.parent}"],
            capture_output=True, encoding="utf-8", errors="replace", timeout=TIMEOUT,
        )  # fmt: skip
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
            raise NoCompilerError(f"{command} could not build {SOURCE.name}: {first}")
        temporary.replace(library)
    return library


@lru_cache(1)
def load() -> ctypes.CDLL:
    """Load the library and register its targets with XLA; raise NoCompilerError if that is not possible."""
    try:
        library = ctypes.CDLL(str(build()))
    except OSError as error:
        raise NoCompilerError(f"the built library cannot be loaded: {error}") from None
    for target, symbol in TARGETS.items():
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, symbol)), platform="cpu")
    library.ProspectRegister.restype = library.ProspectThreads.restype = library.ProspectFailure.restype = None
    library.ProspectRegister.argtypes = [
        ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_int,
    ]  # fmt: skip
    return library
