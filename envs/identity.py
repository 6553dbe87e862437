"""Describe in JSON what determines the behaviour of an environment; the description is part of a run's hash.

Values that are the same in every process are kept as they are; arrays and code are replaced by hashes. Any other object
(a simulator, a window) is described by its class and by its attributes.
"""

from __future__ import annotations

import hashlib
import math
import types
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

Json = Any
MAX_DEPTH = 5
"""How many levels of nesting are described: a list or mapping counts as one level, an object or a function as two."""
MAX_ENTRIES = 100
"""A list with more entries is replaced by its hash."""
MOVED = {"envs.small.": "envs.", "envs.data.": "envs."}
"""Prefix of a module's current name -> prefix of its name when it first appeared in a run's hash."""


def facts(value: Any, depth: int = MAX_DEPTH) -> Json:
    """Describe a value as JSON.

    Args:
        value: Any Python object.
        depth: Levels of nesting to describe; below them, only the class is given.

    Returns:
        A value that `json.dumps` accepts.
    """
    if isinstance(value, np.bool | np.integer | np.floating):
        value = value.item()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, np.generic | complex | bytes | float):
        return repr(value)
    if isinstance(value, type):
        return name_of(value)
    if hasattr(value, "__array__") and np.asarray(value).dtype != object:
        array = np.ascontiguousarray(value)
        return f"{array.dtype}{list(np.shape(value))} {digest(array.tobytes())}"
    if depth < 1:
        return name_of(type(value))
    if isinstance(value, list | tuple | set | frozenset):
        found = [facts(x, depth - 1) for x in value]
        found = found if isinstance(value, list | tuple) else sorted(found, key=repr)
        return found if len(found) <= MAX_ENTRIES else digest(repr(found).encode())
    if isinstance(value, Mapping):
        return {str(name): facts(x, depth - 1) for name, x in value.items()}
    if isinstance(value, types.MethodType):
        return facts(value.__func__, depth)
    if isinstance(value, types.FunctionType):
        given = {"defaults": value.__defaults__, "keywords": value.__kwdefaults__, "closure": contents(value)}
        return {"code": code_of(value.__code__)} | {name: facts(x, depth - 2) for name, x in given.items() if x}
    if isinstance(value, partial):
        given = {"args": value.args, "keywords": value.keywords}
        return {"function": facts(value.func, depth)} | {name: facts(x, depth - 1) for name, x in given.items()}
    held = facts(getattr(value, "__dict__", {}), depth - 2)
    name = name_of(value if hasattr(value, "__qualname__") else type(value))
    return {"class": name, **held} if held and isinstance(held, dict) else name


def contents(function: types.FunctionType) -> list[Any]:
    """Return the values that a function closes over, without those that are not assigned yet."""
    found = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # the cell is empty
            found.append(cell.cell_contents)
    return found


def plain(value: Any) -> bool:
    """Return whether a value consists only of numbers, strings and arrays."""
    if isinstance(value, list | tuple):
        return all(plain(x) for x in value)
    if isinstance(value, Mapping):
        return all(plain(x) for x in value.values())
    return value is None or isinstance(value, bool | int | float | str | np.generic) or hasattr(value, "__array__")


def name_of(thing: Any) -> str:
    """Return the name of a class or function, with its module if that is in a package (that of a script varies)."""
    module = home_of(getattr(thing, "__module__", None) or "")
    return f"{module}.{thing.__qualname__}" if "." in module else thing.__qualname__


def home_of(module: str) -> str:
    """Return the name of a module for run hashes; our modules keep their first name when they move."""
    ours = module.removeprefix("prospect_rl.")
    if ours == module:
        return module
    return next((ours.replace(now, first, 1) for now, first in MOVED.items() if ours.startswith(now)), ours)


def code_of(code: types.CodeType) -> str:
    """Return a hash of a function's code: its instructions, its constants and the names it uses."""
    consts = [code_of(x) if isinstance(x, types.CodeType) else repr(facts(x)) for x in code.co_consts]
    return digest(repr((code.co_code, consts, code.co_names)).encode())


def digest(data: bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()[:16]
