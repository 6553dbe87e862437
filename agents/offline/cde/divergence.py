"""The f-divergence of OptiDICE and CDE ("soft chi-square"), with the functions of its dual problem.

    f(x) = x (ln x - 1) + 1 below 1, (x - 1)^2 / 2 from 1 on;   f(1) = f'(1) = 0, both pieces and their first two
    derivatives meet there.    R = (f')^-1 and G = f(R) are functions of the advantage over alpha.

Source: Lee et al. 2021, arXiv 2106.10783 (OptiDICE); official code of CDE, czp16/cde-offline-rl, cde.py,
`get_f_div_fn`. All functions keep the shape of x.
"""

from __future__ import annotations

import math

import jax.numpy as jnp

from prospect_rl.agents.api import Array


def ratio(x: Array) -> Array:
    """The density ratio R(x) for an advantage of alpha x: e^x below 0, x + 1 from there on."""
    return jnp.where(x < 0, jnp.exp(jnp.minimum(x, 0)), x + 1)


def cost(x: Array) -> Array:
    """G(x) = f(R(x)): (x - 1) e^x + 1 below 0, x^2 / 2 from there on."""
    below = jnp.minimum(x, 0)
    return jnp.where(x < 0, (below - 1) * jnp.exp(below) + 1, x**2 / 2)


def log_ratio(x: Array) -> Array:
    """The logarithm of R(x), finite even where R underflows."""
    return jnp.where(x < 0, x, jnp.log1p(jnp.where(x < 0, 0, x)))


def slope(ratio: float) -> float:
    """f'(ratio), the x whose R(x) is `ratio` (above 0)."""
    return math.log(ratio) if ratio < 1 else ratio - 1
