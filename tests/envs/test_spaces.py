"""Samples of spaces."""

import jax
import numpy as np
import pytest

from envs.api import Box, Dict, Discrete

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
