"""The compiler's options for a run's programs, by kind of device. Does not import JAX unless it is asked for options.

On a GPU the options decide the bits too: operations whose order of addition is left to chance are replaced by ordered
ones, and no algorithm is chosen by measuring, which would choose another one in the next process. So a resumed run
equals an uninterrupted one on the same kind of GPU. The price: a scatter that adds floats, or may write one place
twice, sorts its indices first, and matrix products have the compiler's own choice of tiles.
"""

from __future__ import annotations

import os
from typing import Any

COMPILER = {"xla_cpu_experimental_ynn_fusion_type": ""}
"""On a CPU, use XLA's own calls for matrix products: at the size of these agents' products (256 rows through 256 units)
they are a fifth faster with two threads than the library into which XLA would fuse them."""
ONCE = {"xla_backend_optimization_level": 0}
"""On a CPU, options for programs that run once: they compile in a third of the time. A GPU's assembler dies of it."""
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
GPU = {
    "xla_gpu_exclude_nondeterministic_ops": True,
    "xla_gpu_enable_scatter_determinism_expander": True,  # else such a scatter is a loop over its indices, one by one
    # Choosing by measuring is nearly all of PPO's 105 s of compiling; without it, 19 s, and 5 s on 16 cores.
    "xla_gpu_autotune_level": 0,
    "xla_gpu_force_compilation_parallelism": CORES,  # XLA itself would use as many as NPROC says, which is one
}
"""On a GPU, options for every program."""
OPTIONS = {
    "cpu": {"init": ONCE, "advance": COMPILER},
    "gpu": dict.fromkeys(("init", "advance", "evaluate", "behaviour"), GPU),
}
"""Kind of device -> program of a run -> its options."""


def flag(name: str, value: Any) -> str:
    """An option as XLA_FLAGS has it."""
    return f"--{name}={str(value).lower()}"


def options(program: str, device: str | None = None) -> dict[str, Any] | None:
    """The compiler's options for a program of a run on a kind of device (default: that of this process).

    Another value in XLA_FLAGS, which the user has set, is not overridden. Ours, which `device.start` puts there, are
    given all the same: XLA does not read the variable again if JAX had started before.
    """
    import jax

    flags = os.environ.get("XLA_FLAGS", "")
    chosen = OPTIONS.get(device or jax.default_backend(), {}).get(program, {})
    told = {name for name, value in chosen.items() if f"--{name}" in flags and flag(name, value) not in flags.split()}
    return {name: value for name, value in chosen.items() if name not in told} or None
