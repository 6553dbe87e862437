"""Samples of spaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.envs.api import Box, Dict, Discrete

BOXES = [
    Box((3,), -1.0, 2.0), Box((2, 2)), Box((500,), 0, 2, "uint8"), Box((300, 2), 0, (1, 5), "int32"),
]  # fmt: skip


@pytest.mark.parametrize("space", [*BOXES, Discrete(3), Dict((("a", BOXES[2]), ("b", Discrete(2))))])
def test_a_sample_lies_in_its_space(space):
    drawn = jax.device_get(space.sample(jax.random.key(0)))
    assert space.contains(drawn)


def test_integers_come_with_both_bounds_of_each_component():
    drawn = np.asarray(BOXES[3].sample(jax.random.key(0)))
    assert drawn.min(axis=0).tolist() == [0, 0] and drawn.max(axis=0).tolist() == [1, 5]


ODD = [
    Box((9,), 100.0), Box((9,), -np.inf, -5.0), Box((3,), (0.0, -np.inf, 7.0), (1.0, 2.0, np.inf)),
    Box((9,), -3.4028235e38, 3.4028235e38), Box((9,), -0.1, 0.1), Box((9,), -0.1, 0.1, "float16"),
    Box((9,), 0, 2**31 - 1, "int32"), Box((9,), dtype="int32"), Box((9,), 3 * 10**9, 4 * 10**9, "uint32"),
    Box((9,), dtype="uint32"), Box((9,), -128, 127, "int8"),
]  # fmt: skip


@pytest.mark.parametrize("space", ODD, ids=str)
def test_odd_bounds_have_samples_that_differ(space):
    """Half-bounded components, bounds at the end of a type, bounds that float32 rounds outwards."""
    drawn = jax.device_get(space.sample(jax.random.key(0)))
    assert space.contains(drawn) and len(set(drawn.tolist())) == space.size


def test_the_end_of_a_type_is_drawn_too():
    drawn = np.asarray(Box((500,), 2**31 - 3, 2**31 - 1, "int32").sample(jax.random.key(0)))
    assert set(drawn.tolist()) == {2**31 - 3, 2**31 - 2, 2**31 - 1}


def test_bounds_are_those_of_the_type():
    low, high = Box((2,), -0.1, (0.1, np.inf)).bounds()
    assert low.dtype == np.float32 and high.tolist() == [np.float32(0.1), np.inf]
    assert Box((), -0.1, 0.1).bounds("float64")[1] == 0.1
    for dtype in ("int64", "uint64", "int8"):
        low, high = Box((), dtype=dtype).bounds()
        assert (low, high) == (np.iinfo(dtype).min, np.iinfo(dtype).max) and low.dtype == dtype


def test_what_is_clipped_is_contained():
    space, beyond = Box((2,), -0.1, 0.1, outside="float64"), np.float32([0.1, -0.1])
    assert space.contains(space.clipped(beyond)) and float(beyond[0]) > 0.1
    assert space.clipped(beyond, "float64").tolist() == [0.1, -0.1]
    assert Box((2,), 0, 9, "uint8").clipped([300.5, -1]).tolist() == [9, 0]


def test_a_box_is_reached_from_minus_one_to_one_and_back():
    box = Box((2,), (-1.0, 0.0), (3.0, 0.5))
    np.testing.assert_array_equal(box.scale(jnp.array([[-1, -1], [1, 1], [0, 0], [-9, 9]])), [
        [-1, 0], [3, 0.5], [1, 0.25], [-1, 0.5],
    ])  # fmt: skip
    np.testing.assert_array_equal(box.unscale(np.array([[-1, 0], [3, 0.5]], np.float32)), [[-1, -1], [1, 1]])
    for free in (Box((2,)), Box((2,), 0.0), Box((2,), (-1.0, -np.inf), 1.0)):
        assert not free.bounded and free.scale(box) is free.unscale(box) is box, "as it is, whatever it is"
    fine = Box((1,), -0.1, 0.7)
    assert all(fine.contains(np.float32(fine.scale(jnp.float32([x])))) for x in (-1, 1))
