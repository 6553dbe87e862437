"""What decides how an environment behaves, as JSON for a run's identity.

Values that say the same thing in every process stand as they are, arrays and code as hashes; of other objects (a
simulator, a window) the class alone is known, and of what they hold the plain part.
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
DEEP = 5
"""How far values within values are looked into: a list or mapping is one step, an object or a function two."""
LONG = 100
"""Entries of a list that stand as they are; of a longer one the hash stands."""


def facts(value: Any, depth: int = DEEP) -> Json:
    """A value as JSON."""
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
        return found if len(found) <= LONG else digest(repr(found).encode())
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
    """The variables that a function takes from around it, but for those that have no value yet."""
    found = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # of an empty cell
            found.append(cell.cell_contents)
    return found


def plain(value: Any) -> bool:
    """Whether a value is made of numbers, words and arrays alone."""
    if isinstance(value, list | tuple):
        return all(plain(x) for x in value)
    if isinstance(value, Mapping):
        return all(plain(x) for x in value.values())
    return value is None or isinstance(value, bool | int | float | str | np.generic) or hasattr(value, "__array__")


def name_of(thing: Any) -> str:
    """A class or function by name, with its module where that is of a package: a script's has one name or another."""
    module = getattr(thing, "__module__", None) or ""
    return f"{module}.{thing.__qualname__}" if "." in module else thing.__qualname__


def code_of(code: types.CodeType) -> str:
    """A hash of what a function does: its instructions, its constants, the names that it uses."""
    consts = [code_of(x) if isinstance(x, types.CodeType) else repr(facts(x)) for x in code.co_consts]
    return digest(repr((code.co_code, consts, code.co_names)).encode())


def digest(data: bytes) -> str:
    """16 hexadecimal digits of some bytes."""
    return hashlib.sha256(data).hexdigest()[:16]
