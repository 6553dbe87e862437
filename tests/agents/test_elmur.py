"""The properties of ELMUR's memory, with numbers worked by hand; its gradients and experts."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents
from prospect_rl.agents.sequence.elmur.elmur import Elmur
from prospect_rl.agents.sequence.elmur.layer import REACH, Experts, Layer
from tests.agents.sequences import SPEC, in_segments, made, one_segment, stream

TINY = {"width": 8, "layers": 1, "heads": 2, "ffn": 12, "context": 4, "segments": 3, "sigma": 0.5, "bias_std": 1.0}
OFFICIAL = {"positions": "official", "sinusoid_offset": True, "first_write": "blend"}
KEY = jax.random.key(3)

# --- the memory --------------------------------------------------------------------------------------


def walk(agent, params, tokens, carry=None):
    """(features [S, L, D], the carries before each of the segments and after the last) for tokens [S, L, 1, D]."""
    carries = [start_of(agent, params) if carry is None else carry]
    features = []
    for part in tokens:
        out, carry = one_segment(agent, params, carries[-1], part)
        features.append(out)
        carries.append(carry)
    return np.stack(features), carries


@partial(jax.jit, static_argnums=0)
def start_of(agent, params):
    return agent.network.apply(params, KEY, method="start")


TOKENS = jax.random.normal(jax.random.key(8), (8, 4, 1, 8))


def test_slots_are_written_in_turn():
    agent, params = made(Elmur(**TINY, slots=3))
    _, carries = walk(agent, params, TOKENS[:6])
    assert [c.written.tolist() for c in carries] == [
        [-1, -1, -1], [3, -1, -1], [3, 7, -1], [3, 7, 11], [15, 7, 11], [15, 19, 11], [15, 19, 23],
    ]  # fmt: skip
    assert [int(c.time) for c in carries] == list(range(0, 28, 4))
    assert all(set((c.time - c.written).tolist()) == {1, 5, 9} for c in carries[3:])
    changed = np.any(np.diff(np.stack([c.slots for c in carries]), axis=0) != 0, axis=-1)  # [6, N, M]
    assert np.argwhere(changed).tolist() == [[i, 0, i % 3] for i in range(6)]
    _, (before, after) = walk(replace(agent, lru=False), params, TOKENS[:1])
    assert after.written.tolist() == [3, 3, 3] and np.all(after.slots != before.slots)


def layer_of(**fields):
    """(a layer's methods with random weights, slots [3, D], the output [L, D] of a segment)."""
    config = Elmur(**TINY, slots=3, **fields)
    draw = [jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(3, 8), (4, 8)])]
    layer = Layer(config)
    init = jax.jit(lambda *x: layer.init(KEY, *x, method="candidates"))
    params = init(draw[0], jnp.zeros((3, 4), int), draw[1])
    return jax.jit(lambda name, *x: layer.apply(params, *x, method=name), static_argnums=0), *draw


def test_only_the_slot_that_is_kept_is_computed():
    """It is what it would be among all: share lam of the new, an empty slot whole; lam 0 keeps what is there."""
    times = jnp.arange(20, 24)
    for fields, written, share in (
        ({"lam": 0.3}, [7, 3, 11], 0.3), ({"lam": 0.3}, [7, -1, 11], 1.0), ({"lam": 0.0}, [7, 3, 11], 0.0),
        ({"lam": 1.0}, [7, 3, 11], 1.0), ({"lam": 0.3, "first_write": "blend"}, [7, -1, 11], 0.3),
    ):  # fmt: skip
        call, slots, x = layer_of(**fields)
        written = jnp.array(written)
        new = call("candidates", slots, written[:, None] - times, x)
        wanted = slots.at[1].set(share * new[1] + (1 - share) * slots[1])
        np.testing.assert_allclose(call("rewritten", slots, written, x, times), wanted, atol=1e-6)
        assert np.abs(new - slots).min(axis=-1).max() > 1e-3


def run_long(agent, params, segments, noise=0.0):
    """Slots [segments, N, M, D] over a long episode of random tokens."""

    @jax.jit
    def run(params):
        def one(carry, key):
            tokens = noise * jax.random.normal(key, (agent.context, 1, agent.width))
            return agent.network.apply(params, carry, tokens, method="segment")[1], carry.slots

        start = agent.network.apply(params, KEY, method="start")
        return jax.lax.scan(one, start, jax.random.split(jax.random.key(0), segments))[1]

    return np.asarray(run(params))


def test_slots_stay_bounded():
    """New contents are normed, to sqrt(8): ten thousand blends never leave that, nor shrink."""
    agent, params = made(Elmur(**{**TINY, "context": 2, "lam": 0.4}))
    norms = np.linalg.norm(run_long(agent, params, 10_000, noise=2.0), axis=-1)
    assert norms[2:].max() < math.sqrt(8) + 1e-4 and norms[-100:].mean() > 0.5 * norms[2:102].mean() > 0.1


def test_the_half_life_of_what_is_not_renewed():
    """With nothing new to write a slot keeps 1 - lam at each turn: .8^k is 1/2 after ln .5 / ln .8 = 3.106 turns."""
    agent, params = made(Elmur(**{**TINY, "context": 2, "lam": 0.2, "first_write": "blend"}))
    norms = params["params"]["trunk"]["layers_0"]["norms_4"]
    params["params"]["trunk"]["layers_0"]["norms_4"] = jax.tree.map(jnp.zeros_like, norms)
    slots = run_long(agent, params, 13)[:, 0]
    size = np.linalg.norm(slots, axis=-1) / np.linalg.norm(slots[0], axis=-1)  # [13, 2]
    np.testing.assert_allclose(size[1::2, 0], 0.8 ** np.arange(1, 7), rtol=1e-4)
    np.testing.assert_allclose(size[2::2, 1], 0.8 ** np.arange(1, 7), rtol=1e-4)
    steps = np.interp(math.log(0.5), np.log(size[::-2, 1]), np.arange(12, -1, -2)) * agent.context
    assert steps == pytest.approx(2 * 2 * math.log(0.5) / math.log(0.8), rel=1e-3)


# --- what reaches what -------------------------------------------------------------------------------


def test_the_past_alone_counts():
    """Within a segment what comes later changes nothing; an earlier segment speaks through the memory alone."""
    agent, params = made(Elmur(**TINY))
    for segment, step in ((0, 2), (1, 1)):
        other = TOKENS[:3].at[segment, step].add(1.0)
        (a, _), (b, _) = (walk(agent, params, x) for x in (TOKENS[:3], other))
        difference = np.abs(a - b).max(axis=-1)
        assert difference[:segment].max(initial=0) == 0 and difference[segment, :step].max() < 1e-6
        assert difference[segment, step] > 1e-3 and difference[segment + 1 :].max() > 1e-5
        deaf = without_read(params)
        (a, _), (b, _) = (walk(agent, deaf, x) for x in (TOKENS[:3], other))
        assert np.abs(a - b)[segment + 1 :].max() == 0


def without_read(params):
    """Weights with which what is read from the memory is zero."""
    return jax.tree_util.tree_map_with_path(
        lambda path, x: 0 * x if "['read']['out']" in jax.tree_util.keystr(path) else x, params
    )


def shifted(agent, params, by):
    """Features after two writes, with the clock put forward."""
    carry = walk(agent, params, TOKENS[:2])[1][2]
    carry = carry.replace(written=carry.written + by, time=carry.time + by)
    return walk(agent, params, TOKENS[2:3], carry)[0]


def test_time_has_no_origin():
    """But for the official sinusoids, which move with the clock."""
    agent, params = made(Elmur(**TINY))
    np.testing.assert_allclose(shifted(agent, params, 100_000), shifted(agent, params, 0), atol=1e-5)
    official = replace(agent, **OFFICIAL)
    assert np.abs(shifted(official, params, 100_000) - shifted(official, params, 0)).max() > 0.01
    assert REACH > 2 * agent.slots * agent.context


def test_official_positions_depend_on_the_window():
    """A token's features in a window that is not yet full are others than in the full one; forward, the same."""
    agent, params = made(Elmur(**TINY))
    for each, alike in ((agent, True), (replace(agent, **OFFICIAL), False)):
        carry = walk(agent, params, TOKENS[:2])[1][2]
        short, full = (one_segment(each, params, carry, TOKENS[2], n)[0][1] for n in (2, 4))
        assert (np.abs(short - full).max() < 1e-6) == alike


def test_limits():
    """Slots in another order read the same; before a slot is blended lam does nothing; zeros read as nothing."""
    agent, params = made(Elmur(**TINY, slots=3))
    features, carries = walk(agent, params, TOKENS[:6])
    order = jnp.array([2, 0, 1])
    turned = carries[3].replace(slots=carries[3].slots[:, order], written=carries[3].written[order])
    np.testing.assert_allclose(walk(agent, params, TOKENS[3:4], turned)[0][0], features[3], atol=1e-5)
    other, _ = walk(replace(agent, lam=0.9), params, TOKENS[:6])
    np.testing.assert_allclose(other[:4], features[:4], atol=1e-6)  # three first writes, and what is read after them
    assert np.abs(other[4] - features[4]).max() > 1e-4
    empty = carries[0].replace(slots=jnp.zeros_like(carries[0].slots))
    quiet, after = walk(agent, params, TOKENS[:1], empty)
    np.testing.assert_allclose(quiet, walk(agent, without_read(params), TOKENS[:1], empty)[0], atol=1e-6)
    assert np.isfinite(after[1].slots).all()


# --- gradients ---------------------------------------------------------------------------------------


def is_write(path):
    name = jax.tree_util.keystr(path)
    return any(part in name for part in ("'write'", "norms_3", "norms_4", "slot_ffn"))


@pytest.mark.slow  # finite differences of a large program
def test_writes_learn_only_across_segments():
    """One segment a gradient: exactly nothing reaches the writes. Two: it does, as finite differences say."""
    with jax.enable_x64(True):
        config = Elmur(**{**TINY, "segments": 2, "width": 4, "ffn": 4, "context": 3})
        agent = config.bind(SPEC)
        params = jax.tree.map(lambda x: x.astype(jnp.float64), agent.init(jax.random.key(0)).params)
        seen = jax.tree.map(lambda x: x.reshape(2, 1, 3, *x.shape[1:]), stream(6))
        group = (seen, jnp.array([[[0, 1, 2]], [[2, 1, 0]]]), jnp.ones((2, 1, 3), bool))
        carry = agent.network.apply(params, KEY, method="start")
        carry = jax.tree.map(lambda x: x[None], carry.replace(slots=carry.slots.astype(jnp.float64)))

        def loss(params, agent=agent, group=group):
            return agent.loss(params, carry, group, KEY)[0]

        alone = replace(agent, bptt_segments=1)
        gradient = jax.jit(jax.grad(lambda p: loss(p, alone, jax.tree.map(lambda x: x[:1], group))))(params)
        leaves = jax.tree_util.tree_leaves_with_path(gradient)
        assert all(np.all(x == 0) == is_write(path) for path, x in leaves)
        loss = jax.jit(loss)
        gradient = jax.jit(jax.grad(loss))(params)
        for number, (path, x) in enumerate(jax.tree_util.tree_leaves_with_path(gradient)):
            direction = jax.random.normal(jax.random.key(number), x.shape, jnp.float64)

            def moved(by, number=number, direction=direction):
                leaves, shape = jax.tree.flatten(params)
                return jax.tree.unflatten(
                    shape, [*leaves[:number], leaves[number] + by * direction, *leaves[number + 1 :]]
                )

            slope = (loss(moved(1e-5)) - loss(moved(-1e-5))) / 2e-5
            assert float(jnp.sum(x * direction)) == pytest.approx(float(slope), rel=1e-5, abs=1e-9), path
            assert np.any(x != 0), path


# --- experts and dropout -----------------------------------------------------------------------------


def experts(x, **fields):
    """(output, weights, what was sown) of a layer of experts."""
    layer = Experts(Elmur(**TINY, expert_ffn=5, shared_ffn=6, **fields))
    params = jax.jit(layer.init)(KEY, x)
    out, sown = jax.jit(lambda p, x: layer.apply(p, x, mutable=["sown"]))(params, x)
    return out, params["params"], sown["sown"]["balance"][0]


def swiglu(w, first, x):
    gate, value, out = (w[f"Dense_{i}"]["kernel"] for i in range(first, first + 3))
    return (jax.nn.silu(x @ gate) * (x @ value)) @ out


def test_experts():
    """One expert is a plain layer; of three, the two best share the weight; shared ones see every row."""
    x = jax.random.normal(jax.random.key(1), (6, 8))
    out, w, balance = experts(x, experts=1, top_k=1, shared_experts=0)
    np.testing.assert_allclose(out, swiglu(w, 1, x), atol=1e-5)
    assert balance.tolist() == [[1], [1]]
    out, w, balance = experts(x, experts=3, top_k=3, shared_experts=1)
    score = np.asarray(x @ w["Dense_0"]["kernel"], np.float64)
    score[np.arange(6), score.argmin(-1)] = -np.inf
    gates = np.asarray(jax.nn.softmax(score, axis=-1))
    wanted = sum(gates[:, e : e + 1] * swiglu(w, 1 + 3 * e, x) for e in range(3)) + swiglu(w, 10, x)
    np.testing.assert_allclose(out, wanted, atol=1e-5)
    np.testing.assert_allclose(balance, [(gates > 0).mean(0) / 2, gates.mean(0)], atol=1e-6)
    np.testing.assert_allclose(balance.sum(-1), 1, rtol=1e-6)


def test_the_balance_of_experts_is_a_loss():
    agent = Elmur(**TINY, experts=3, balance=0.5)
    sown = {"sown": {"a": (jnp.array([[0.5, 0.5, 0], [0.2, 0.8, 0]]),), "b": (jnp.array([[1.0, 0, 0], [1, 0, 0]]),)}}
    assert agent.penalty(sown) == pytest.approx(0.5 * 3 * (0.5 + 1))


@pytest.mark.slow
def test_dropout_is_for_learning():
    agent, params = made(Elmur(**TINY, dropout=0.5, attention_dropout=0.5, memory_dropout=0.5))
    forward = jax.jit(
        lambda key: agent.forward(params, agent.network.apply(params, KEY, method="start"), stream(4), key)
    )
    (a, carry, _), (b, *_) = (forward(jax.random.key(i)) for i in range(2))
    assert np.abs(a - b).max() > 1e-3
    assert 0 < np.mean(np.asarray(carry.slots[:, 0]) == 0) < 1
    plain = in_segments(replace(agent, dropout=0.0, attention_dropout=0.0, memory_dropout=0.0), params, stream(4), KEY)[
        0
    ]
    np.testing.assert_array_equal(in_segments(agent, params, stream(4), KEY)[0], plain)


# --- the agent ---------------------------------------------------------------------------------------


def test_misfits_and_bad_values():
    for fields, said in (
        ({"heads": 3}, "multiple of 2 . heads = 6"), ({"lam": 1.5}, "lam must be at least 0 and at most 1"),
        ({"positions": "absolute"}, "'forward' or 'official'"), ({"first_write": "drop"}, "'replace' or 'blend'"),
        ({"norm": "batch"}, "'layer' or 'rms'"), ({"experts": 1, "top_k": 3, "shared_experts": 0}, "at most the 1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            agents.make("elmur", **fields)
