"""Advantages in numbers worked by hand, and against a slow loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.ops.returns import advantages

HALF = {"gamma": 0.5, "lam": 0.5}


def gae(reward, value, after, terminated, truncated, **options):
    columns = [np.asarray(x, np.float32) for x in (reward, value, after)]
    flags = [np.asarray(x, bool) for x in (terminated, truncated)]
    return np.asarray(jax.jit(lambda *x: advantages(*x, **options))(*columns, *flags))


def slow(reward, value, after, terminated, truncated, *, gamma, lam):
    """The sum of eq. 16, term by term, in float64."""
    out = np.zeros(len(reward))
    for start in range(len(reward)):
        weight = 1.0
        for t in range(start, len(reward)):
            out[start] += weight * (reward[t] + gamma * (not terminated[t]) * after[t] - value[t])
            if terminated[t] or truncated[t]:
                break
            weight *= gamma * lam
    return out


def test_by_hand():
    """delta = 1 + 2 - 1, 2 + 3 - 2, 3 + 4 - 3 = 2, 3, 4; A = 2 + (3 + 4 / 4) / 4, 3 + 4 / 4, 4."""
    got = gae([1, 2, 3], [1, 2, 3], [4, 6, 8], [0, 0, 0], [0, 0, 0], **HALF)
    np.testing.assert_allclose(got, [3, 4, 4])


def test_a_termination_cuts_the_bootstrap_and_the_trace():
    """delta_1 = 2 - 2 = 0, and nothing of step 2 comes back: A = 2 + 0 / 4, 0, 4."""
    np.testing.assert_allclose(gae([1, 2, 3], [1, 2, 3], [4, 6, 8], [0, 1, 0], [0, 0, 0], **HALF), [2, 0, 4])


def test_a_truncation_cuts_the_trace_alone():
    """delta_1 = 2 + 3 - 2 = 3: A = 2 + 3 / 4, 3, 4."""
    np.testing.assert_allclose(gae([1, 2, 3], [1, 2, 3], [4, 6, 8], [0, 0, 0], [0, 1, 0], **HALF), [2.75, 3, 4])


def test_both_flags_are_a_termination():
    np.testing.assert_allclose(gae([1, 2, 3], [1, 2, 3], [4, 6, 8], [0, 1, 0], [0, 1, 0], **HALF), [2, 0, 4])


def test_the_successor_value_is_that_of_the_old_episode():
    """The value of the step after an end (here 1000) belongs to another episode and is not looked at."""
    got = gae([0, 0], [0, 1000], [8, 0], [0, 0], [1, 0], **HALF)
    assert got[0] == 4


@pytest.mark.parametrize("lam", [0.0, 0.9, 1.0])
def test_against_a_slow_loop(lam):
    draw = np.random.default_rng(0)
    rows = [draw.normal(size=(40, 5)) for _ in range(3)] + [draw.random((40, 5)) < 0.1 for _ in range(2)]
    got = gae(*rows, gamma=0.97, lam=lam)
    for n in range(5):
        np.testing.assert_allclose(got[:, n], slow(*(x[:, n] for x in rows), gamma=0.97, lam=lam), atol=1e-4)


def test_shapes_must_agree():
    x = jnp.zeros((3, 2))
    with pytest.raises(ValueError, match="one shape"):
        advantages(x, x, x[:, 0], x > 0, x > 0, **HALF)
