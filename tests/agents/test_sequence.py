"""Agents that remember: steps equal segments, for all of them; and each rival's own device, worked by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents
from prospect_rl.agents.nn.trunk import where_needed
from prospect_rl.agents.sequence.dt import DT, RATE
from prospect_rl.agents.sequence.elmur.elmur import Elmur
from prospect_rl.agents.sequence.linoss import Oscillators
from prospect_rl.agents.sequence.recurrent import BCGRU, BCLSTM, LatchBC
from prospect_rl.agents.sequence.transformer import RMT, BCTransformer, TrXL
from prospect_rl.envs.api import Batch, Box, Dataset, Inputs, Spec
from prospect_rl.experiments.run import checkpoint
from tests.agents.sequences import SPEC, in_segments, in_steps, made, stream

SMALL = {"width": 8, "context": 4, "segments": 3}
ATTENTION = {**SMALL, "layers": 2, "ffn": 12}
TRUNKS = {
    "elmur": Elmur(**ATTENTION, bias_std=1.0),
    "elmur_official": Elmur(**ATTENTION, sinusoid_offset=True, first_write="blend", sigma=1.0),
    "elmur_all": Elmur(**{**ATTENTION, "layers": 1}, lru=False, norm="rms", experts=2),
    "bc_lstm": BCLSTM(**SMALL),
    "bc_gru": BCGRU(**SMALL),
    "latch": LatchBC(**SMALL),
    "linoss": agents.make("linoss", **SMALL, layers=2, size=5),
    "trxl": TrXL(**ATTENTION, cache=6),
    "rmt": RMT(**ATTENTION, memories=3),
    "rate": RATE(**ATTENTION, memories=3, cache=14),
    "bc_transformer": BCTransformer(**{**ATTENTION, "context": 12, "segments": 1}),
    "dt": DT(**{**ATTENTION, "context": 12, "segments": 1}),
}
KEY = jax.random.key(7)


COVERED = ("elmur_official", "elmur_all", "bc_gru", "trxl", "rmt", "rate", "bc_transformer", "latch")
"""Slow tests: `elmur`, `bc_lstm`, `linoss` and `dt` stand for the kinds of trunks in the fast ones."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in COVERED)) for n in TRUNKS])
def test_steps_are_segments(name):
    """At every prefix of three segments, from one memory to the next."""
    agent, params = made(TRUNKS[name])
    seen = stream(12)
    out, _ = in_segments(agent, params, seen, KEY)
    np.testing.assert_allclose(in_steps(agent, params, seen, KEY)[0], out, atol=1e-5)
    assert np.std(out, axis=0).min() > 1e-3


@pytest.mark.parametrize("name", ["elmur", pytest.param("rate", marks=pytest.mark.slow)])
def test_streams_do_not_meet(name):
    """One begins three steps late: both are as they are alone, also where one segment ends and the other goes on."""
    agent, params = made(TRUNKS[name])
    seen = jax.tree.map(lambda *x: jnp.stack(x), stream(12), stream(12, 2))
    opened = agent.network.apply(params, KEY, method="open")

    @jax.jit
    def both(seen):
        def one(memory, now):
            t, now = now
            fresh = jnp.array([False, True]) & (t == 3)
            memory = jax.tree.map(lambda m, o: jnp.where(fresh.reshape(2, *(1,) * o.ndim), o, m), memory, opened)
            out, memory = jax.vmap(agent.stepped, (None, 0, 0))(params, memory, now)
            return memory, out

        memory = jax.tree.map(lambda x: jnp.stack([x, x]), opened)
        steps = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), seen)
        return jax.lax.scan(one, memory, (jnp.arange(12), steps))[1]

    out = both(seen)
    np.testing.assert_allclose(out[:, 0], in_steps(agent, params, stream(12), KEY)[0], atol=1e-5)
    late = jax.tree.map(lambda x: x[3:], stream(12, 2))
    padded = jax.tree.map(lambda x: jnp.concatenate([x, x[:3]]), late)
    np.testing.assert_allclose(out[3:, 1], in_steps(agent, params, padded, KEY)[0][:9], atol=1e-5)


@pytest.mark.parametrize("name", ["elmur", pytest.param("elmur_official", marks=pytest.mark.slow)])
def test_a_memory_is_saved_in_mid_segment(name, tmp_path):
    agent, params = made(TRUNKS[name])
    seen = stream(12)
    wanted, memories = in_steps(agent, params, seen, KEY)
    memory = jax.tree.map(lambda x: x[5], memories)
    kept = checkpoint.rebuild(checkpoint.unpacked(checkpoint.packed(memory)), memory)
    step = jax.jit(agent.stepped)
    for t in range(6, 12):
        out, kept = step(params, kept, jax.tree.map(lambda x, t=t: x[t], seen))
        np.testing.assert_allclose(out, wanted[t], atol=1e-6)


def test_work_that_no_stream_needs_is_left_out():
    """Under two vmaps the work runs once for all, and only in calls where a stream needs it."""
    count = []

    def work(given, held):
        jax.debug.callback(lambda: count.append(1))
        return held + given

    def run(needed):
        call = jax.vmap(jax.vmap(lambda n, h: where_needed(n, work, jnp.float32(2), h)))
        out = jax.jit(call)(needed, jnp.arange(6.0).reshape(2, 3))
        jax.effects_barrier()
        return out

    np.testing.assert_array_equal(run(jnp.zeros((2, 3), bool)), [[0, 1, 2], [3, 4, 5]])
    assert not count
    np.testing.assert_array_equal(run(jnp.array([[False, True, False], [False, False, True]])), [[0, 3, 2], [3, 4, 7]])
    assert count


# --- learning ----------------------------------------------------------------------------------------


def batch_of(agent, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    shape = (agent.updates, agent.batch_size, agent.context * agent.segments)
    rows = {"obs": jax.random.normal(keys[0], (*shape, 2)), "action": jax.random.randint(keys[1], shape, 0, 3)}
    return Batch(rows, jnp.arange(shape[2]) < jax.random.randint(keys[2], (*shape[:2], 1), 2, shape[2]))


def test_the_forget_gate_begins_open():
    """Its bias is `forget_bias`, all others are 0; the other weights do not depend on it."""
    new, old = (jax.jit(BCLSTM(**SMALL, forget_bias=b).bind(SPEC).init)(jax.random.key(0)) for b in (1.0, 0.0))
    cell = new.params["params"]["trunk"]["unit"]
    biases = {name: float(x["bias"].mean()) for name, x in cell.items() if "bias" in x}
    assert biases == {"hf": 1, "hg": 0, "hi": 0, "ho": 0}
    assert (cell["hf"]["bias"] == BCLSTM().forget_bias).all()
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), new.params, old.params)
    assert sum(jax.tree.leaves(changed)) == 1


LEARNER = BCLSTM(**{**SMALL, "segments": 4}, batch_size=3, updates=2)


def test_invalid_rows_teach_nothing():
    agent = LEARNER.bind(SPEC)
    state, data = jax.jit(agent.init)(jax.random.key(0)), batch_of(agent)
    learn = jax.jit(agent.learn)
    spoilt = data.replace(rows=data.rows | {"action": jnp.where(data.valid, data.rows["action"], 2)})
    a, b = (learn(state, x, jax.random.key(1))[0] for x in (data, spoilt))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert checkpoint.digest(a.params) != checkpoint.digest(state.params)


@pytest.mark.parametrize(("group", "steps"), [(0, 1), (2, 2), (1, 4)])
def test_an_optimiser_step_a_group(group, steps):
    """Two batches of four segments; every group starts from the memory that the one before it left."""
    agent = replace(LEARNER, bptt_segments=group, learning_rate=1e-9, weight_decay=0.0).bind(SPEC)
    state, data = jax.jit(agent.init)(jax.random.key(0)), batch_of(agent)
    after, figures = jax.jit(agent.learn)(state, data, jax.random.key(1))
    assert int(after.optimiser[1][0].count) == 2 * steps
    seen = agent.inputs_of(data.rows)
    carry, total, count, losses = agent.network.apply(state.params, KEY, method="start"), 0.0, 0, []
    carries = jax.tree.map(lambda x: jnp.stack([jnp.stack([x] * 3)] * 2), carry)
    forward = jax.jit(jax.vmap(jax.vmap(agent.forward, (None, 0, 0, None)), (None, 0, 0, None)))
    for i in range(4):
        part = jax.tree.map(lambda x, i=i: x[:, :, 4 * i : 4 * i + 4], (seen, data.rows["action"], data.valid))
        out, carries, _ = forward(state.params, carries, part[0], KEY)
        error = -jnp.take_along_axis(jax.nn.log_softmax(out), part[1][..., None], -1)[..., 0]
        total, count = total + jnp.sum(error * part[2], (1, 2)), count + jnp.sum(part[2], (1, 2))
        if (i + 1) % agent.group == 0:
            losses.append(total / jnp.maximum(count, 1))
            total, count = 0.0, 0
    assert figures["learn/loss"] == pytest.approx(float(jnp.mean(jnp.stack(losses))), rel=1e-5)


def test_errors_by_hand():
    """Smoothing .3 over three choices: .8, .1, .1; and a bounded action, from its centre in half widths."""
    logits = jnp.log(jnp.array([0.5, 0.3, 0.2]))
    agent = replace(LEARNER, label_smoothing=0.3).bind(SPEC)
    wanted = -(0.8 * np.log(0.5) + 0.1 * np.log(0.3) + 0.1 * np.log(0.2))
    assert agent.error(logits, jnp.int32(0)) == pytest.approx(wanted, rel=1e-5)
    box = LEARNER.bind(replace(SPEC, action=Box((2,), (-4.0, 0.0), (4.0, 1.0))))
    assert box.error(jnp.zeros(2), jnp.array([2.0, 1.0])) == pytest.approx((0.5**2 + 1) / 2)
    np.testing.assert_allclose(box.choice(jnp.array([9.0, 0.0]), KEY), [4, 0.5], rtol=1e-6)


def test_the_action_before():
    """Zeros at first, whatever action 0 means; and a network that looks at it tells the first step from the second."""
    agent = LEARNER.bind(SPEC)
    action = jnp.arange(12).reshape(1, 1, 12) % 3
    seen = agent.inputs_of({"obs": jnp.zeros((1, 1, 12, 2)), "action": action})
    assert seen["action"][0, 0].tolist() == [0, *action[0, 0, :-1].tolist()]
    assert seen["first"][0, 0].tolist() == [True] + [False] * 11
    agent, params = made(TRUNKS["dt"])
    one = {"obs": jnp.zeros(2), "action": jnp.int32(0), "return": jnp.float32(0)}
    first, second = (agent.network.apply(params, one | {"first": jnp.bool_(x)}, method="embed") for x in (True, False))
    np.testing.assert_array_equal(first[0], jnp.zeros(8))  # its layer's bias is still 0
    assert np.abs(second[0]).max() > 0.1


def test_rates():
    """Up in two steps, then down in four to a quarter; the first step has no rate at all."""
    agent = replace(LEARNER, warm_up=2, decay=4, floor=0.25, schedule="linear", learning_rate=0.8, weight_decay=0.0)
    state = agent.optimiser.init(jnp.zeros(1))
    sizes = []
    for _ in range(8):
        change, state = agent.optimiser.update(jnp.ones(1), state, jnp.zeros(1))
        sizes.append(-float(change[0]))
    np.testing.assert_allclose(sizes, [0, 0.4, 0.8, 0.65, 0.5, 0.35, 0.2, 0.2], rtol=1e-4)


# --- rivals ------------------------------------------------------------------------------------------


def test_a_cache_joins_segments():
    """A cache of all that went before: three segments of four are one of twelve."""
    joined, params = made(TrXL(**ATTENTION, cache=8))
    whole = replace(joined, context=12, segments=1)
    seen = stream(12)
    a, b = (in_segments(agent, params, seen, KEY)[0] for agent in (joined, whole))
    np.testing.assert_allclose(a, b, atol=1e-5)
    short = in_segments(replace(joined, cache=2), params, seen, KEY)[0]
    assert np.abs(short - b)[:4].max() < 1e-5 < 1e-3 < np.abs(short - b)[4:].max()


def test_a_window_slides():
    """Past its length a windowed transformer acts as if the episode had begun `context` steps ago."""
    agent, params = made(replace(TRUNKS["bc_transformer"], context=4, segments=3))
    seen = stream(12)
    out = in_steps(agent, params, seen, KEY)[0]
    late = jax.tree.map(lambda x: x[5:9], seen)
    np.testing.assert_allclose(out[8], in_segments(agent, params, late, KEY)[0][3], atol=1e-5)


def test_memory_tokens_carry_what_attention_cannot_see():
    """Only the second copy sees the segment; what comes out of it changes the next segment."""
    agent, params = made(TRUNKS["rmt"])
    seen = stream(8)
    other = seen | {"obs": seen["obs"].at[1].add(3.0)}
    (a, before), (b, after) = (in_segments(agent, params, x, KEY) for x in (seen, other))
    assert np.abs(a[0] - b[0]).max() < 1e-6 < 1e-3 < np.abs(a[4:] - b[4:]).max()
    np.testing.assert_array_equal(before.memory[0], params["params"]["trunk"]["memory"])
    assert np.abs(before.memory[1] - after.memory[1]).max() > 1e-3
    assert before.cache.shape[2] == 0


def test_the_valve():
    """RATE's next memory is attention of the old memory to the rectified new one, which is RMT's."""
    agent, params = made(replace(TRUNKS["rate"], cache=0))
    plain = replace(agent, valve=0)
    seen, weights = stream(8), params["params"]["trunk"]
    gate = {name: np.asarray(part["kernel"], np.float64) for name, part in weights["gate"].items()}
    with_valve, without = (in_segments(x, params, seen, KEY)[1].memory[1] for x in (agent, plain))
    old, new = np.asarray(weights["memory"], np.float64), np.maximum(np.asarray(without, np.float64), 0)
    score = (old @ gate["query"]) @ (new @ gate["key"]).T / np.sqrt(8)
    share = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
    np.testing.assert_allclose(with_valve, share @ (new @ gate["value"]) @ gate["out"], atol=1e-5)


def test_returns_still_to_come():
    """Two episodes, (1, 0, 2) and (0, 5); acting starts from the target and takes off what was paid."""
    rows = {"reward": np.array([1, 0, 2, 0, 5], np.float32)}
    data = DT().prepare(Dataset(rows, jnp.array([0, 3])))
    assert data.rows["return"].tolist() == [3, 2, 2, 5, 5]
    agent, params = made(replace(TRUNKS["dt"], target_return=4.0, return_scale=2.0))
    memory, act = jax.jit(agent.memory)(params, KEY), jax.jit(agent.act)
    for reward, left in ((0.0, 4), (1.0, 3), (0.0, 3), (2.0, 1)):
        inputs = Inputs(jnp.zeros(2), jnp.int32(1), jnp.float32(reward), jnp.bool_(reward == 0))
        _, memory, _ = act(params, memory, inputs, KEY)
        assert memory.target == left
    seen = agent.inputs_of(
        {"obs": jnp.zeros((1, 1, 3, 2)), "action": jnp.zeros((1, 1, 3), int), "return": jnp.ones((1, 1, 3))}
    )
    assert seen["return"].tolist() == [[[0.5, 0.5, 0.5]]]


def test_oscillators_by_hand():
    """A parallel scan, the recurrence and a loop in NumPy agree; all eigenvalues have modulus 1 / sqrt(S)."""
    core = Oscillators(3, 2)
    u = jax.random.normal(jax.random.key(1), (6, 2))
    params = core.init(jax.random.key(0), jnp.zeros((2, 3)), u, method="scan")
    out, last = core.apply(params, jnp.ones((2, 3)), u, method="scan")
    w = jax.tree.map(lambda x: np.asarray(x, np.float64), params["params"])
    h, g, a = 1 / (1 + np.exp(-w["step"])), w["damping"], w["stiffness"]
    z, x = np.ones(3), np.ones(3)
    state = jnp.ones((2, 3))
    for t in range(6):
        z = (z - h * a * x + h * (np.asarray(u[t]) @ w["drive"]["kernel"])) / (1 + h * g)
        x = x + h * z
        y, state = core.apply(params, state, u[t], method="step")
        np.testing.assert_allclose(out[t], x @ w["read"]["kernel"] + w["skip"] * np.asarray(u[t]), atol=1e-5)
        np.testing.assert_allclose(y, out[t], atol=1e-5)
    np.testing.assert_allclose(last, [z, x], atol=1e-5)
    wild = jax.tree.map(lambda x: x, params)
    wild["params"]["stiffness"] = jnp.array([-3.0, 5.0, 1e4])
    for weights in (params, wild):
        _, matrix, scale = core.apply(weights, method="matrix")
        values = np.linalg.eigvals(np.moveaxis(np.asarray(matrix, np.float64), -1, 0))
        np.testing.assert_allclose(np.abs(values) ** 2, (1 / scale)[:, None] * np.ones(2), rtol=1e-2)
        assert np.abs(values).max() <= 1


def test_the_latch_keeps_the_first_step_alone():
    agent, params = made(TRUNKS["latch"])
    seen = stream(12)
    for changed, differs in ((0, True), (1, False)):
        other = seen | {"obs": seen["obs"].at[changed].add(1.0)}
        a, b = (in_segments(agent, params, x, KEY)[0] for x in (seen, other))
        assert (np.abs(a[6:] - b[6:]).max() > 1e-3) == differs


def test_misfits():
    free = Spec(id="x", obs=Box((1,)), action=Box((1,), low=0.0), horizon=1)
    with pytest.raises(ValueError, match="all bounds or none"):
        BCLSTM().bind(free)
    for fields, said in (
        ({"bptt_segments": 2}, "must divide the 3 segments"),
        ({"schedule": "steps"}, "'cosine' or 'linear'"),
    ):
        with pytest.raises(ValueError, match=said):
            BCLSTM(**fields)
    with pytest.raises(ValueError, match="multiple of 2 . heads = 6"):
        DT(heads=3)
    with pytest.raises(ValueError, match="valve must divide"):
        RATE(valve=7)
