"""What the tests of OptiDICE and CDE share: small agents, random batches, and their formulas in NumPy."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.offline.cde.optidice import Rows
from prospect_rl.envs.api import Box, Dataset, Discrete, Spec
from tests.agents.off_policy import SPEC

B = 16
SMALL = {"hidden": (8,), "batch_size": B, "updates": 2, "warm_up": 0, "alpha": 0.5}


CHOICES = Spec(id="test/choices", obs=Box((3,), -1.0, 1.0), action=Discrete(4), horizon=5)


def rows(seed=0, spec=SPEC):
    """A random batch (3 numbers seen; 2 actions or 1 choice); every fourth row has ended, every other one counts."""
    k = jax.random.split(jax.random.key(seed), 5)
    number = jnp.arange(B)
    action = number * 7 % 4 if spec is CHOICES else jnp.tanh(jax.random.normal(k[1], (B, 2)))
    return Rows(
        jax.random.normal(k[0], (B, 3)), action, jax.random.normal(k[2], (B,)),
        (number % 4 == 3).astype(jnp.float32), jax.random.normal(k[3], (B, 3)), (number % 2).astype(jnp.float32),
        jax.random.normal(k[4], (B, 3)),
    )  # fmt: skip


@cache
def case(cls, spec=SPEC, **fields):
    """(agent, its learner before anything was learned)."""
    agent = cls(**SMALL | dict(fields)).bind(spec)
    learner = jax.jit(agent.begin)(jax.random.key(3))

    def grown(x):  # multipliers and last layers start near 0, where too much is the same
        return x * 3 + 0.05 * jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)

    return agent, learner.replace(**{k: jax.tree.map(grown, getattr(learner, k)) for k in ("values", "policy")})


def dataset(rewards, lengths, **more):
    """Episodes of such lengths, whose rewards are given row by row."""
    count = len(rewards)
    base = {
        "obs": np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32),
        "action": np.tile(np.float32([1.0, 0.5]), (count, 1)), "reward": np.float32(rewards),
        "terminated": np.zeros(count, bool), "truncated": np.zeros(count, bool),
    }  # fmt: skip
    firsts = np.cumsum([0, *lengths[:-1]]).astype(np.int32)
    return Dataset({name: jnp.asarray(x) for name, x in {**base, **more}.items()}, jnp.asarray(firsts))


# --- in NumPy, double precision ----------------------------------------------------------------------


def layers(params, x):
    """What the last layer of a network gets."""
    for name in sorted(params):
        x = np.maximum(dense(params, name, x), 0)
    return x


def dense(params, name, x):
    return x @ np.float64(params[name]["kernel"]) + np.float64(params[name]["bias"])


def critic(params, x):
    """[B, outputs], or [B] for one output; of choices, whose encoder passes numbers on, too."""
    params = params["params"].get("Critic_0", params["params"])
    out = dense(params, "Dense_0", layers(params["Body_0"], x))
    return out[:, 0] if out.shape[1] == 1 else out


def gaussian(params, obs):
    """(mean, log std) [B, 2] of the policy before its tanh."""
    x = layers(params["params"]["Body_0"], obs)
    mean, log_std = (dense(params["params"], name, x) for name in ("Dense_0", "Dense_1"))
    return np.clip(mean, -7.24, 7.24), np.clip(log_std, -5, 2)


def mixture(params, obs):
    """(log weights [B, 3], mean [B, 3, 2], log std [B, 3, 2]) of the behaviour model before its tanh."""
    x = layers(params["params"]["Body_0"], obs)
    logits, mean, log_std = (dense(params["params"], f"Dense_{i}", x) for i in range(3))
    parts = np.clip(mean.reshape(-1, 3, 2), -7.24, 7.24), np.clip(log_std.reshape(-1, 3, 2), -5, 2)
    return log_softmax(logits), *parts


def log_softmax(logits):
    return logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))


def log_normal(x, mean, log_std):
    return np.sum(-0.5 * ((x - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi), axis=-1)


def log_mixture(raw, parts):
    log_weights, mean, log_std = parts
    return np.log(np.sum(np.exp(log_weights + log_normal(raw[:, None], mean, log_std)), axis=1))


def bend(raw):
    """The logarithm of the tanh's Jacobian."""
    return np.sum(np.log(1 - np.tanh(raw) ** 2), axis=-1)


def big_r(x):
    return np.where(x < 0, np.exp(np.minimum(x, 0)), x + 1)


def big_g(x):
    return np.where(x < 0, (x - 1) * np.exp(np.minimum(x, 0)) + 1, x**2 / 2)


def log_r(x):
    return np.where(x < 0, x, np.log1p(np.maximum(x, 0)))
