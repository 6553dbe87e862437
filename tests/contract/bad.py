"""Values that a field with this annotation must refuse, and values that its bounds have to decide on."""

import math
import types
import typing
from typing import Literal

NOT_FINITE = (math.nan, math.inf, -math.inf)


def values(hint) -> tuple[list, list]:
    """(wrong whatever the bounds are, for the bounds to decide) of a field annotated so."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        wrong, edge = values(next(arg for arg in args if arg is not type(None)))
        return [value for value in wrong if value is not None], edge
    if origin is tuple:
        wrong, edge = values(args[0])
        count = 1 if args[-1] is Ellipsis else len(args)
        short = [] if args[-1] is Ellipsis else [()]
        return [None, 3, [1], *short, *((value,) * count for value in wrong)], [(value,) * count for value in edge]
    if origin is Literal:
        return [None, "nonsense", -7, 0.5, math.nan], []
    return {
        bool: ([None, "yes", 1, math.nan], []),
        int: ([None, "many", 1.5, True, 2**31, *NOT_FINITE], [-1, 0]),
        float: ([None, "many", True, *NOT_FINITE], [-1.0, 0.0, 1e9]),
        str: ([None, 3, math.nan], []),
    }.get(hint, ([], []))
