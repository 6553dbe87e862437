"""The decoder: its two faces give the same numbers, and no token knows what comes later."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.nn.decoder import Decoder, rotated

KEY = jax.random.key(0)


def made(heads=4, kv_heads=2, context=64, **fields):
    decoder = Decoder(11, context, 2, 8 * heads, heads, kv_heads, 48, value=True, **fields)
    tokens = jax.random.randint(jax.random.key(1), (context,), 0, 11)
    params = decoder.init(KEY, tokens)
    critic = 0.3 * jax.random.normal(KEY, (8 * heads,))
    return decoder, {"params": params["params"] | {"critic": critic}}, tokens


def spoken(decoder, params, tokens):
    """(cache, logits, values) of a text, token by token."""

    def one(cache, token):
        cache, *out = decoder.apply(params, cache, token, method="step")
        return cache, out

    cache, (logits, values) = jax.lax.scan(one, decoder.apply(params, method="open"), tokens)
    return cache, logits, values


@pytest.mark.parametrize(("heads", "kv_heads"), [(3, 3), (3, 1), (4, 2)])
def test_a_text_at_once_and_token_by_token(heads, kv_heads):
    decoder, params, tokens = made(heads, kv_heads)
    cache, logits, values = spoken(decoder, params, tokens)
    whole = decoder.apply(params, tokens)
    np.testing.assert_allclose(logits, whole[0], atol=1e-5)
    np.testing.assert_allclose(values, whole[1], atol=1e-5)
    assert cache.count == 64
    for length in (1, 7):  # a prefix has the numbers of the whole
        np.testing.assert_allclose(decoder.apply(params, tokens[:length])[0], logits[:length], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kv_heads", [3, 1])
def test_every_context(kv_heads):
    """A cache of exactly the text's length, for each length; the numbers are those of a prefix of the longest text."""
    decoder, params, tokens = made(3, kv_heads)
    logits, values = decoder.apply(params, tokens)
    for context in range(1, 65):
        speak = jax.jit(partial(spoken, decoder.clone(context=context)))
        _, *found = speak(params, tokens[:context])
        np.testing.assert_allclose(found[0], logits[:context], atol=1e-5)
        np.testing.assert_allclose(found[1], values[:context], atol=1e-5)


def test_all_layers_are_one_scan():
    """As many operations for thirty layers as for two."""

    def size(layers):
        decoder = Decoder(11, 8, layers, 16, 2, 1, 24)
        tokens = jnp.zeros(8, jnp.int32)
        params = jax.eval_shape(decoder.init, KEY, tokens)
        return len(jax.jit(decoder.apply).lower(params, tokens).as_text().splitlines())

    assert size(30) == size(2)


def test_an_emptied_cache_is_as_good_as_new():
    decoder, params, tokens = made(context=8)
    fresh = decoder.apply(params, method="open")
    used, *_ = decoder.apply(params, fresh, tokens[0], method="step")
    again = decoder.apply(params, used.replace(count=jnp.int32(0)), tokens[1], method="step")[1]
    np.testing.assert_allclose(again, decoder.apply(params, fresh, tokens[1], method="step")[1], atol=1e-6)


def test_no_token_knows_a_later_one():
    decoder, params, tokens = made(context=6)
    other = decoder.apply(params, tokens.at[4].set((tokens[4] + 1) % 11))[0]
    here = decoder.apply(params, tokens)[0]
    np.testing.assert_array_equal(other[:4], here[:4])
    assert not np.allclose(other[4:], here[4:])


def test_rotary_positions_by_hand():
    """Two numbers at place p turn by p; products of queries and keys depend on their distance alone."""
    x = jnp.array([[[1.0, 0.0]]])
    np.testing.assert_allclose(rotated(x, jnp.array([2]), 1e4)[0, 0], [np.cos(2), np.sin(2)], atol=1e-6)
    a, b = jax.random.normal(KEY, (2, 1, 1, 8))
    products = [jnp.sum(rotated(a, jnp.array([p]), 1e4) * rotated(b, jnp.array([p + 3]), 1e4)) for p in (0, 5, 40)]
    np.testing.assert_allclose(products, products[0], rtol=1e-4)


def test_layers_are_counted():
    decoder, params, _ = made()
    layer = 32 * 32 * 2 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 32
    assert sum(x.size for x in jax.tree.leaves(params)) == 2 * layer + 11 * 32 + 32 + 32
    half, _, tokens = made(dtype="bfloat16")
    np.testing.assert_allclose(half.apply(params, tokens)[0], decoder.apply(params, tokens)[0], atol=0.05)
