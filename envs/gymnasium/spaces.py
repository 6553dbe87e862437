"""Spaces, observations and actions, translated between Prospect and gymnasium. NumPy only.

A shape [*batch, ...] leads with the axes of a batch of environments, () for one.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from envs.api import Box, Dict, Discrete, Space, Tree

# --- from Prospect to gymnasium ----------------------------------------------------------------------


def outward(space: Space) -> gymnasium.Space:
    """The gymnasium space with the same members; bounds that an integer type cannot hold become its own."""
    if isinstance(space, Discrete):
        return gymnasium.spaces.Discrete(space.n)
    if isinstance(space, Dict):
        return gymnasium.spaces.Dict({name: outward(part) for name, part in space.items})
    dtype = np.dtype(space.dtype)
    low, high = (np.broadcast_to(bound, space.shape).astype(np.float64) for bound in (space.low, space.high))
    if np.issubdtype(dtype, np.integer):
        low, high = (np.clip(bound, np.iinfo(dtype).min, np.iinfo(dtype).max) for bound in (low, high))
    return gymnasium.spaces.Box(low.astype(dtype), high.astype(dtype), space.shape, dtype.type)


def outward_obs(space: Space, obs: Tree) -> Any:
    """An observation [*batch, ...] as gymnasium has it: the caller's own arrays, integers as int64."""
    if isinstance(space, Dict):
        return {name: outward_obs(part, obs[name]) for name, part in space.items}
    if isinstance(space, Discrete):
        return np.array(obs, np.int64)[()]
    return np.array(obs, space.dtype)


def outward_action(space: Space, action: Any, who: str, live: np.ndarray) -> np.ndarray:
    """An action [*batch, ...] as the environment takes it: within its bounds, to which it is clipped.

    live: bool [*batch]; where it is False nobody looks at the action, and anything may stand there.
    Raises ValueError, in one line, for a wrong shape, an integer out of range, and what is not finite.
    """
    if isinstance(space, Dict):
        raise ValueError(f"{who}: an action must be a Box or Discrete, not a Dict")
    given, shape = np.asarray(action), live.shape + space.shape
    if given.shape != shape:
        raise ValueError(f"{who}: an action must have shape {shape}, not {given.shape}")
    if not np.issubdtype(given.dtype, np.integer if isinstance(space, Discrete) else np.number):
        wanted = "an integer" if isinstance(space, Discrete) else "numbers"
        raise ValueError(f"{who}: an action must be {wanted}, not {given.dtype}")
    given = np.where(live.reshape(live.shape + (1,) * len(space.shape)), given, 0)
    if isinstance(space, Discrete):
        if np.any((given < 0) | (given >= space.n)):
            raise ValueError(f"{who}: an action must lie between 0 and {space.n - 1}, not {given.tolist()}")
        return given.astype(np.int32)
    if not np.all(np.isfinite(given)):
        raise ValueError(f"{who}: an action must be finite, not {given.tolist()}")
    return np.clip(given, space.low, space.high).astype(space.dtype)


# --- from gymnasium to Prospect ----------------------------------------------------------------------


def inward(space: gymnasium.Space, who: str) -> Space:
    """The space of Prospect for a gymnasium one; every Box becomes one of float32.

    Bounds that differ between the components of an array with several axes become the widest ones. Raises
    ValueError for spaces without a counterpart (Tuple, Text, Graph, ...).
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, gymnasium.spaces.Dict):
        return Dict(tuple((name, inward(part, who)) for name, part in space.items()))
    if isinstance(space, gymnasium.spaces.Box):
        return Box(space.shape, _bound(space.low, np.min), _bound(space.high, np.max))
    raise ValueError(
        f"{who} has a space that Prospect does not know, {space}: wrap the environment, for instance in "
        "gymnasium.wrappers.FlattenObservation"
    )


def _bound(bound: np.ndarray, widest: Any) -> float | tuple[float, ...]:
    bound = bound.astype(np.float32)
    if bound.ndim == 1 and np.any(bound != bound[0]):
        return tuple(bound.tolist())
    return float(widest(bound))


def inward_action_space(space: gymnasium.Space, who: str) -> Space:
    """The space of actions. Raises ValueError unless it is Discrete, or a Box of real numbers."""
    real = isinstance(space, gymnasium.spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if real or isinstance(space, gymnasium.spaces.Discrete):
        return inward(space, who)
    raise ValueError(f"{who}: actions must be Discrete or a Box of real numbers, not {space}")


def store(space: gymnasium.Space, buffer: Tree, index: int, obs: Any, who: str) -> None:
    """Write an observation into row `index` of `buffer` [B, ...]. Raises ValueError for a wrong shape."""
    if isinstance(space, gymnasium.spaces.Dict):
        for name, part in space.items():
            store(part, buffer[name], index, obs[name], who)
        return
    if np.shape(obs) != buffer.shape[1:]:
        raise ValueError(f"{who} observes the shape {np.shape(obs)}, but declares {buffer.shape[1:]}")
    buffer[index] = obs - space.start if isinstance(space, gymnasium.spaces.Discrete) else obs


def empty(space: Space, size: int) -> Tree:
    """A buffer of zeros for `size` observations, leading [size]."""
    if isinstance(space, Dict):
        return {name: empty(part, size) for name, part in space.items}
    return np.zeros((size, *space.shape), np.int32 if isinstance(space, Discrete) else space.dtype)


def inward_action(space: gymnasium.Space, action: np.ndarray) -> Any:
    """One action as the gymnasium environment takes it."""
    return action + space.start if isinstance(space, gymnasium.spaces.Discrete) else action.astype(space.dtype)
