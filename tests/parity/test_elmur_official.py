"""Six segments of ELMUR are the official layers' (see elmur_official.py for their making)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.agents.sequences import made
from tests.parity.elmur_official import AGENT, FILE


@pytest.fixture(scope="module")
def official():
    with np.load(FILE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def computed(official, **fields):
    """(outputs [T, A], slots [K, N, M, D], times [K, M]) of ours, with the same weights, first slots and inputs."""
    agent, params = made(dataclasses.replace(AGENT, **fields))
    tree = jax.tree.structure(params)
    params = jax.tree.unflatten(tree, [jnp.asarray(official[f"weights/{i}"]) for i in range(tree.num_leaves)])
    seen = {name: jnp.asarray(official[name]) for name in ("obs", "action", "first", "return")}
    parts = jax.tree.map(lambda x: x.reshape(-1, agent.context, *x.shape[1:]), seen)
    carry = agent.network.apply(params, jax.random.key(0), method="start")

    @jax.jit
    def run(carry, parts):
        def one(carry, part):
            out, after, _ = agent.forward(params, carry, part, None)
            return after, (out, after.slots, after.written)

        return jax.lax.scan(one, carry, parts)[1]

    out, slots, times = run(dataclasses.replace(carry, slots=jnp.asarray(official["first slots"])), parts)
    return out.reshape(-1, out.shape[-1]), slots, times


def test_outputs_memory_and_times(official):
    out, slots, times = computed(official)
    np.testing.assert_array_equal(times, official["times"])
    np.testing.assert_allclose(out, official["out"], atol=1e-5)
    np.testing.assert_allclose(slots, official["slots"], atol=1e-5)
    assert np.abs(np.diff(official["slots"], axis=0)).max(axis=(1, 2, 3)).min() > 0.1, "memory hardly changed"


@pytest.mark.parametrize("fields", [{"first_write": "replace"}, {"sinusoid_offset": False}, {"positions": "forward"}])
def test_each_switch_counts(official, fields):
    """With the paper's way in any one of them the outputs part: the comparison above can fail."""
    out, _, _ = computed(official, **fields)
    assert np.abs(out - official["out"]).max() > 1e-3
