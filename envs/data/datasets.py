"""Reproducible offline data: a recipe with a seed, and the hash of the result.

    dataset = datasets.make("memory/tmaze/oracle", episodes=2000, seed=1)

A recipe is a frozen dataclass that builds a `Dataset` from its fields only; a line in recipes.py gives it a name. The
result is cached in $PROSPECT_CACHE/datasets (default ~/.cache/prospect/datasets) together with its card: a JSON file
with the recipe and its fields, package versions, statistics, and the SHA-256 of the arrays.

Refer to your own data by location instead: `minari/<id>` (see minari.py) or the path of a file (see files.py). Such
data may change, so it is read again each time, and a job refers to it by its hash too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import time
import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from prospect_rl.envs import cache
from prospect_rl.envs.api import Box, Dataset, Dict, Discrete, Spec, Tree
from prospect_rl.envs.data.recipes import DATASETS
from prospect_rl.envs.names import unknown
from prospect_rl.envs.terminations import never

MINARI = "minari/"
"""Prefix of names that refer to local Minari datasets."""
FILES = (".npz", ".safetensors", ".hdf5", ".h5")
"""Suffixes (in any case) of names that are paths of files."""
FORMAT = 1
"""Version of recipes and files: increase it when a recipe's result or the file format changes."""
FIRSTS = "firsts"
"""Name of the array of first rows in a file."""


class Recipe(Protocol):
    """A frozen dataclass whose fields determine every bit of the data it builds."""

    def build(self) -> Dataset:
        """Build the data, with NumPy or JAX arrays."""
        ...


@dataclass(frozen=True, kw_only=True)
class External:
    """A recipe that reads external data, which may change."""

    sha256: str = ""
    """Expected SHA-256 of the arrays, as in their card; if given, any other data is an error."""

    @property
    def source(self) -> Path:
        """The location of the data."""
        raise NotImplementedError

    def build(self) -> Dataset:
        """Read the data, as NumPy arrays."""
        raise NotImplementedError


def is_external(name: str) -> bool:
    """Return whether a name refers to external data, whose content does not follow from the name and the fields."""
    return name.startswith(MINARI) or name.lower().endswith(FILES)


def recipe(name: str, **fields: Any) -> Recipe:
    """Return a recipe.

    Args:
        name: A registered name, `minari/<id>`, or the path of a data file.
        **fields: Values for some of the recipe's fields.

    Returns:
        The recipe.

    Raises:
        ValueError: In one line, for an unknown name (the message gives the nearest one), field or value.
    """
    if name.startswith(MINARI):
        place, own = "prospect_rl.envs.data.minari:Minari", {"id": name.removeprefix(MINARI)}
    elif is_external(name):
        place, own = "prospect_rl.envs.data.files:File", {"path": name}
    elif name in DATASETS:
        place, own = DATASETS[name]
    elif Path(name).suffix or Path(name).is_file():
        raise ValueError(f"{name} cannot be read: data files end in {', '.join(FILES)}")
    else:
        raise unknown("dataset", name, DATASETS)
    module, cls = place.split(":")
    try:
        return getattr(import_module(module), cls)(**own | fields)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def make(name: str, **fields: Any) -> Dataset:
    """Make a dataset, or load it from the cache.

    A damaged file in the cache is rebuilt, with a warning.

    Args:
        name: A registered name, `minari/<id>`, or the path of a data file.
        **fields: Values for some of the recipe's fields.

    Returns:
        The dataset.

    Raises:
        ValueError: In one line, for an unknown name, field or value, or for data that agents cannot learn from.
    """
    made, _ = make_with_card(name, **fields)
    return made


def make_with_card(name: str, **fields: Any) -> tuple[Dataset, dict[str, Any]]:
    """Do as `make`, but return (dataset, card)."""
    made = recipe(name, **fields)
    if isinstance(made, External):
        return _read_external(name, made)
    path, card_path = paths(name, made)
    try:
        if path.exists() and card_path.exists():
            return _read(path, card_path)
    except PermissionError as error:
        raise cache.refused(error) from None
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        warnings.warn(f"{path} is damaged and will be rebuilt: {error}", stacklevel=2)
    begun = time.monotonic()
    dataset = made.build()
    check(dataset)
    card = describe(name, made, dataset) | {"seconds": round(time.monotonic() - begun, 1)}
    dataset = dataclasses.replace(dataset, facts={})  # the facts belong to the card
    cache.write(path, lambda file: file.write(safetensors.save(_arrays(dataset))))
    cache.write(card_path, lambda file: file.write(json.dumps(card, indent=1).encode()))
    return dataset, card


def paths(name: str, made: Recipe) -> tuple[Path, Path]:
    """Return the paths (arrays, card) of a recipe; the file names contain a hash of its fields."""
    identity = json.dumps([FORMAT, type(made).__qualname__, _fields(made)], sort_keys=True)
    stem = f"{name.replace('/', '-')}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    folder = cache.folder("datasets")
    return folder / f"{stem}.safetensors", folder / f"{stem}.json"


def describe(name: str, made: Recipe, dataset: Dataset) -> dict[str, Any]:
    """Return the card: what the data was made from, its statistics and its hash."""
    rows, firsts = leaves(dataset.rows), np.asarray(dataset.firsts)
    returns = np.add.reduceat(rows["reward"].astype(np.float64), firsts)
    lengths = np.diff(np.append(firsts, len(rows["reward"])))
    counts, ended = count(dataset), int(rows["terminated"][np.append(firsts[1:], len(rows["reward"])) - 1].sum())
    return {
        "name": name, "recipe": type(made).__qualname__, "fields": _fields(made),
        "versions": {p: importlib.metadata.version(p) for p in ("jax", "numpy", "mujoco")},
        **{name: counts[name] for name in ("rows", "episodes")},
        "terminated": int(rows["terminated"].sum()), "truncated": int(rows["truncated"].sum()),
        "terminated and truncated": int((rows["terminated"].astype(bool) & rows["truncated"].astype(bool)).sum()),
        "rows without a successor": 0 if "next_obs" in dataset.rows else counts["episodes"] - ended,
        "length": {"least": int(lengths.min()), "mean": float(lengths.mean()), "most": int(lengths.max())},
        "return": {f"{q} %": float(np.quantile(returns, q / 100)) for q in (0, 25, 50, 75, 100)},
        "success": f"a reward above {rows['reward'].min():g}, the least of the data",
        "successes": counts["paid"], "successes at the last row": counts["paid_last"],
        "constant features": _constant(rows),
        "arrays": {key: f"{x.dtype}{list(x.shape)}" for key, x in sorted(rows.items())},
        "facts": {key: np.asarray(x).tolist() for key, x in dataset.facts.items()},
        "sha256": digest(dataset),
    }  # fmt: skip


def count(dataset: Dataset) -> dict[str, int]:
    """Count rows, episodes, episodes with a rewarded row (`paid`) and those whose last row is rewarded (`paid_last`).

    A row is rewarded if its reward is above the smallest one in the data, so that scaling or shifting all rewards
    changes nothing.
    """
    reward, firsts = np.asarray(dataset.rows["reward"]), np.asarray(dataset.firsts)
    rewarded = reward > reward.min()
    last = rewarded[np.append(firsts[1:], len(reward)) - 1]
    paid = np.logical_or.reduceat(rewarded, firsts)
    return {"rows": len(reward), "episodes": len(firsts), "paid": int(paid.sum()), "paid_last": int(last.sum())}


def check(dataset: Dataset) -> None:
    """Check that agents can learn from a dataset.

    Raises:
        ValueError: In one line, if an array is missing or has a wrong shape or dtype, if there are no rows, if `firsts`
            does not ascend from 0, or if a number is not finite.
    """
    rows, firsts = leaves(dataset.rows), np.asarray(dataset.firsts)
    check_form(rows)
    count = len(rows["reward"])
    if not count or not len(firsts):
        raise ValueError("the dataset is empty")
    if firsts[0] != 0 or np.any(np.diff(firsts) <= 0) or firsts[-1] >= count:
        raise ValueError("the dataset's firsts must start at 0 and ascend")
    for key, x in rows.items():
        if np.issubdtype(x.dtype, np.floating) and not np.all(np.isfinite(x)):
            row = int(np.argmax(~np.isfinite(x.reshape(count, -1)).all(axis=1)))
            raise ValueError(f"the dataset's {key} is not finite in row {row}")


def check_form(rows: dict[str, np.ndarray]) -> None:
    """Raise ValueError, in one line, if arrays (see `leaves`) are missing or do not match each other."""
    seen = {name for name in rows if name.partition("/")[0] == "obs"} or {"obs"}
    following = {f"next_{name}" for name in seen if any(key.partition("/")[0] == "next_obs" for key in rows)}
    if missing := {*seen, *following, "action", "reward", "terminated", "truncated"} - set(rows):
        raise ValueError(f"the dataset lacks {', '.join(sorted(missing))}")
    for key, x in rows.items():
        if x.dtype.kind not in "biuf":
            raise ValueError(f"the dataset's {key} has the dtype {x.dtype}, which is not numeric")
        if not x.ndim:
            raise ValueError(f"the dataset's {key} is a single number, not one per row")
    if len({len(x) for x in rows.values()}) > 1:
        raise ValueError(f"the dataset's arrays differ in length: { {key: len(x) for key, x in rows.items()} }")
    wanted = {key: rows["reward"].shape[:1] for key in ("reward", "terminated", "truncated")}
    wanted |= {name: rows[name.removeprefix("next_")].shape for name in following}
    for key, shape in wanted.items():
        if rows[key].shape != shape:
            raise ValueError(f"the dataset's {key} has the shape {list(rows[key].shape)}, not {list(shape)}")
    for key in ("terminated", "truncated"):
        if rows[key].dtype != bool and not np.all((rows[key] == 0) | (rows[key] == 1)):
            raise ValueError(f"the dataset's {key} contains other numbers than 0 and 1")


def check_fits(dataset: Dataset, spec: Spec) -> None:
    """Check that a dataset fits an environment.

    Warns if the ends of the data's episodes contradict the environment's termination function.

    Args:
        dataset: The dataset.
        spec: The spec of the environment.

    Raises:
        ValueError: In one line, if observations or actions do not fit the environment's spaces.
    """
    _check_spaces(leaves(dataset.rows), spec)
    _check_ends(dataset, spec)


def _check_spaces(rows: dict[str, np.ndarray], spec: Spec) -> None:
    spaces: dict[str, Any] = {"obs": spec.obs, "action": spec.action}
    if isinstance(spec.obs, Dict):  # the parts may also be concatenated in one vector
        spaces = {"action": spec.action} | ({} if "obs" in rows else {f"obs/{key}": x for key, x in spec.obs.items})
    for key, space in spaces.items():
        if key not in rows:
            raise ValueError(f"the dataset has no {key}, which {spec.id} has")
        if isinstance(space, Box | Discrete) and rows[key].shape[1:] != space.shape:
            have, need = list(rows[key].shape[1:]), list(space.shape)
            raise ValueError(f"the dataset's {key} has the shape {have}, but {spec.id} has {need}")
    action, space = rows["action"], spec.action
    if isinstance(space, Discrete):
        if not np.issubdtype(action.dtype, np.integer):
            raise ValueError(f"the dataset's action is {action.dtype}, but {spec.id} has {space.n} discrete actions")
        low, high = 0, space.n - 1
    elif isinstance(space, Box):  # compared in float32, as agents do: .4 in float32 exceeds .4
        action = action.astype(np.float32, copy=False)
        low, high = (np.asarray(x, np.float32) for x in (space.low, space.high))
    else:
        return
    beyond = ((action < low) | (action > high)).reshape(len(action), -1)
    if beyond.any():
        row = int(np.argmax(beyond.any(axis=1)))
        raise ValueError(
            f"the dataset's action {action[row].tolist()} in row {row} exceeds the bounds of {spec.id}, "
            f"{np.asarray(low).tolist()} to {np.asarray(high).tolist()}"
        )


def _check_ends(dataset: Dataset, spec: Spec) -> None:
    """Warn if the flags of most rows that end an episode contradict the environment's termination function."""
    rows, rule = dataset.rows, spec.termination
    if rule is None or ("next_obs" not in rows and rule is not never):
        return
    terminated = np.asarray(rows["terminated"], bool)
    ends = np.flatnonzero(terminated | np.asarray(rows["truncated"], bool))
    parts = (rows["obs"], rows["action"], rows.get("next_obs", rows["obs"]))
    seen = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[ends]), parts)
    expected, said = np.asarray(jax.vmap(rule)(*seen), bool), terminated[ends]
    for flag, mine, what in ((True, said, "does not terminate"), (False, ~said, "terminates")):
        wrong = int((expected[mine] != flag).sum())
        if 2 * wrong > mine.sum():
            warnings.warn(
                f"{spec.id} {what} in {wrong} of {int(mine.sum())} rows that the dataset marks as "
                f"{'terminated' if flag else 'truncated'}: are the two flags (terminals and timeouts) swapped?",
                stacklevel=3,
            )


def leaves(rows: dict[str, Tree]) -> dict[str, np.ndarray]:
    """Return the arrays of rows by name; the parts of a dict observation are called obs/<part>."""
    return {name: np.asarray(x) for name, x in flatten_dict(rows, sep="/").items()}


def digest(dataset: Dataset) -> str:
    """Return the SHA-256 of the names, dtypes, shapes and bytes of a dataset's arrays."""
    total = hashlib.sha256()
    for key, x in sorted(_arrays(dataset).items()):
        total.update(f"{key} {x.dtype} {x.shape}".encode())
        total.update(x.tobytes())
    return total.hexdigest()


def _arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    arrays = {f"rows/{key}": np.ascontiguousarray(x) for key, x in leaves(dataset.rows).items()}
    return arrays | {FIRSTS: np.ascontiguousarray(dataset.firsts)}


def _fields(made: Recipe) -> dict[str, Any]:
    assert dataclasses.is_dataclass(made) and not isinstance(made, type)
    return json.loads(json.dumps(dataclasses.asdict(made)))


def _constant(rows: dict[str, np.ndarray]) -> list[int]:
    """Return the indices of a flattened observation's numbers that are the same in all rows."""
    parts = [x.reshape(len(x), -1) for key, x in rows.items() if key.partition("/")[0] == "obs"]
    return np.flatnonzero(np.concatenate([(part == part[0]).all(axis=0) for part in parts])).tolist()


def _read_external(name: str, made: External) -> tuple[Dataset, dict[str, Any]]:
    begun = time.monotonic()
    dataset = made.build()
    check(dataset)
    card = describe(name, made, dataset) | {"seconds": round(time.monotonic() - begun, 1)}
    if made.sha256 not in ("", card["sha256"]):
        raise ValueError(f"{name} does not have the requested sha256: its SHA-256 is {card['sha256']}")
    return dataset, card


def _read(path: Path, card_path: Path) -> tuple[Dataset, dict[str, Any]]:
    card, arrays = json.loads(card_path.read_bytes()), safetensors.load(path.read_bytes())
    rows = unflatten_dict({key: jnp.asarray(x) for key, x in arrays.items()}, sep="/")["rows"]
    dataset = Dataset(rows=rows, firsts=jnp.asarray(arrays[FIRSTS]))
    if digest(dataset) != card["sha256"]:
        raise ValueError("its arrays do not match its card")
    return dataset, card
