"""Conversion of spaces, observations and actions between Prospect and gymnasium, with NumPy only.

In a shape [*batch, ...], the leading axes are those of a batch of environments; () for one.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from prospect_rl.envs.api import Box, Dict, Discrete, Space, Tree

# --- from Prospect to gymnasium ----------------------------------------------------------------------


def outward(space: Space) -> gymnasium.Space:
    """Convert a space to gymnasium; bounds that an integer dtype cannot represent become that dtype's limits."""
    if isinstance(space, Discrete):
        return gymnasium.spaces.Discrete(space.n, start=space.start)
    if isinstance(space, Dict):
        return gymnasium.spaces.Dict({name: outward(part) for name, part in space.items})
    dtype = space.outside or space.dtype
    return gymnasium.spaces.Box(*space.bounds(dtype), space.shape, np.dtype(dtype).type)


def outward_obs(space: Space, obs: Tree) -> Any:
    """Convert an observation [*batch, ...] to gymnasium: new arrays, with choices as int64."""
    if isinstance(space, Dict):
        return {name: outward_obs(part, obs[name]) for name, part in space.items}
    if isinstance(space, Discrete):
        return np.array(obs, np.int64)[()] + space.start
    return np.array(obs, space.outside or space.dtype)


def outward_action(space: Space, action: Any, who: str, live: np.ndarray) -> np.ndarray:
    """Convert an action to Prospect, clipped to its bounds.

    Args:
        space: The action space.
        action: The action [*batch, ...].
        who: Name of the environment, for errors.
        live: Bool [*batch]; where it is False the action is ignored and may be anything.

    Returns:
        The action, int32 [*batch] or float [*batch, ...].

    Raises:
        ValueError: In one line, for a wrong shape, an integer out of range, or numbers that are not finite.
    """
    if isinstance(space, Dict):
        raise ValueError(f"{who}: an action must be a Box or Discrete, not a Dict")
    given, shape = np.asarray(action), live.shape + space.shape
    if given.shape != shape:
        raise ValueError(f"{who}: an action must have shape {shape}, not {given.shape}")
    if not np.issubdtype(given.dtype, np.integer if isinstance(space, Discrete) else np.number):
        wanted = "an integer" if isinstance(space, Discrete) else "numbers"
        raise ValueError(f"{who}: an action must be {wanted}, not {given.dtype}")
    given = np.where(live.reshape(live.shape + (1,) * len(space.shape)), given, getattr(space, "start", 0))
    if isinstance(space, Discrete):
        least, most = space.start, space.start + space.n - 1
        if np.any((given < least) | (given > most)):
            raise ValueError(f"{who}: an action must lie between {least} and {most}, not {given.tolist()}")
        return (given - least).astype(np.int32)
    if not np.all(np.isfinite(given)):
        raise ValueError(f"{who}: an action must be finite, not {given.tolist()}")
    return space.clipped(given)


# --- from gymnasium to Prospect ----------------------------------------------------------------------


def inward(space: gymnasium.Space, who: str, make: str = "env") -> Space:
    """Convert a gymnasium space to Prospect.

    Real numbers become float32. Integers keep their dtype, except that 64-bit integers become int32 if their bounds
    allow it, else float32. If an array has several axes and its components' bounds differ, the widest bounds are used.

    Args:
        space: The gymnasium space.
        who: Name of the environment, for errors.
        make: Python code that makes the environment, for the advice in the error.

    Returns:
        The space.

    Raises:
        ValueError: If the space has no counterpart (Tuple, Text, Graph, ...); the message suggests a wrapper.
    """
    if strange := unknown(space):
        raise ValueError(f"{who} has a space that Prospect does not support ({strange}): {advice(space, make)}")
    return counterpart(space)


def counterpart(space: gymnasium.Space, exact: bool = False) -> Space:
    """Convert a supported space as `inward` does; `exact` keeps the bounds of each component."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return Discrete(int(space.n), int(space.start))
    if isinstance(space, gymnasium.spaces.Dict):
        return Dict(tuple((name, counterpart(part)) for name, part in space.items()))
    assert isinstance(space, gymnasium.spaces.Box)
    bounds = _bound(space.low, np.min, exact), _bound(space.high, np.max, exact)
    dtype = within(space)
    return Box(space.shape, *bounds, dtype, "" if dtype == space.dtype else str(space.dtype))


def within(space: gymnasium.spaces.Box) -> str:
    """Return the dtype of a Box within programs."""
    if not np.issubdtype(space.dtype, np.integer):
        return "float32"
    if space.dtype.itemsize < 8:
        return str(space.dtype)
    narrow = np.iinfo(np.int32)
    return "int32" if np.all(space.low >= narrow.min) and np.all(space.high <= narrow.max) else "float32"


def _bound(bound: np.ndarray, widest: Any, exact: bool) -> Any:
    """Return a bound as one number, or one for each component; bounds that exceed float32 become infinite."""
    if np.issubdtype(bound.dtype, np.floating):
        bound = np.where(np.abs(bound) >= np.finfo(np.float32).max, np.copysign(np.inf, bound), bound)
    if (exact or bound.ndim == 1) and np.any(bound != bound.flat[0]):
        return _tuples(bound.tolist())
    return widest(bound).item()


def _tuples(x: Any) -> Any:
    return tuple(_tuples(part) for part in x) if isinstance(x, list) else x


def unknown(space: gymnasium.Space) -> str:
    """Describe the parts of a space that have no counterpart; empty if all have one."""
    if isinstance(space, gymnasium.spaces.Dict):
        return ", ".join(f"{name}: {found}" for name, part in space.items() if (found := unknown(part)))
    known = gymnasium.spaces.Discrete, gymnasium.spaces.Box
    return "" if isinstance(space, known) else str(space)


def advice(space: gymnasium.Space, make: str) -> str:
    """Suggest a wrapper, as Python code, for a space without a counterpart."""
    wrapped = "envs.from_gymnasium(lambda: gymnasium.wrappers.{}, ...)".format
    try:
        flat = isinstance(gymnasium.spaces.flatten_space(space), gymnasium.spaces.Box)
    except NotImplementedError:  # a custom space
        flat = False
    if flat:
        return "flatten it, " + wrapped(f"FlattenObservation({make})")
    if isinstance(space, gymnasium.spaces.Dict) and (kept := [name for name, x in space.items() if not unknown(x)]):
        return "leave that out, " + wrapped(f"FilterObservation({make}, {kept})")
    return "turn it into numbers, " + wrapped(f"TransformObservation({make}, FUNCTION, BOX)")


def inward_action_space(space: gymnasium.Space, who: str) -> Space:
    """Convert an action space; raise ValueError unless it is Discrete or a Box of real numbers."""
    real = isinstance(space, gymnasium.spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if real or isinstance(space, gymnasium.spaces.Discrete):
        return counterpart(space, exact=True)
    raise ValueError(f"{who}: actions must be Discrete or a Box of real numbers, not {space}")


def store(space: gymnasium.Space, buffer: Tree, index: int, obs: Any, who: str) -> None:
    """Write an observation into row `index` of `buffer` [B, ...].

    Raises:
        ValueError: If the observation has a wrong shape, or is not in the declared space.
    """
    if isinstance(space, gymnasium.spaces.Dict):
        for name, part in space.items():
            store(part, buffer[name], index, obs[name], who)
        return
    given = np.asarray(obs)
    if given.shape != buffer.shape[1:]:
        raise ValueError(f"{who} returned an observation of shape {given.shape}, but declares {buffer.shape[1:]}")
    if isinstance(space, gymnasium.spaces.Discrete):
        given = given - space.start
    buffer[index] = given
    if np.issubdtype(buffer.dtype, np.integer) and np.any(buffer[index] != given):
        raise ValueError(f"{who} returned {np.asarray(obs).ravel()[:4].tolist()}, which is not in its own {space}")
    if isinstance(space, gymnasium.spaces.Discrete) and not 0 <= given < space.n:
        raise ValueError(f"{who} returned {obs}, which is not in its own {space}")


def empty(space: Space, size: int) -> Tree:
    """Return a buffer of zeros for `size` observations, with leading axis [size]."""
    if isinstance(space, Dict):
        return {name: empty(part, size) for name, part in space.items}
    return np.zeros((size, *space.shape), np.int32 if isinstance(space, Discrete) else space.dtype)


def inward_action(space: gymnasium.Space, action: np.ndarray, who: str) -> Any:
    """Convert one action to gymnasium: in the space's dtype, clipped to its bounds.

    Raises:
        ValueError: If the action is not finite.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return action + space.start
    assert isinstance(space, gymnasium.spaces.Box)
    if not np.all(np.isfinite(action)):
        raise ValueError(f"{who}: an action must be finite, not {action.tolist()}")
    return np.asarray(np.clip(action.astype(space.dtype), space.low, space.high))
