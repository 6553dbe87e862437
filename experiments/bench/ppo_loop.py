"""PPO in DoorKey-8x8: our loop against stable-baselines3 on Farama's environment, on one core each, and what it learns.

Both play 32 streams of 128 steps and learn from them in four passes of eight minibatches, with the same network and
settings; a rate is the best of the iterations that were timed, acting, stepping and learning together. Then NovelD
(PPO with a bonus; centred, learning rate .001), five seeds: the env steps after which the mean return of training
episodes is above .9. Needs the extras `sb3` and `minigrid`.
"""

from __future__ import annotations

import os
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax
import numpy as np

from prospect_rl.experiments import bench

CORES = 1
TARGETS: bench.Targets = {
    "ratio_to_sb3": ("at least", 5.0),
    "seeds_solved": ("at least", 4.0),
    "cold_s": ("at most", 20.0),
    "warm_s": ("at most", 4.0),
}
TASK = "DoorKey-8x8-v0"
STREAMS, LENGTH, MINIBATCHES, WIDTH = 32, 128, 8, 64
ITERATIONS = 5
"""Number of timed iterations, after one that is not timed."""
FRAMES = 300_000
"""Number of environment steps within which a seed must solve the task."""
WINDOW = 8_192
"""Number of environment steps over whose episodes the mean return is taken."""


def measure() -> dict[str, float]:
    """Rates of both libraries, seconds of compilation, steps by seed. Raises ValueError if an extra is missing."""
    missing = [name for name in ("stable_baselines3", "minigrid") if find_spec(name) is None]
    if missing:
        raise ValueError(f"ppo_loop needs {' and '.join(missing)}: install the extras sb3 and minigrid")
    ours, theirs = bench.start(our_rate).result(), bench.start(their_rate).result()
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (bench.start(compiling, cache).result() for _ in range(2))
    pair = [bench.start(solving, seeds, core=i) for i, seeds in enumerate(((0, 2, 4), (1, 3)))]
    frames = dict(sorted({seed: n for half in pair for seed, n in half.result().items()}.items()))
    return {
        "ratio_to_sb3": ours / theirs, "seeds_solved": float(sum(n <= FRAMES for n in frames.values())),
        "cold_s": cold, "warm_s": warm, "steps_per_s": ours, "steps_per_s_sb3": theirs,
        **{f"frames_seed_{seed}": n for seed, n in frames.items()},
    }  # fmt: skip


def program_of(name: str, seed: int = 0, **fields: Any) -> Any:
    """The compiled programs of an agent in the task."""
    from prospect_rl import agents, envs
    from prospect_rl.experiments.run.program import Program

    env = envs.make(f"minigrid/{TASK}")
    agent = agents.make(name, num_envs=STREAMS, length=LENGTH, minibatches=MINIBATCHES, entropy=0.01, **fields)
    return Program(agent.bind(env.spec), env, (seed,), eval_episodes=1, dataset=None)


def our_rate() -> float:
    """Environment steps per second of our PPO."""
    program, step = program_of("ppo", hidden=(WIDTH, WIDTH)), STREAMS * LENGTH
    run, best = program.init(), 0.0
    for i in range(1 + ITERATIONS):
        begun = time.perf_counter()
        run, status, _ = program.advance(run, 0, (i + 1) * step, 1)
        jax.block_until_ready(status)
        best = max(best, step / (time.perf_counter() - begun))
    return best


def compiling(cache: str) -> float:
    """Seconds to the end of the first iteration, including compilation but not imports."""
    from prospect_rl.experiments.run.machine import enable_compilation_cache

    os.environ["PROSPECT_CACHE"] = cache
    enable_compilation_cache()
    program = program_of("ppo")  # generates the levels, which is not part of the compilation
    begun = time.perf_counter()
    jax.block_until_ready(program.advance(program.init(), 0, 1, 1)[1])
    return time.perf_counter() - begun


def solving(seeds: tuple[int, ...]) -> dict[int, float]:
    """Seed -> environment steps until the mean training return exceeds .9; infinite if it never does."""
    found = dict.fromkeys(seeds, float("inf"))
    for seed in seeds:
        program = program_of("noveld", seed, learning_rate=1e-3, centre=True)
        run = program.init()
        for used in range(WINDOW, FRAMES + WINDOW, WINDOW):
            run, _, _ = program.advance(run, 0, used, 10**6)
            ended = jax.device_get(run.streams.ended)
            if ended["count"] and ended["return"] / ended["count"] > 0.9:
                found[seed] = float(run.used)
                break
            zeros = jax.tree.map(np.zeros_like, ended)
            run = run.replace(streams=run.streams.replace(ended=zeros))
    return found


def their_rate() -> float:
    """Environment steps per second of SB3's PPO in Farama's environment."""
    torch, sb3 = import_module("torch"), import_module("stable_baselines3")
    torch.set_num_threads(1)
    make = import_module("stable_baselines3.common.env_util").make_vec_env
    import gymnasium

    import_module("minigrid")
    parts = ("image", "direction")
    envs = make(
        lambda: gymnasium.wrappers.FilterObservation(gymnasium.make(f"MiniGrid-{TASK}"), parts), n_envs=STREAMS, seed=0
    )
    model = sb3.PPO(
        "MultiInputPolicy", envs, n_steps=LENGTH, batch_size=STREAMS * LENGTH // MINIBATCHES, n_epochs=4,
        ent_coef=0.01, device="cpu", policy_kwargs={
            "features_extractor_class": extractor(), "net_arch": [WIDTH, WIDTH], "activation_fn": torch.nn.Tanh,
            "normalize_images": False,
        },
    )  # fmt: skip
    best, step = 0.0, STREAMS * LENGTH
    for i in range(1 + ITERATIONS):
        begun = time.perf_counter()
        model.learn(step, reset_num_timesteps=i == 0)
        best = max(best, step / (time.perf_counter() - begun))
    return best


def extractor() -> type:
    """Our encoder in PyTorch: one-hot codes, an embedding of 8 per cell, a layer of 128, and the one-hot direction."""
    torch = import_module("torch")
    base = import_module("stable_baselines3.common.torch_layers").BaseFeaturesExtractor
    codes = (11, 6, 3)

    class Extractor(base):
        def __init__(self, space: Any) -> None:
            super().__init__(space, 132)
            self.cell = torch.nn.Linear(sum(codes), 8, bias=False)
            self.layer = torch.nn.Linear(49 * 8, 128)

        def forward(self, obs: dict[str, Any]) -> Any:
            image = obs["image"].movedim(1, -1).long()  # SB3 moves the channels to the front
            cells = torch.cat([torch.nn.functional.one_hot(image[..., c], n) for c, n in enumerate(codes)], -1)
            seen = torch.tanh(self.layer(self.cell(cells.float()).flatten(1)))
            return torch.cat([seen, obs["direction"].reshape(-1, 4)], 1)

    return Extractor
