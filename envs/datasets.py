"""Offline data that anyone can make again: a recipe, its seed, and the hash of what came out.

    dataset = datasets.make("memory/tmaze/oracle", episodes=2000, seed=1)

A recipe is a frozen dataclass that builds a `Dataset` from its fields alone; a line in DATASETS gives it a name. What
was built lies in $PROSPECT_CACHE/datasets (default ~/.cache/prospect/datasets), beside its card: a JSON file that says
what it was made from, by which versions, what is in it, and the SHA-256 of its arrays.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from envs import cache
from envs.api import Box, Dataset, Discrete, Spec
from envs.memory.table import TASKS as POPGYM
from envs.names import unknown

ORACLE = "envs.memory.oracles:Demonstrations"
TABLETOP = (*(f"memory/remember_color_{k}" for k in (3, 5, 9)), "memory/take_it_back")
DATASETS: dict[str, tuple[str, dict[str, Any]]] = {
    "memory/tmaze/oracle": (ORACLE, {"env": "memory/tmaze", "env_fields": (("length", 30), ("shortest", 1))}),
    **{f"{env}/oracle": (ORACLE, {"env": env}) for env in TABLETOP},
    **{f"popgym/{name}/oracle": (ORACLE, {"env": f"popgym/{name}"}) for name in POPGYM},
}
"""Name -> ("module:recipe class", the fields that make it this one)."""
FORMAT = 1
"""Counts up where the same recipe comes to build something else, or its file to look otherwise."""
FIRSTS = "firsts"


class Recipe(Protocol):
    """A frozen dataclass whose fields decide every bit of what it builds."""

    def build(self) -> Dataset:
        """Make the data; NumPy or JAX arrays."""
        ...


def recipe(name: str, **fields: Any) -> Recipe:
    """The recipe registered as `name`, with other values for some of its fields.

    Raises ValueError with one line (and the nearest name) for an unknown name, field or value.
    """
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    place, own = DATASETS[name]
    module, cls = place.split(":")
    try:
        return getattr(import_module(module), cls)(**own | fields)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def make(name: str, **fields: Any) -> Dataset:
    """The dataset of a recipe: from disk, or built and kept. A damaged file is made anew, with a warning."""
    made, _ = make_with_card(name, **fields)
    return made


def make_with_card(name: str, **fields: Any) -> tuple[Dataset, dict[str, Any]]:
    """(dataset, its card)."""
    made = recipe(name, **fields)
    path, card_path = paths(name, made)
    if path.exists() and card_path.exists():
        try:
            return _read(path, card_path)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            warnings.warn(f"{path} is damaged and is made anew: {error}", stacklevel=2)
    begun = time.monotonic()
    dataset = made.build()
    check(dataset)
    card = describe(name, made, dataset) | {"seconds": round(time.monotonic() - begun, 1)}
    cache.write(path, lambda file: file.write(safetensors.save(_arrays(dataset))))
    cache.write(card_path, lambda file: file.write(json.dumps(card, indent=1).encode()))
    return dataset, card


def paths(name: str, made: Recipe) -> tuple[Path, Path]:
    """(arrays, card) of a recipe: the file's name holds a hash of its fields."""
    identity = json.dumps([FORMAT, type(made).__qualname__, _fields(made)], sort_keys=True)
    stem = f"{name.replace('/', '-')}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    folder = cache.folder("datasets")
    return folder / f"{stem}.safetensors", folder / f"{stem}.json"


def describe(name: str, made: Recipe, dataset: Dataset) -> dict[str, Any]:
    """The card: what the data was made from, what is in it, and its hash."""
    rows = {key: np.asarray(x) for key, x in dataset.rows.items()}
    firsts = np.asarray(dataset.firsts)
    returns = np.add.reduceat(rows["reward"].astype(np.float64), firsts)
    lengths = np.diff(np.append(firsts, len(rows["reward"])))
    return {
        "name": name, "recipe": type(made).__qualname__, "fields": _fields(made),
        "versions": {p: importlib.metadata.version(p) for p in ("jax", "numpy", "mujoco")},
        "rows": len(rows["reward"]), "episodes": len(firsts),
        "terminated": int(rows["terminated"].sum()), "truncated": int(rows["truncated"].sum()),
        "length": {"least": int(lengths.min()), "mean": float(lengths.mean()), "most": int(lengths.max())},
        "return": {f"{q} %": float(np.quantile(returns, q / 100)) for q in (0, 25, 50, 75, 100)},
        "successes": int(np.sum(returns > 0)),
        "arrays": {key: f"{x.dtype}{list(x.shape)}" for key, x in sorted(rows.items())},
        "sha256": digest(dataset),
    }  # fmt: skip


def check(dataset: Dataset) -> None:
    """Raise ValueError, in one line, for data that no agent can learn from."""
    rows, firsts = {key: np.asarray(x) for key, x in dataset.rows.items()}, np.asarray(dataset.firsts)
    if missing := {"obs", "action", "reward", "terminated", "truncated"} - set(rows):
        raise ValueError(f"the dataset lacks {', '.join(sorted(missing))}")
    if len({len(x) for x in rows.values()}) > 1:
        raise ValueError(f"the dataset's arrays differ in length: { {key: len(x) for key, x in rows.items()} }")
    count = len(rows["reward"])
    if not count or not len(firsts):
        raise ValueError("the dataset is empty")
    if firsts[0] != 0 or np.any(np.diff(firsts) <= 0) or firsts[-1] >= count:
        raise ValueError("the first rows of the dataset's episodes must begin at 0 and ascend")
    for key, x in rows.items():
        if np.issubdtype(x.dtype, np.floating) and not np.all(np.isfinite(x)):
            row = int(np.argmax(~np.isfinite(x.reshape(count, -1)).all(axis=1)))
            raise ValueError(f"the dataset's {key} is not finite in row {row}")
    if both := int(np.sum(rows["terminated"].astype(bool) & rows["truncated"].astype(bool))):
        raise ValueError(f"the dataset sets both terminated and truncated in {both} rows: time limits are no ends")


def check_fits(dataset: Dataset, spec: Spec) -> None:
    """Raise ValueError, in one line, for data of other spaces than an environment's."""
    for key, space in (("obs", spec.obs), ("action", spec.action)):
        if isinstance(space, Box | Discrete) and dataset.rows[key].shape[1:] != space.shape:
            have, need = list(dataset.rows[key].shape[1:]), list(space.shape)
            raise ValueError(f"the dataset's {key} has the shape {have}, that of {spec.id} {need}")


def digest(dataset: Dataset) -> str:
    """SHA-256 over the names, types, shapes and bytes of a dataset's arrays."""
    total = hashlib.sha256()
    for key, x in sorted(_arrays(dataset).items()):
        total.update(f"{key} {x.dtype} {x.shape}".encode())
        total.update(x.tobytes())
    return total.hexdigest()


def _arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    arrays = {f"rows/{key}": np.ascontiguousarray(x) for key, x in dataset.rows.items()}
    return arrays | {FIRSTS: np.ascontiguousarray(dataset.firsts)}


def _fields(made: Recipe) -> dict[str, Any]:
    assert dataclasses.is_dataclass(made) and not isinstance(made, type)
    return json.loads(json.dumps(dataclasses.asdict(made)))


def _read(path: Path, card_path: Path) -> tuple[Dataset, dict[str, Any]]:
    card, arrays = json.loads(card_path.read_text()), safetensors.load(path.read_bytes())
    rows = {key.removeprefix("rows/"): jnp.asarray(x) for key, x in arrays.items() if key != FIRSTS}
    dataset = Dataset(rows=rows, firsts=jnp.asarray(arrays[FIRSTS]))
    if digest(dataset) != card["sha256"]:
        raise ValueError("its arrays are not those of its card")
    return dataset, card
