"""The policy network of the evolved agents, against numbers worked by hand."""

import jax
import numpy as np

from prospect_rl.agents.nn import mlp


def test_a_genome_of_two_inputs_and_one_output():
    # z = 1 * 0.5 + 2 * (-0.25) + 0.2 = 0.2; tanh(0.1)
    layers = mlp.unpack(np.float32([0.5, -0.25, 0.2]), (2, 1))
    assert np.isclose(mlp.forward(layers, np.float32([1, 2]))[0], np.tanh(0.1), atol=1e-7)


def test_a_layer_has_one_bias():
    assert mlp.genes((5, 5, 5, 2)) == 63


def test_wide_inputs_take_another_path_to_the_same_numbers():
    sizes = (mlp.NARROW + 8, 4)
    genome = jax.random.normal(jax.random.key(0), (mlp.genes(sizes),)) * 0.1
    x = np.asarray(jax.random.normal(jax.random.key(1), (sizes[0],)))
    weight, bias = (np.asarray(part) for part in mlp.unpack(genome, sizes)[0])
    assert np.allclose(mlp.forward(mlp.unpack(genome, sizes), x), np.tanh((x @ weight + bias) / 2), atol=1e-6)
