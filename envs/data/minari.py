"""Import and export of Minari datasets (with the extra `offline`). Only local datasets are used: nothing is downloaded.

    datasets.make("minari/D4RL/pointmaze/umaze-v2", keys=("observation", "desired_goal"))
    export(datasets.make("mine.npz"), "mine/hopper-v0", env="mujoco/hopper")

Exporting and importing again preserves every bit. Minari stores its datasets in $MINARI_DATASETS_PATH.

Shapes: M rows; an episode of T rows has T + 1 observations.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prospect_rl import envs
from prospect_rl.envs.api import Box, Dataset, Dict, Space
from prospect_rl.envs.data.datasets import External, check, check_fits
from prospect_rl.envs.data.files import as_dataset, check_room, extra, narrow

ID = re.compile(r"[\w-]+(/[\w-]+)*-v\d+")


@dataclass(frozen=True, kw_only=True)
class Minari(External):
    """The rows of a local Minari dataset, as float32 and int32.

    A dict observation is flattened into one vector, in the order of the space. If the last row of an episode is neither
    terminated nor truncated, it becomes truncated.
    """

    id: str
    """The id of the dataset in Minari."""
    keys: tuple[str, ...] = ()
    """Keys of a dict observation to use, in this order; by default all, in the order of the space."""

    def __post_init__(self) -> None:
        check_id(self.id)

    @property
    def source(self) -> Path:
        """The dataset's folder."""
        return place(self.id)

    def build(self) -> Dataset:
        """Read the dataset.

        Raises:
            ValueError: In one line, if it is missing or damaged, or its spaces are not supported.
        """
        import gymnasium

        minari = extra("minari")
        if not (self.source / "data").is_dir():
            raise ValueError(
                f"there is no local Minari dataset {self.id}: `minari download {self.id}`, if it is public"
            )
        try:
            check_room(sum(path.stat().st_size for path in self.source.rglob("*")))
            return self._rows(minari.load_dataset(self.id))
        except (OSError, ValueError, KeyError, TypeError, AssertionError, gymnasium.error.Error) as error:
            raise ValueError(f"the Minari dataset {self.id}: {' '.join(str(error).split())}") from None
        except ImportError as error:  # a package that Minari needs for a storage format
            raise ValueError(f'{error.name or "a package"} is missing: pip install "prospect-rl[offline]"') from None

    def _rows(self, found: Any) -> Dataset:
        parts: dict[str, list[np.ndarray]] = {}
        for episode in found.iterate_episodes():
            length = len(episode.rewards)
            obs = _flat(found.observation_space, episode.observations, self.keys)
            if len(obs) != length + 1:
                raise ValueError(f"episode {episode.id} has {length} rows and {len(obs)} observations")
            rows = {
                "obs": obs[:-1], "action": _actions(found.action_space, episode.actions), "reward": episode.rewards,
                "terminated": episode.terminations, "truncated": episode.truncations, "next_obs": obs[1:],
            }  # fmt: skip
            for name, x in rows.items():
                if length:
                    parts.setdefault(name, []).append(narrow(name, np.asarray(x)))
        if not parts:
            raise ValueError("it is empty")
        lengths = np.array([len(x) for x in parts["reward"]])
        return as_dataset({name: np.concatenate(x) for name, x in parts.items()}, np.cumsum(lengths) - lengths)


def export(
    dataset: Dataset,
    id: str,
    env: str,
    *,
    fields: Mapping[str, Any] | None = None,
    author: str | None = None,
    algorithm: str | None = None,
    description: str | None = None,
) -> Path:
    """Write a dataset as a Minari dataset. Reference scores are not measured.

    Args:
        dataset: The dataset; it needs `next_obs`.
        id: The id of the new Minari dataset, e.g. "mine/hopper-v0".
        env: Registered id of the environment, which defines the spaces and is stored with the data.
        fields: Values for fields of the environment.
        author: Author, for readers.
        algorithm: Name of the algorithm, for readers.
        description: Description, for readers.

    Returns:
        The folder of the new dataset.

    Raises:
        ValueError: In one line, if the id is invalid or taken, if the data does not fit the environment, lacks
            `next_obs`, or cannot be represented completely in Minari's format.
    """
    import gymnasium

    from prospect_rl.envs.gymnasium import id_of
    from prospect_rl.envs.gymnasium.spaces import outward

    minari, folder, spec = extra("minari"), vacant(id), envs.make(env, **fields or {}).spec
    check(dataset)
    check_fits(dataset, spec)
    rows = {name: _beside(x, spec.obs) for name, x in dataset.rows.items()}
    episodes = list(_episodes(rows, np.asarray(dataset.firsts)))
    gym = deepcopy(gymnasium.spec(id_of(env)))
    gym.kwargs |= dict(fields or {})
    obs = Box(rows["obs"].shape[1:], dtype=str(rows["obs"].dtype)) if isinstance(spec.obs, Dict) else spec.obs
    try:
        with warnings.catch_warnings():  # Minari warns about missing descriptions
            warnings.simplefilter("ignore", UserWarning)
            minari.create_dataset_from_buffers(
                id, episodes, env=gym, observation_space=outward(obs), action_space=outward(spec.action),
                author=author, algorithm_name=algorithm, description=description, jpeg_encoding=False,
            )  # fmt: skip
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def check_id(id: str) -> None:
    """Raise ValueError if `id` is not a valid id of a Minari dataset."""
    if not ID.fullmatch(id):
        raise ValueError(f"the id of a Minari dataset must look like namespace/name-v0, not {id!r}")


def place(id: str) -> Path:
    """Return the folder of a dataset, which need not exist; raise ValueError if minari is not installed."""
    extra("minari")
    from minari.storage.datasets_root_dir import get_dataset_path

    return get_dataset_path(id).absolute()


def vacant(id: str) -> Path:
    """Return the folder for a new dataset; raise ValueError if the id is invalid or the dataset exists."""
    check_id(id)
    if (folder := place(id)).exists():
        raise ValueError(f"the Minari dataset {id} exists already: `minari delete {id}`, or increase the version")
    return folder


def _episodes(rows: dict[str, np.ndarray], firsts: np.ndarray) -> Iterator[Any]:
    """Yield the objects that Minari writes, one per episode."""
    from minari.data_collector import EpisodeBuffer

    if "next_obs" not in rows:
        raise ValueError("the dataset has no next_obs, so the last observation of each episode is unknown: build it "
                         "with successors=true")  # fmt: skip
    if more := set(rows) - {"obs", "action", "reward", "terminated", "truncated", "next_obs"}:
        raise ValueError(f"Minari cannot store the dataset's {', '.join(sorted(more))}")
    bounds = np.append(firsts, len(rows["reward"]))
    inside = np.ones(len(rows["reward"]), bool)
    inside[bounds[1:] - 1] = False
    following = rows["next_obs"][inside].tobytes() == rows["obs"][1:][inside[:-1]].tobytes()
    if not following or rows["next_obs"].dtype != rows["obs"].dtype:
        raise ValueError("Minari stores each observation once, but the dataset's next_obs is not the next row's obs")
    if not np.all(rows["terminated"][~inside].astype(bool) | rows["truncated"][~inside].astype(bool)):
        raise ValueError("an episode of the dataset ends in a row that is neither terminated nor truncated")
    for number, (begin, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        part = slice(begin, end)
        arrays: dict[str, Any] = {  # arrays are accepted, though the annotation says lists
            "observations": np.concatenate([rows["obs"][part], rows["next_obs"][end - 1 : end]]),
            "actions": rows["action"][part], "rewards": rows["reward"][part],
            "terminations": rows["terminated"][part], "truncations": rows["truncated"][part],
        }  # fmt: skip
        yield EpisodeBuffer(id=number, **arrays)


def _beside(x: Any, space: Space) -> np.ndarray:
    """Return rows [M, ...] unchanged, or the parts of a dict concatenated in the order of the space."""
    if not isinstance(x, dict) or not isinstance(space, Dict):
        return np.asarray(x)
    return np.concatenate([np.asarray(x[name]).reshape(len(x[name]), -1) for name, _ in space.items], axis=1)


# --- spaces ------------------------------------------------------------------------------------------


def _flat(space: Any, obs: Any, keys: tuple[str, ...] = ()) -> np.ndarray:
    """Return observations [T + 1, ...]: an array unchanged, the parts of a dict concatenated in one vector."""
    from gymnasium import spaces
    from minari.dataset.minari_storage import is_image_space

    if isinstance(space, spaces.Dict):
        if strange := set(keys) - set(space.spaces):
            raise ValueError(f"its observations have no {', '.join(sorted(strange))}, but {', '.join(space.spaces)}")
        parts = [_flat(space[key], obs[key]) for key in keys or space.spaces]
        return np.concatenate([x.reshape(len(x), -1) for x in parts], axis=1)
    if keys:
        raise ValueError("its observations are not dicts, so keys cannot be chosen")
    if isinstance(space, spaces.Discrete):
        return np.asarray(obs) - space.start
    if not isinstance(space, spaces.Box) or is_image_space(space):
        what = "images" if isinstance(space, spaces.Box) else type(space).__name__
        raise ValueError(f"its observations are {what}, but only Box, Discrete and Dict of these can be read")
    return np.asarray(obs)


def _actions(space: Any, actions: Any) -> np.ndarray:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return np.asarray(actions) - space.start
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"its actions are {space}, but only Discrete and Box of real numbers can be read")
    return np.asarray(actions)
