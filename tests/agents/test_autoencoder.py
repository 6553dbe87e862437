"""The autoencoder of STAX: its convolutions are XLA's, its weights as many as the official code's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.nn.autoencoder import Autoencoder, down, up

KEY = jax.random.key(0)
NUMBERS = ("NHWC", "HWIO", "NHWC")


def conv(x, weight, bias):
    return jax.lax.conv_general_dilated(x, weight, (2, 2), ((1, 1), (1, 1)), dimension_numbers=NUMBERS) + bias


def transposed(x, weight, bias):
    """As PyTorch defines it: out[2 i - 1 + k] += x[i] weight[k]."""
    flipped = weight[::-1, ::-1]
    return jax.lax.conv_general_dilated(x, flipped, (1, 1), ((2, 2), (2, 2)), (2, 2), dimension_numbers=NUMBERS) + bias


@pytest.mark.parametrize(("ours", "theirs", "n"), [(down, conv, 8), (up, transposed, 4)])
def test_layers_are_convolutions_in_value_and_gradient(ours, theirs, n):
    keys = jax.random.split(KEY, 4)
    args = [jax.random.normal(keys[0], (3, n, n, 5)), 0.2 * jax.random.normal(keys[1], (4, 4, 5, 7)), jnp.arange(7.0)]
    pull = jax.random.normal(keys[2], theirs(*args).shape)
    found, expected = (
        jax.jit(jax.value_and_grad(lambda *a, f=f: jnp.sum(pull * f(*a)) / pull.size, (0, 1, 2), has_aux=False))(*args)
        for f in (ours, theirs)
    )
    np.testing.assert_allclose(ours(*args), theirs(*args), atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


def count(net):
    return sum(x.size for x in jax.tree.leaves(jax.eval_shape(net.init, KEY)))


def test_it_has_the_weights_of_the_official_one():
    assert count(Autoencoder(64)) == 156_189
    assert Autoencoder(64).corner == (4, 4, 16) and count(Autoencoder(16, 1, features=4, width=8)) < 10_000


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (32, 3)])
def test_sizes_and_channels(size, channels):
    net = Autoencoder(size, channels, features=4, width=4)
    pictures = jax.random.uniform(KEY, (2, 3, size, size, channels))
    params = net.init(KEY)
    features, errors = jax.jit(net.errors)(params, pictures)
    made = net.decode(params, features)
    assert features.shape == (2, 3, 4) and made.shape == pictures.shape and (made >= 0).all()
    np.testing.assert_allclose(errors, np.mean((made - pictures) ** 2, axis=(2, 3, 4)), rtol=1e-5)
    linear = Autoencoder(size, channels, features=4, width=4, positive=False)
    assert (linear.decode(params, features) < 0).any(), "the last layer is linear"
