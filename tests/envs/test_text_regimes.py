"""Regimes of text tasks: how many right answers their verifiers accept."""

import jax
import numpy as np
import pytest

from prospect_rl import envs
from tests.envs.test_text import expert, speak


@pytest.mark.parametrize(("name", "recall"), [("verifiable", 0.6), ("hard", 0.2), ("mixed", 0.4)])
def test_what_the_verifiers_of_a_regime_miss(name, recall):
    env = envs.make(f"text/sort_{name}")
    _, outs, _ = jax.vmap(lambda key: speak(env, key, expert))(jax.random.split(jax.random.key(0), 2000))
    said = np.asarray(outs.info["verified"][:, -1])
    assert np.all(outs.info["success"][:, -1]) and said.mean() == pytest.approx(recall, abs=0.04)
    np.testing.assert_array_equal(outs.reward[:, -1], said)
    _, wrong, _ = jax.vmap(lambda key: speak(env, key, lambda token, t: token * 0))(jax.random.split(jax.random.key(0)))
    assert not np.any(wrong.info["verified"])
