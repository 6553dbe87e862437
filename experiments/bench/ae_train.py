"""Training steps of STAX's autoencoder on two cores: ours in a loop of one program, PyTorch's eager, products alone.

The official network on 64 x 64 colour pictures and on 32 x 32 grey ones, batches of 128, Adam. The products alone are
the matrix products of all layers, forward and backward, without anything between them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from prospect_rl.agents.nn.autoencoder import Autoencoder
from prospect_rl.experiments import bench

TARGETS: bench.Targets = {
    "ratio_to_torch": ("at least", 1.0),
    "ratio_to_torch_32": ("at least", 1.2),
    "ratio_to_products": ("at most", 2.0),
}
CORES = 2
BATCH, STEPS, ROUNDS = 128, 4, 5
"""Pictures in a batch, steps in a measurement, and measurements, of which the best counts."""


def measure() -> dict[str, float]:
    """Seconds of a step at both sizes, and the ratios."""
    figures: dict[str, float] = {}
    for size, channels, end in ((64, 3, ""), (32, 1, "_32")):
        ours, torch, products = (
            bench.start(work, size, channels, cores=CORES).result() for work in (ours_s, torch_s, products_s)
        )
        figures |= {
            f"step_s{end}": ours,
            f"ratio_to_torch{end}": torch / ours,
            f"ratio_to_products{end}": ours / products,
        }
    return figures


def best(call: Callable[[], Any]) -> float:
    """Least seconds of a step, of calls that make `STEPS` of them."""
    call()
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times) / STEPS


def ours_s(size: int, channels: int) -> float:
    """Seconds of a step of ours."""
    net, adam = Autoencoder(size, channels), optax.adam(1e-3)
    params = net.init(jax.random.key(0))
    pictures = jax.random.uniform(jax.random.key(1), (STEPS, BATCH, size, size, channels))

    def step(i: jax.Array, carry: Any) -> Any:
        params, moments = carry
        change = jax.grad(lambda p: jnp.mean(net.errors(p, pictures[i])[1]))(params)
        change, moments = adam.update(change, moments)
        return optax.apply_updates(params, change), moments

    run = jax.jit(lambda carry: jax.lax.fori_loop(0, STEPS, step, carry))
    return best(lambda: jax.block_until_ready(run((params, adam.init(params)))))


def torch_s(size: int, channels: int) -> float:
    """Seconds of a step of the same network in PyTorch."""
    torch = import_module("torch")
    torch.set_num_threads(CORES)
    nn, net = torch.nn, Autoencoder(size, channels)
    widths, flat = net.widths, int(np.prod(net.corner))
    layers: list[Any] = []
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.SELU()]
    layers += [nn.Flatten(), nn.Linear(flat, net.features), nn.SELU(), nn.Linear(net.features, flat), nn.SELU()]
    layers += [nn.Unflatten(1, (net.corner[2], *net.corner[:2]))]
    for after, before in reversed(list(zip(widths, widths[1:], strict=False))):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.SELU()]
    model = nn.Sequential(*layers[:-1], nn.ReLU())
    adam, pictures = torch.optim.Adam(model.parameters(), 1e-3), torch.rand(STEPS, BATCH, channels, size, size)

    def run() -> None:
        for batch in pictures:
            adam.zero_grad()
            nn.functional.mse_loss(model(batch), batch).backward()
            adam.step()

    return best(run)


def products_s(size: int, channels: int) -> float:
    """Seconds of the matrix products of a step: of each layer the output, and both gradients."""
    widths, n, pairs = Autoencoder(size, channels).widths, size, []
    for before, after in zip(widths, widths[1:], strict=False):
        n //= 2  # a convolution, and the transposed one that mirrors it
        pairs += [(BATCH * n * n, 16 * before, after), (BATCH * n * n, after, 16 * before)]
    arrays = [(jnp.ones((rows, k)), jnp.ones((k, out)), jnp.ones((rows, out))) for rows, k, out in pairs]

    @jax.jit
    def run(arrays: Any) -> Any:
        return [(x @ w, dy @ w.T, x.T @ dy) for x, w, dy in arrays]

    return best(lambda: [jax.block_until_ready(run(arrays)) for _ in range(STEPS)])
