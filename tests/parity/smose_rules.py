"""One update of SMoSE by the rules of its released code, in NumPy and float64, with gradients worked out by hand.

Written from the equations alone (docs/methods/smose.md); no code of ours is used. Networks are dicts of arrays: a
critic has w0 [D + A, H], b0, w1 [H, 1], b1; an actor router/kernel [D, M], router/bias, and mean and log_std with
kernel [M, D, A] and bias [M, A]. Shapes: B rows of a batch, M experts, D observation and A action components.
"""

import numpy as np
from scipy.stats import norm

TINY = 1e-6
"""What the released code adds within the logarithm of the tanh's slope."""


class Adam:
    """As torch's, with its defaults."""

    def __init__(self, rate):
        self.rate, self.t, self.m, self.v = rate, 0, {}, {}

    def step(self, params, gradient):
        self.t += 1
        for name, g in gradient.items():
            self.m[name] = 0.9 * self.m.get(name, 0) + 0.1 * g
            self.v[name] = 0.999 * self.v.get(name, 0) + 0.001 * g**2
            m, v = self.m[name] / (1 - 0.9**self.t), self.v[name] / (1 - 0.999**self.t)
            params[name] = params[name] - self.rate * m / (np.sqrt(v) + 1e-8)


def critic(params, x, slope=None):
    """Values [B] at x [B, D + A]; with their slopes [B] also (gradients, slope of x)."""
    before = x @ params["w0"] + params["b0"]
    hidden = np.maximum(before, 0)
    values = (hidden @ params["w1"] + params["b1"])[:, 0]
    if slope is None:
        return values
    inner = slope[:, None] * params["w1"][:, 0] * (before > 0)
    gradient = {"w0": x.T @ inner, "b0": inner.sum(0), "w1": hidden.T @ slope[:, None], "b1": slope.sum(keepdims=True)}
    return gradient, inner @ params["w0"].T


def acting(actor, obs, noise, shift=0.0):
    """Everything on the way from observations to actions and log densities, by name."""
    z = obs @ actor["router/kernel"] + actor["router/bias"]
    noisy = z + shift
    p = np.exp(noisy - noisy.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows, m = np.arange(len(obs)), p.argmax(1)
    law = {
        k: np.einsum("bd,bda->ba", obs, actor[f"{k}/kernel"][m]) + actor[f"{k}/bias"][m] for k in ("mean", "log_std")
    }
    w = p[rows, m][:, None]
    squashed = np.tanh(w * law["log_std"])
    log_std = -5 + 3.5 * (squashed + 1)
    y = np.tanh(w * law["mean"] + np.exp(log_std) * noise)
    each = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - y**2 + TINY)
    return {"z": z, "noisy": noisy, "p": p, "m": m, "w": w, "law": law, "squashed": squashed, "std": np.exp(log_std),
            "y": y, "log_prob": each.sum(1)}  # fmt: skip


def variation(x):
    """(squared variation of x [M], its gradient)."""
    mean, deviation, n = x.mean(), x - x.mean(), len(x)
    variance = (deviation**2).sum() / (n - 1)
    return variance / mean**2, 2 * deviation / ((n - 1) * mean**2) - 2 * variance / (n * mean**3)


def auxiliary(z, noisy, p):
    """(half the variation of importance, half that of load; its gradient with respect to z [B, M])."""
    n, rows = z.shape[1], np.arange(len(z))
    distance = (z - noisy.max(1, keepdims=True)) * n
    (spread, g), (uneven, h) = variation(p.sum(0)), variation(norm.cdf(distance).sum(0))
    slope = p * (g - (p * g).sum(1, keepdims=True))
    pushed = h * norm.pdf(distance) * n
    slope += pushed
    slope[rows, noisy.argmax(1)] -= pushed.sum(1)
    return (spread + uneven) / 2, slope / 2


def actor_gradient(actor, critics, alpha, w_aux, obs, noise, shift):
    """(loss, gradient) of the actor."""
    a, size = acting(actor, obs, noise, shift), len(obs)
    pairs = np.concatenate([obs, a["y"]], 1)
    values = np.stack([critic(q, pairs) for q in critics])
    least = values.argmin(0)
    aux, slope_z = auxiliary(a["z"], a["noisy"], a["p"])
    loss = np.mean(alpha * a["log_prob"] - values.min(0)) + w_aux * aux
    by_action = sum(critic(q, pairs, (least == i) * 1.0)[1] for i, q in enumerate(critics))[:, obs.shape[1] :]
    free = 1 - a["y"] ** 2
    x = (-by_action + alpha * 2 * a["y"] / (free + TINY)) * free / size
    spread = (x * a["std"] * noise - alpha / size) * 3.5 * (1 - a["squashed"] ** 2)
    slopes, gradient = {"mean": x, "log_std": spread}, {}
    chosen = a["m"][:, None] == np.arange(a["p"].shape[1])
    for name, slope in slopes.items():
        gradient[f"{name}/kernel"] = np.einsum("bm,bd,ba->mda", chosen, obs, a["w"] * slope)
        gradient[f"{name}/bias"] = np.einsum("bm,ba->ma", chosen, a["w"] * slope)
    by_gate = sum((slope * a["law"][name]).sum(1) for name, slope in slopes.items())
    logits = by_gate[:, None] * a["w"] * (chosen - a["p"]) + w_aux * slope_z
    return loss, gradient | {"router/kernel": obs.T @ logits, "router/bias": logits.sum(0)}


class Rules:
    """Networks, optimisers and the temperature; `update` is one call of the released training step."""

    def __init__(self, actor, critics, *, gamma, tau, rate, critic_rate, w_aux, every):
        self.actor, self.critics = dict(actor), [dict(q) for q in critics]
        self.targets, self.log_alpha = [dict(q) for q in critics], {"log_alpha": np.zeros(())}
        self.gamma, self.tau, self.w_aux, self.every = gamma, tau, w_aux, every
        self.of_actor, self.of_alpha = Adam(rate), Adam(critic_rate)
        self.of_critics, self.updates = [Adam(critic_rate) for _ in critics], 0

    def update(self, batch, noise):
        """Losses of one update. noise: next [B, A]; of each of the actor's steps shift [1, M], action, alpha [B, A]."""
        alpha = np.exp(self.log_alpha["log_alpha"])
        after = acting(self.actor, batch["next_obs"], noise["next"])
        pairs = np.concatenate([batch["next_obs"], after["y"]], 1)
        value = np.min([critic(q, pairs) for q in self.targets], 0) - alpha * after["log_prob"]
        target = batch["reward"] + (1 - batch["terminated"]) * self.gamma * value
        pairs, losses = np.concatenate([batch["obs"], batch["action"]], 1), {"critic": 0.0}
        for q, adam in zip(self.critics, self.of_critics, strict=True):
            error = critic(q, pairs) - target
            losses["critic"] += np.mean(error**2)
            adam.step(q, critic(q, pairs, 2 * error / len(error))[0])
        if self.updates % self.every == 0:
            for now in noise["steps"]:
                alpha = np.exp(self.log_alpha["log_alpha"])
                losses["actor"], gradient = actor_gradient(
                    self.actor, self.critics, alpha, self.w_aux, batch["obs"], now["action"], now["shift"]
                )
                self.of_actor.step(self.actor, gradient)
                log_prob = acting(self.actor, batch["obs"], now["alpha"])["log_prob"]
                slope = -alpha * np.mean(log_prob - batch["action"].shape[1])
                self.of_alpha.step(self.log_alpha, {"log_alpha": slope})
        for q, target_q in zip(self.critics, self.targets, strict=True):
            for name in q:
                target_q[name] = self.tau * q[name] + (1 - self.tau) * target_q[name]
        self.updates += 1
        return losses
