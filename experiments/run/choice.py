"""Which kind of device a run is faster on (`--device auto`), from measurements on one core and on an NVIDIA H200.

What a GPU needs is width: every operation of a program costs it some microseconds, however little it computes.
"""

from __future__ import annotations

from prospect_rl.agents.api import Agent, Batches, Segments, wants_of
from prospect_rl.envs.api import Env
from prospect_rl.experiments.run import device as devices

NATIVE = ("mujoco/", "maze2d/", "pointmaze/", "memory/remember_color", "memory/take_it_back")
"""Beginnings of the ids of environments that native MuJoCo steps, on cores."""
STREAMS = 256
"""Streams of an agent that wants `Segments`. PPO in DoorKey-8x8: 1.1 to 1.7 million steps a second with 2048, 90,000 to
150,000 with 256; TD3, SAC and the like, with one to a dozen streams and an update after every step, belong on cores."""
POLICIES = 1000
"""Policies of an agent that wants `Rollouts`, in every phase. Novelty search with 5000: 505,000 evaluations in 25 s;
SERENE, whose emitters evaluate 12 at once, is slower than on one core."""
SEEDS = 2
"""Seeds in one program of an agent that learns from data. An update of one small network is too little."""


def best(agent: Agent, env: str | Env, seeds: int = 1) -> str:
    """The kind of device on which a program with this many seeds is faster, if there is a GPU."""
    wants = wants_of(agent)
    if isinstance(wants[0], Batches):
        windows = any(isinstance(want, Batches) and want.length > 1 for want in wants)  # sequences are wide enough
        return "gpu" if windows or seeds >= SEEDS else "cpu"
    if isinstance(env, str) and env.startswith(NATIVE):
        return "cpu"
    wide = [want.num_envs >= STREAMS if isinstance(want, Segments) else want.population >= POLICIES for want in wants]  # type: ignore[union-attr]
    return "gpu" if all(wide) else "cpu"


def chosen(asked: str, agent: Agent, env: str | Env, seeds: int = 1, *, gpus: float = 1) -> str:
    """The kind of device for a run: `asked` if that names one, else the faster one, if there are any GPUs (default)."""
    if asked != "auto":
        return asked
    return best(agent, env, seeds) if gpus else "cpu"


def placed(given: str, agent: Agent, env: str | Env, seeds: int) -> str:
    """Let JAX use the device for a run, unless it has started; returns the kind. Raises ValueError if that differs."""
    if given not in devices.CHOICES:
        raise ValueError(f"device must be one of {', '.join(devices.CHOICES)}, not {given!r}")
    asked = devices.asked(given)
    found = devices.start(chosen(asked, agent, env, seeds, gpus=devices.count()))
    if given != "auto":
        devices.check(given)
    return found
