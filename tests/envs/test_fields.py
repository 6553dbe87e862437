"""What a field may hold, from its annotation and its bounds."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import pytest
from flax import struct

from prospect_rl.envs.api import Env, static
from prospect_rl.envs.fields import bounded, check


@dataclass(frozen=True)
class Settings:
    mode: Literal["first", "last"] = "first"
    size: Literal[3, 5, 9] = 3
    rate: float = bounded(0.5, above=0, most=1)
    free: float = 0.0
    count: int | None = bounded(None, least=1)
    widths: tuple[int, ...] = bounded((8, 8), least=1)
    corners: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    on: bool = True


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"mode": "First"}, "mode must be 'first' or 'last', not 'First'; did you mean 'first'?"),
        ({"mode": "xyz"}, "mode must be 'first' or 'last', not 'xyz'"),
        ({"size": 4}, "size must be 3, 5 or 9, not 4"),
        ({"size": 3.0}, "size must be 3, 5 or 9, not 3.0"),
        ({"rate": 0}, "rate must be above 0 and at most 1, not 0"),
        ({"rate": float("nan")}, "rate must be above 0 and at most 1, not nan"),
        ({"free": float("inf")}, "free must be a finite number, not inf"),
        ({"count": 0}, "count must be at least 1, not 0"),
        ({"count": 2**31}, "count must be between -2**31 and 2**31 - 1, not 2147483648"),
        ({"widths": (8, 0)}, "widths must be at least 1, not 0"),
        ({"widths": [8]}, "widths must be a tuple, not [8]"),
        ({"corners": ((0.0, float("nan")),)}, "corners must be a finite number, not nan"),
        ({"corners": ((0.0,),)}, "corners must be a tuple of 2, not (0.0,)"),
        ({"on": 1}, "on must be bool, not 1"),
    ],
)
def test_a_bad_value_is_one_line(fields, line):
    with pytest.raises(ValueError, match="must") as error:
        check(Settings(**fields))
    assert str(error.value) == line


def test_good_values_pass():
    check(Settings())
    check(Settings("last", 9, 1, -3, 4, (), (), False))


@struct.dataclass
class Hall(Env):
    drift: float = 0.1
    table: jax.Array | None = None
    width: int = static(3, least=2)


def test_arrays_of_an_environment_stay_free():
    """Traced arrays and placeholders stand for them; a number is judged."""
    env = Hall(table=jnp.zeros(2))
    assert jax.jit(lambda env: env.drift * env.width)(env) == pytest.approx(0.3)
    assert jax.jit(jax.vmap(lambda env: env.drift))(Hall(jnp.arange(2.0), jnp.zeros(2))).shape == (2,)
    jax.tree.map(lambda x: None, env)
    with pytest.raises(ValueError, match="drift must be a finite number"):
        Hall(drift=float("nan"))
    with pytest.raises(ValueError, match="width must be at least 2, not 1"):
        Hall(width=1)


def test_a_class_made_in_a_function_is_checked_by_its_bounds():
    class Local: ...

    @dataclass
    class Other:
        rate: float = bounded(1.0, above=0)
        what: "Local | None" = None

    check(Other())
    with pytest.raises(ValueError, match="rate must be above 0"):
        check(Other(-1.0))
