"""ELMUR against two independent writings of its equations: NumPy in double precision, and the PyTorch of its bench."""

import math

import jax
import numpy as np
import pytest

from prospect_rl.agents.sequence.elmur.elmur import Elmur
from prospect_rl.experiments.bench.elmur_torch import model
from tests.agents.sequences import in_segments, made, shaken, stream

TINY = {"width": 8, "layers": 1, "heads": 2, "ffn": 12, "context": 4, "segments": 3, "sigma": 0.5, "bias_std": 1.0}
OFFICIAL = {"positions": "official", "sinusoid_offset": True, "first_write": "blend"}
KEY = jax.random.key(3)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def normed(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8) * p["scale"] + p["bias"]


def feed(p, x):
    x = x @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"]
    x = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return x @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"]


def attend(p, x, y, score):
    """Each head by itself; score(head, i, j, query, key) before the division."""
    heads, d = 2, x.shape[-1] // 2
    q, k, v = (rows @ p[name]["kernel"] for rows, name in ((x, "query"), (y, "key"), (y, "value")))
    out = np.zeros_like(q)
    for n in range(heads):
        part = slice(n * d, (n + 1) * d)
        scores = [[score(n, i, j, q[i, part], k[j, part]) for j in range(len(y))] for i in range(len(x))]
        out[:, part] = softmax(np.array(scores)) @ v[:, part]
    return out @ p["out"]["kernel"] + p["out"]["bias"]


def place_score(p, u, v, shift, d=4):
    def score(n, i, j, q, k):
        if j > i:
            return -np.inf
        angle = (i - j + shift) / 10000 ** (np.arange(0, 8, 2) / 8)
        place = np.concatenate([np.sin(angle), np.cos(angle)]) @ p["relative"]["kernel"]
        return ((q + u[n]) @ k + (q + v[n]) @ place[n * d : (n + 1) * d]) / math.sqrt(d)

    return score


def biased(table, delta, d=4):
    return lambda n, i, j, q, k: q @ k / math.sqrt(d) + table[np.clip(delta[i, j], -1023, 1023) + 1023, n]


def by_numpy(agent, params, seen, slots):
    """(outputs [T, A], slots [N, M, D], written [M]) from the first slots, equation by equation."""
    w = jax.tree.map(lambda x: np.asarray(x, np.float64), params["params"])
    trunk, official = w["trunk"], agent.positions == "official"
    x_all = np.asarray(seen["obs"], np.float64) @ w["embed_of_obs"]["kernel"] + w["embed_of_obs"]["bias"]
    slots, written, outs = np.asarray(slots, np.float64).copy(), np.full(agent.slots, -1), []
    length = agent.context
    for t0 in range(0, len(x_all), length):
        x, j = x_all[t0 : t0 + length], int(np.argmin(written))
        times = t0 + (length - 1 - np.arange(length) if official else np.arange(length))
        for n in range(agent.layers):
            p, m = trunk[f"layers_{n}"], slots[n]
            near = place_score(p["attention"], trunk["content"], trunk["place"], t0 if official else 0)
            x = normed(p["norms_0"], x + attend(p["attention"], x, x, near))
            ages = times[:, None] - written
            x = normed(p["norms_1"], x + attend(p["read"], x, m, biased(p["bias"], ages)))
            x = normed(p["norms_2"], x + feed(p["token_ffn"], x))
            u = normed(p["norms_3"], m + attend(p["write"], m, x, biased(p["bias"], -ages.T)))
            u = normed(p["norms_4"], u + feed(p["slot_ffn"], u))
            lam = 1.0 if written[j] < 0 and agent.first_write == "replace" else agent.lam
            slots[n, j] = lam * u[j] + (1 - lam) * m[j]
        written[j] = t0 + length - 1
        outs.append(x @ w["out"]["kernel"])
    return np.concatenate(outs), slots, written


@pytest.mark.parametrize(
    "fields", [pytest.param({}, id="paper"), pytest.param(OFFICIAL, id="official", marks=pytest.mark.slow)]
)
def test_against_numpy(fields):
    """Four segments, two slots: two first writes and two blends. All slots are computed there, one here."""
    agent, params = made(Elmur(**{**TINY, "layers": 2}, lam=0.3, **fields))
    seen = stream(16)
    params = shaken(params)
    out, carries = in_segments(agent, params, seen, KEY)
    wanted, slots, _ = by_numpy(agent, params, jax.tree.map(lambda x: x[:12], seen), carries.slots[0])
    np.testing.assert_allclose(out[:12], wanted, atol=2e-5)
    np.testing.assert_allclose(carries.slots[3], slots, atol=2e-5)


def copied(net, weights):
    """Our weights in the bench's PyTorch model of one layer."""
    torch = pytest.importorskip("torch")
    tensor = lambda x: torch.tensor(np.asarray(x))  # noqa: E731

    def linear(layer, part):
        layer.weight.data = tensor(part["kernel"]).T.contiguous()
        if "bias" in part:
            layer.bias.data = tensor(part["bias"])

    w, layer = weights["trunk"]["layers_0"], net.layers[0]
    linear(net.embed, weights["embed_of_obs"])
    linear(net.head, weights["out"])
    for ours, theirs in zip(("content", "place"), net.pair, strict=True):
        theirs.data = tensor(weights["trunk"][ours])
    for name in ("attention", "read", "write"):
        for part in w[name]:
            linear(getattr(getattr(layer, name), part), w[name][part])
    for i, norm in enumerate(layer.norms):
        norm.weight.data, norm.bias.data = tensor(w[f"norms_{i}"]["scale"]), tensor(w[f"norms_{i}"]["bias"])
    for ffn, name in zip(layer.ffns, ("token_ffn", "slot_ffn"), strict=True):
        linear(ffn[0], w[name]["Dense_0"])
        linear(ffn[2], w[name]["Dense_1"])
    layer.bias.data = tensor(w["bias"])


def test_against_torch():
    """What `elmur_train` times is the same computation."""
    torch = pytest.importorskip("torch")
    agent, params = made(Elmur(**TINY))
    params, seen = shaken(params), stream(16)
    out, carries = in_segments(agent, params, seen, KEY)
    net = model(inputs=2, outputs=3, width=8, layers=1, heads=2, ffn=12)
    copied(net, params["params"])
    slots, written = [torch.tensor(np.asarray(carries.slots[0]))], [-1, -1]
    for i in range(0, 16, 4):
        logits, slots, written = net(torch.tensor(np.asarray(seen["obs"][None, i : i + 4])), slots, written, i)
        np.testing.assert_allclose(logits[0].detach().numpy(), out[i : i + 4], atol=1e-5)
