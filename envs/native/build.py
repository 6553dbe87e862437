"""Build batch.cc with the system's compiler, once, and load it.

The library lies in $PROSPECT_CACHE/native (default ~/.cache/prospect/native) under a hash of everything that shapes
it: the source, the flags, the compiler and the versions of jaxlib and mujoco.
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
# -ffp-contract=off: fused multiply-adds would make the callback twin differ in the last bit
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-pthread")
TARGETS = {"prospect_mujoco_reset": "ProspectReset", "prospect_mujoco_step": "ProspectStep"}
PATIENCE = 300
"""Seconds that a compiler may take."""


class NoCompilerError(RuntimeError):
    """There is no compiler, or what it made cannot be loaded; the message is one line."""


def compiler() -> str | None:
    """$CXX, or the first C++ compiler on the path."""
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


def engine_library() -> Path:
    """The libmujoco that the Python package loads."""
    found = sorted(Path(mujoco.__file__).parent.glob("libmujoco*.so*")) + sorted(
        Path(mujoco.__file__).parent.glob("libmujoco*.dylib")
    )
    if not found:
        raise NoCompilerError("the mujoco package has no shared library to link with")
    return found[0]


def build() -> Path:
    """The library, built unless it is there; $PROSPECT_CXXFLAGS holds more flags. Raises NoCompilerError."""
    command = compiler()
    if command is None:
        raise NoCompilerError("no C++ compiler was found ($CXX, c++, g++, clang++)")
    try:
        told = subprocess.run(
            [command, "--version"], capture_output=True, encoding="utf-8", errors="replace", timeout=PATIENCE,
            check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise NoCompilerError(f"the compiler {command} does not run: {error}") from None
    extra = os.environ.get("PROSPECT_CXXFLAGS", "").split()
    facts = (
        SOURCE.read_text(encoding="utf-8"), *FLAGS, *extra, told.stdout, platform.machine(), version("jaxlib"),
        version("mujoco"),
    )  # fmt: skip
    name = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:20]
    library = cache.folder("native") / f"batch-{name}.so"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with open(library.parent / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # many workers may start at once: one builds, the others wait
        if library.exists():
            return library
        engine, half = engine_library(), library.with_suffix(".tmp")
        done = subprocess.run(
            [command, *FLAGS, *extra, f"-I{jax.ffi.include_dir()}", f"-I{Path(mujoco.__file__).parent / 'include'}",
             str(SOURCE), "-o", str(half), str(engine), f"-Wl,-rpath,{engine.parent}"],
            capture_output=True, encoding="utf-8", errors="replace", timeout=PATIENCE,
        )  # fmt: skip
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
            raise NoCompilerError(f"{command} could not build {SOURCE.name}: {first}")
        half.replace(library)
    return library


@lru_cache(1)
def load() -> ctypes.CDLL:
    """The library, its targets registered with XLA. Raises NoCompilerError."""
    try:
        library = ctypes.CDLL(str(build()))
    except OSError as error:
        raise NoCompilerError(f"the library that was built does not load: {error}") from None
    for target, symbol in TARGETS.items():
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, symbol)), platform="cpu")
    library.ProspectRegister.restype = library.ProspectThreads.restype = library.ProspectFailure.restype = None
    library.ProspectRegister.argtypes = [
        ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_int,
    ]  # fmt: skip
    return library
