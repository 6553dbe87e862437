"""ELMUR's training steps against the same layers in eager PyTorch, on two cores.

Context 10, width 64, two layers of two heads and two slots, hidden width 128, no dropout, no experts. A step is one of
AdamW on 64 windows: of one segment (the paper's way, gradients never leave a segment), or through
twelve. The PyTorch layers are written for this bench, from the same equations. Needs the extra `sb3`, for torch.
"""

from __future__ import annotations

import time
from importlib import import_module
from importlib.util import find_spec

import jax
import jax.numpy as jnp

from prospect_rl.experiments import bench

CORES = 2
TARGETS: bench.Targets = {"ratio_to_torch": ("at least", 3.0)}
LENGTH, WIDTH, LAYERS, HEADS, SLOTS, FFN, BATCH = 10, 64, 2, 2, 2, 128, 64
SEGMENTS = 12
TURNS = 5


def measure() -> dict[str, float]:
    """Milliseconds per optimiser step of our code and of PyTorch. Raises ValueError without torch."""
    if find_spec("torch") is None:
        raise ValueError("elmur_train needs torch: install the extra sb3")
    ours = {group: bench.start(our_step, group, cores=CORES).result() for group in (1, SEGMENTS)}
    theirs = {group: bench.start(torch_step, group, cores=CORES).result() for group in (1, SEGMENTS)}
    return {
        "ratio_to_torch": theirs[SEGMENTS] / ours[SEGMENTS], "ratio_detached": theirs[1] / ours[1],
        "ms_detached": ours[1], f"ms_bptt{SEGMENTS}": ours[SEGMENTS],
        "ms_detached_torch": theirs[1], f"ms_bptt{SEGMENTS}_torch": theirs[SEGMENTS],
    }  # fmt: skip


def our_step(group: int) -> float:
    """Milliseconds per optimiser step of our code through `group` segments."""
    from prospect_rl import agents, envs
    from prospect_rl.agents.api import Batch

    updates, steps = 4, LENGTH * SEGMENTS
    agent = agents.make(
        "elmur", context=LENGTH, width=WIDTH, layers=LAYERS, heads=HEADS, slots=SLOTS, ffn=FFN, segments=SEGMENTS,
        bptt_segments=group, batch_size=BATCH, updates=updates,
    ).bind(envs.make("memory/tmaze").spec)  # fmt: skip
    shape, key = (updates, BATCH, steps), jax.random.key(0)
    rows = {"obs": jax.random.normal(key, (*shape, 4)), "action": jax.random.randint(key, shape, 0, 4)}
    learn = jax.jit(agent.learn, donate_argnums=0)
    state, best = jax.jit(agent.init)(key), float("inf")
    for i in range(1 + TURNS):
        begun = time.perf_counter()
        state, figures = learn(state, Batch(rows, jnp.ones(shape, bool)), jax.random.key(i))
        jax.block_until_ready(figures)
        if i:
            best = min(best, time.perf_counter() - begun)
    return 1e3 * best * group / (updates * SEGMENTS)


def torch_step(group: int) -> float:
    """Milliseconds per optimiser step of PyTorch with the same number of threads."""
    torch = import_module("torch")
    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    model = import_module("prospect_rl.experiments.bench.elmur_torch").model(
        inputs=4, outputs=4, width=WIDTH, layers=LAYERS, heads=HEADS, ffn=FFN
    )
    optimiser = torch.optim.AdamW(model.parameters(), 3e-4)
    obs, action = torch.randn(SEGMENTS, BATCH, LENGTH, 4), torch.randint(4, (SEGMENTS, BATCH, LENGTH))
    best = float("inf")
    for turn in range(1 + TURNS):
        begun = time.perf_counter()
        slots = [0.02 * torch.randn(BATCH, SLOTS, WIDTH) for _ in range(LAYERS)]
        written, loss = [-1] * SLOTS, 0.0
        for i in range(SEGMENTS):
            logits, slots, written = model(obs[i], slots, written, i * LENGTH)
            loss = loss + torch.nn.functional.cross_entropy(logits.flatten(0, 1), action[i].flatten())
            if (i + 1) % group == 0:
                optimiser.zero_grad()
                (loss / group).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                slots, loss = [s.detach() for s in slots], 0.0
        if turn:
            best = min(best, time.perf_counter() - begun)
    return 1e3 * best * group / SEGMENTS
