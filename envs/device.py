"""Two ways to compute the same bits: one for a CPU, one for an accelerator.

On a CPU a loop that touches few numbers is fastest. On an accelerator every pass through a loop launches its programs
anew, which takes longer than computing everything at once. The choice is made when a program is compiled, by the device
that it is compiled for; both ways must give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from prospect_rl.envs.api import Tree


def choose(*args: Any, cpu: Callable[..., Any], accelerator: Callable[..., Any]) -> Any:
    """Return `cpu(*args)` or `accelerator(*args)`, by the device that this is compiled for."""
    return jax.lax.platform_dependent(*args, cpu=cpu, default=accelerator)


def scan(body: Callable[..., Any], carry: Tree, inputs: Tree, reverse: bool = False) -> Any:
    """Do as `jax.lax.scan` over a few inputs: on a CPU in a loop, on an accelerator as one piece of code."""
    loop = partial(jax.lax.scan, body, reverse=reverse)

    def straight(carry: Tree, inputs: Tree) -> Any:
        # XLA would otherwise compute all of it anew for each number that is computed from it
        return jax.lax.optimization_barrier(loop(carry, inputs, unroll=True))

    return choose(carry, inputs, cpu=loop, accelerator=straight)
