"""Checkpoints: one folder with two files per saved iteration, bit-exact and written atomically.

    checkpoints/<iteration>/state.safetensors    the flattened run state, one array per leaf
    checkpoints/<iteration>/manifest.json        the run that it belongs to, and the SHA-256 and size of each file

A checkpoint is written into a temporary folder, synced and renamed, so that a crash at any moment leaves the older
checkpoints intact. It contains no executable code.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, load_file, save_file
from safetensors.numpy import save as to_bytes

from prospect_rl.envs.api import Tree
from prospect_rl.experiments.run import durable

SCHEMA = 1
STATE, MANIFEST = "state.safetensors", "manifest.json"
KEEP = 2
"""Number of newest checkpoints that are kept, in addition to the best one."""
TEMPORARY = ".writing"
EXTENDED = {"bfloat16": np.uint16, "float8_e4m3fn": np.uint8, "float8_e5m2": np.uint8}
"""Types that NumPy lacks: their bits are stored as integers, under a name that includes the type."""


class DamagedError(ValueError):
    """A checkpoint differs from what was written; an older one may still be intact."""


# --- trees as named arrays ---------------------------------------------------------------------------


def flatten(tree: Tree) -> dict[str, np.ndarray]:
    """The leaves of a pytree by path. Raises ValueError for a random key: keys are recomputed, never stored."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise ValueError(f"the run state contains a random key at {name}: keys must not be stored")
        named[name] = np.asarray(leaf, order="C")
    return named


def digest(tree: Tree) -> str:
    """SHA-256 over the names, types, shapes and bytes of all leaves."""
    total = hashlib.sha256()
    for name, array in sorted(flatten(tree).items()):
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _encode(named: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        f"{name}:{x.dtype}" if x.dtype.name in EXTENDED else name: x.view(EXTENDED.get(x.dtype.name, x.dtype))
        for name, x in named.items()
    }


def _decode(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    named = {}
    for name, x in stored.items():
        base, _, kind = name.rpartition(":")
        named[base if kind in EXTENDED else name] = x.view(getattr(ml_dtypes, kind)) if kind in EXTENDED else x
    return named


def packed(tree: Tree) -> bytes:
    """The leaves of a pytree as the contents of a safetensors file."""
    return to_bytes(_encode(flatten(tree)))


def unpacked(data: bytes) -> dict[str, np.ndarray]:
    """The inverse of `packed`: leaves by path. Raises DamagedError for other bytes."""
    try:
        return _decode(load(data))
    except (SafetensorError, KeyError) as error:
        raise DamagedError(f"not a safetensors file: {error}") from None


def rebuild(named: dict[str, np.ndarray], template: Tree) -> Tree:
    """A pytree like `template` (arrays or ShapeDtypeStructs) with these leaves. Raises ValueError on a mismatch."""
    paths, treedef = jax.tree_util.tree_flatten_with_path(template)
    wanted = {jax.tree_util.keystr(path): leaf for path, leaf in paths}
    for name in [*wanted, *named]:
        if name not in named:
            raise ValueError(f"the checkpoint lacks {name}: it was written by another version of the agent")
        if name not in wanted:
            raise ValueError(f"the checkpoint contains {name}, which the run state does not have")
        have, want = named[name], wanted[name]
        if have.shape != want.shape or have.dtype != want.dtype:
            raise ValueError(
                f"the checkpoint's {name} is {have.dtype}{list(have.shape)}, the run needs "
                f"{want.dtype}{list(want.shape)}"
            )
    return jax.tree.unflatten(treedef, [named[name] for name in wanted])


# --- writing -----------------------------------------------------------------------------------------


def save(folder: Path, tree: Tree, manifest: dict[str, Any]) -> Path:
    """Write a checkpoint into `folder` and delete those that are neither among the newest nor the best.

    manifest: at least `iteration`, `config_hash` and `score` (higher is better; None if unknown).
    """
    target = folder / f"{manifest['iteration']:012d}"
    temporary = folder / f"{TEMPORARY}-{target.name}"
    clear(folder)
    temporary.mkdir(parents=True)
    save_file(_encode(flatten(tree)), temporary / STATE)
    durable.sync_file(temporary / STATE)
    files = {STATE: {"bytes": (temporary / STATE).stat().st_size, "sha256": _sha256_of(temporary / STATE)}}
    manifest = {"schema": SCHEMA, **manifest, "files": files}
    manifest["sha256"] = durable.hash_of(manifest)
    durable.write(temporary / MANIFEST, durable.dumps(manifest, indent=1).encode())
    durable.sync_folder(temporary)
    if target.exists():
        shutil.rmtree(target)
    os.rename(temporary, target)
    durable.sync_folder(folder)
    _prune(folder)
    return target


def reassign(folder: Path, old: str, new: str) -> None:
    """Assign the intact checkpoints of the run with hash `old` to the run with hash `new`, which continues it."""
    for path in steps(folder):
        try:
            manifest = read_manifest(path)
        except DamagedError:
            continue  # an error is raised when it is read
        if manifest["config_hash"] == old:
            manifest["config_hash"] = new
            manifest["sha256"] = durable.hash_of(manifest)
            durable.write(path / MANIFEST, durable.dumps(manifest, indent=1).encode())


def clear(folder: Path) -> None:
    """Remove partly written checkpoints left by a crash."""
    for leftover in folder.glob(f"{TEMPORARY}-*"):
        shutil.rmtree(leftover)


def forget(folder: Path, after: int) -> None:
    """Remove the checkpoints of more iterations than `after`."""
    for path in steps(folder):
        if int(path.name) > after:
            shutil.rmtree(path)


def steps(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    return sorted(path for path in folder.glob("*") if path.name.isdigit() and path.is_dir())


def _prune(folder: Path) -> None:
    scores = {path: score for path in steps(folder) if (score := score_of(path)) is not None}
    best = max(scores, key=scores.__getitem__, default=None)
    for path in steps(folder)[:-KEEP]:
        if path != best:
            shutil.rmtree(path)


def score_of(path: Path) -> float | None:
    """The score of a checkpoint; None if it has none or its manifest is damaged (reading it raises an error)."""
    try:
        return json.loads((path / MANIFEST).read_bytes())["score"]
    except (OSError, ValueError, KeyError):
        return None


# --- reading -----------------------------------------------------------------------------------------


def newest(
    folder: Path, template: Tree, config_hash: str, notice: Callable[[str], None], *, most: int | None = None
) -> tuple[Tree, dict[str, Any]] | None:
    """(run state, manifest) of the newest intact checkpoint, of at most `most` iterations; None if there is none.

    A damaged one is skipped, reported through `notice` and deleted once an older intact one has been found. Raises
    ValueError if all are damaged, because a run never restarts from the beginning by itself, or if one does not fit.
    """
    found, damaged = [path for path in steps(folder)[::-1] if most is None or int(path.name) <= most], []
    for path in found:
        try:
            manifest = read_manifest(path, config_hash)
            tree = rebuild(_read_state(path), template)
        except DamagedError as error:
            damaged.append(path)
            notice(f"skipped checkpoint {path}: {error}")
            continue
        for bad in damaged:
            shutil.rmtree(bad)
        return tree, manifest
    if damaged:
        raise ValueError(f"all {len(damaged)} checkpoints in {folder} are damaged; move the folder away to start again")
    return None


def last(folder: Path, config_hash: str) -> dict[str, np.ndarray]:
    """The leaves by path of the newest checkpoint. Raises ValueError if there is none or it is damaged."""
    if not (found := steps(folder)):
        raise ValueError(f"{folder} contains no checkpoint")
    try:
        read_manifest(found[-1], config_hash)
        return _read_state(found[-1])
    except DamagedError as error:
        raise ValueError(f"checkpoint {found[-1]}: {error}") from None


def read_manifest(path: Path, config_hash: str | None = None) -> dict[str, Any]:
    """Read the manifest of a checkpoint and verify the size and digest of its files.

    Raises DamagedError, naming the file, on a mismatch; ValueError for another schema or another run's checkpoint.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        stated = manifest.pop("sha256")
        files = manifest["files"]
        schema = manifest["schema"]
    except FileNotFoundError:
        raise DamagedError(f"{MANIFEST} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedError(f"{MANIFEST} is not readable") from None
    if schema != SCHEMA:
        raise ValueError(f"{path} has schema {schema}; this version reads schema {SCHEMA}")
    if durable.hash_of(manifest) != stated:
        raise DamagedError(f"{MANIFEST} has been altered")
    if config_hash is not None and manifest["config_hash"] != config_hash:
        raise ValueError(f"{path} belongs to run {manifest['config_hash']}, not {config_hash}")
    for name, facts in files.items():
        if name in ("", ".", "..") or "/" in name or "\\" in name:
            raise DamagedError(f"{MANIFEST} names a file outside the checkpoint: {name!r}")
        if not (path / name).is_file():
            raise DamagedError(f"{name} is missing")
        if (size := (path / name).stat().st_size) != facts["bytes"]:
            raise DamagedError(f"{name} has {size} of {facts['bytes']} bytes")
        if _sha256_of(path / name) != facts["sha256"]:
            raise DamagedError(f"{name} has been altered")
    return manifest


def _read_state(path: Path) -> dict[str, np.ndarray]:
    try:
        return _decode(load_file(path / STATE))
    except (SafetensorError, KeyError, OSError) as error:
        raise DamagedError(f"{STATE} is not readable: {error}") from None


def _sha256_of(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
