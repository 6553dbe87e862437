"""CDE's update against the same in eager PyTorch, and against its dense products alone, on two cores.

One update of everything that CDE learns, on one fixed batch of 512 rows of a maze (4 numbers seen, 2 actions), with 5
actions outside the data a row and hidden layers of 256 and 256. The PyTorch update is written for this bench, from the
same equations; both draw their random numbers anew each time. The products are those of all passes through all
networks, forwards and backwards, of networks without activations and losses: what is left to gain. Needs the extra
`sb3`, for torch.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops
from prospect_rl.experiments.run.compiler import COMPILER
from prospect_rl.experiments.run.machine import enable_compilation_cache

CORES = 2
TARGETS: bench.Targets = {"ratio_to_torch": ("at least", 1.25), "ratio_to_bare": ("at most", 1.4)}
TASK = "maze2d/umaze"
STEPS = 50


def measure() -> dict[str, float]:
    """Updates per second of our code, PyTorch and the matrix products alone. Raises ValueError without torch."""
    if find_spec("torch") is None:
        raise ValueError("cde_update needs torch: install the extra sb3")
    found = loops.race({"ours": (ours,), "torch": (theirs,), "bare": (products,)}, cores=CORES)
    return {
        "ratio_to_torch": found["ours"] / found["torch"], "ratio_to_bare": found["bare"] / found["ours"],
        "updates_per_s": found["ours"], "updates_per_s_torch": found["torch"], "updates_per_s_bare": found["bare"],
    }  # fmt: skip


def agent_of(**fields: Any) -> Any:
    """CDE bound to the task, with a policy that learns from the first update."""
    from prospect_rl import agents, envs

    return agents.make("cde", warm_up=0, **fields).bind(envs.make(TASK).spec)


def rows(agent: Any, key: jax.Array) -> Any:
    """A random batch without terminations, in which all rows have weight 1."""
    from prospect_rl.agents.offline.cde.optidice import Rows

    keys, size, (obs, action) = jax.random.split(key, 5), agent.batch_size, agent.sizes
    seen, following, start = (jax.random.normal(k, (size, obs)) for k in keys[:3])
    acted = jax.random.uniform(keys[3], (size, action), minval=-1)
    reward = 0.1 * jax.random.normal(keys[4], (size,))
    return Rows(seen, acted, reward, jnp.zeros(size), following, jnp.ones(size), start)


def ours() -> float:
    """Updates per second of our code."""
    agent = agent_of()
    return loops.updates(agent, rows(agent, jax.random.key(2)), STEPS)


def theirs() -> float:
    """Updates per second of PyTorch with the same number of threads."""
    import numpy as np

    torch, agent = import_module("torch"), agent_of()
    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    learner = import_module("prospect_rl.experiments.bench.cde_torch").Learner(agent)
    batch = jax.tree.map(lambda x: torch.tensor(np.asarray(x)), rows(agent, jax.random.key(2)))
    shape = batch.action.shape

    def turn() -> None:
        for _ in range(STEPS):
            learner.update(batch, 2 * torch.rand(agent.others, *shape) - 1, torch.randn(shape))

    return loops.best_of(turn, STEPS)


def products() -> float:
    """Updates per second if only the matrix products are computed."""
    enable_compilation_cache()
    weights, again = alone(agent_of())
    go = jax.jit(lambda w: jax.lax.fori_loop(0, STEPS, lambda _, w: again(w), w), compiler_options=COMPILER)
    return loops.best_of(lambda: jax.block_until_ready(go(weights)), STEPS)


def alone(agent: Any) -> tuple[Any, Callable[[Any], Any]]:
    """(matrices of all networks, function that computes an update's products: matrices -> matrices)."""
    keys = jax.random.split(jax.random.key(0), 4)
    learner = agent.begin(keys[0])
    networks = {
        "v": learner.values.v, "e": learner.values.e, "behaviour": learner.values.behaviour,
        "actor": learner.policy.actor,
    }  # fmt: skip
    batch, other = rows(agent, keys[1]), rows(agent, keys[2])
    pairs = jax.random.normal(keys[3], (1 + agent.others, agent.batch_size, sum(agent.sizes)))

    def again(weights: Any) -> Any:
        gradient = jax.grad(passes)(weights, batch, other, pairs)
        return jax.tree.map(
            lambda w, g: w - 1e-9 * g, weights, gradient
        )  # a loop without a result would be optimised away

    return {name: kernels(params) for name, params in networks.items()}, again


def kernels(params: Any) -> tuple[list[jax.Array], list[jax.Array]]:
    """Matrices of a network's hidden layers and of its heads."""
    layers = params["params"]
    hidden, heads = layers["Body_0"], {name: layer for name, layer in layers.items() if name != "Body_0"}
    return [layer["kernel"] for layer in hidden.values()], [layer["kernel"] for layer in heads.values()]


def through(weights: tuple[list[jax.Array], list[jax.Array]], x: jax.Array) -> list[jax.Array]:
    """The output of each head."""
    for kernel in weights[0]:
        x = x @ kernel
    return [x @ head for head in weights[1]]


def passes(weights: Any, batch: Any, other: Any, pairs: jax.Array) -> jax.Array:
    """Sum of squares of all outputs; its gradient needs exactly the matrix products of an update."""
    held = jax.lax.stop_gradient(weights)
    out = through(weights["v"], jnp.concatenate([batch.obs, batch.next_obs, batch.start]))
    out += through(weights["e"], pairs) + through(weights["behaviour"], batch.obs)
    mean, log_std = through(weights["actor"], batch.obs)
    modelled = through(held["behaviour"], other.obs)  # pi_D enters pi's gradient but receives none
    scale = sum((jnp.sum(x, axis=1, keepdims=True) for x in modelled), jnp.zeros(()))
    out += through(held["e"], jnp.concatenate([batch.obs, scale * mean + log_std], axis=1))
    return sum((jnp.sum(x**2) for x in out), jnp.zeros(()))
