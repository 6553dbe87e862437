"""CDE, conservative density estimation: OptiDICE whose ratios are bounded on actions that the data does not hold.

Source: Cen et al., ICLR 2024, arXiv 2401.08819, and its official code czp16/cde-offline-rl, cde.py (where they part:
docs/methods/cde.md). To OptiDICE it adds two terms and a weight:
    the proposal    ratios are to zeta d^D + (1 - zeta) mu, where mu has the data's states and other actions than the
                    data's. In place of log pi_D the policy's loss has zeta log pi_D (a constant left out)
    the limit       E's loss becomes zeta mse + (1 - zeta) mean relu(E(s, a_o) - eta_E - alpha f'(epsilon))^2 over
                    actions a_o ~ mu: where it is 0, ratios outside the data are at most epsilon. Of real actions
                    `others` are drawn for each row; of choices all others than the data's are taken
    the weight      the policy's loss counts rows of successful episodes alone (appendix of the paper)
With zeta = 1 and `successes_only` off it is OptiDICE, bit for bit.

Deviation: real actions a_o are drawn once and those too near are left out of the mean; the code draws up to ten times.
Shapes: B rows of a batch, N actions a_o a row, O observation and A action components.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Array, Dataset, Key, hyper
from prospect_rl.agents.continuous import Figures
from prospect_rl.agents.offline.base import ends_of, spread
from prospect_rl.agents.offline.cde.actions import Choices, Looked, Real
from prospect_rl.agents.offline.cde.divergence import slope
from prospect_rl.agents.offline.cde.optidice import OptiDICE, Rows, Values, stop


@dataclass(frozen=True, kw_only=True)
class CDE(OptiDICE):
    """Conservative density estimation for data with rare rewards."""

    zeta: float = hyper(0.9, above=0, most=1)
    """Share of the data's actions in the proposal distribution (zeta in the paper)."""
    epsilon: float = hyper(0.3, above=0)
    """Largest density ratio that is allowed on actions outside the data (epsilon in the paper)."""
    others: int = hyper(5, least=1)
    """Number of real-valued actions outside the data that are drawn for each transition (N)."""
    nearest: float = hyper(0.1, least=0, most=1)
    """Distance from which on a real-valued action counts as outside the data (or the mean deviation of pi_D, where that
    is less)."""
    rejection: Literal["any", "each"] = "any"
    """When an action is outside the data: with `any` component that far away (the paper), or only with `each` of them
    (the official code)."""
    mixing: Literal["geometric", "arithmetic"] = "geometric"
    """How the policy's loss mixes pi_D with uniform actions: as logarithms (`geometric`, the official code), or as
    densities (`arithmetic`, the paper)."""
    successes_only: bool = True
    """Whether only episodes whose last row is a success count in the policy's loss (all, where they hold fewer than 10
    rows)."""
    success_above: float | None = hyper(None, later=True)
    """Reward above which the last row of an episode is a success; none means above the least reward of the data."""

    def weights(self, dataset: Dataset) -> np.ndarray:
        """1 for the rows [M] of episodes whose last row counts as success, else 0."""
        if not self.successes_only:
            return super().weights(dataset)
        reward = np.asarray(dataset.rows["reward"])
        above = reward.min() if self.success_above is None else self.success_above
        success = reward[ends_of(dataset)] > above
        if success.all():
            warnings.warn(f"every episode counts as success: its last reward is above {above:g}", stacklevel=2)
        return spread(dataset, success).astype(np.float32)

    def log_proposal(self, looked: Looked) -> Array:
        """The mean [B, J] of pi_D and uniform actions."""
        if self.zeta == 1:
            return looked.log_data
        if self.mixing == "geometric":
            return self.zeta * looked.log_data + (1 - self.zeta) * looked.log_uniform
        shares = np.log([self.zeta, 1 - self.zeta])
        uniform = looked.log_uniform - self.actions.log_volume
        return jnp.logaddexp(shares[0] + looked.log_data, shares[1] + uniform)

    def edges(self, values: Values, batch: Rows, key: Key) -> tuple[Array, tuple[Array, Array] | None]:
        """(E(s, a) [B], (E of other actions [...], whether each is outside the data [...])), in one pass."""
        if self.zeta == 1:  # a term of weight 0 would still change how XLA fuses the sums, and so the last bits
            return super().edges(values, batch, key)
        actions = self.actions
        if isinstance(actions, Choices):
            edges, own = actions.edges(values.e, batch.obs), actions.one_hot(batch.action)
            return jnp.sum(edges * own, axis=-1), (edges, own == 0)
        drawn, counts = self.outside(actions, values, batch, key)
        together = jnp.concatenate([batch.action[None], drawn])
        edges = actions.edge(values.e, jnp.broadcast_to(batch.obs, (len(together), *batch.obs.shape)), together)
        return edges[0], (edges[1:], counts)

    def outside(self, actions: Real, values: Values, batch: Rows, key: Key) -> tuple[Array, Array]:
        """(real actions [N, B, A] drawn uniformly, whether each is outside the data [N, B])."""
        own, reach = batch.action, jnp.zeros_like(batch.action)
        if self.extraction == "projection":
            reach = stop(jnp.minimum(actions.deviation(values.behaviour, batch.obs), self.nearest))
        shape = (self.others, *own.shape)
        if self.rejection == "any":
            drawn = jax.random.uniform(key, shape, minval=-1, maxval=1)
            return drawn, jnp.any(jnp.abs(drawn - own) >= reach, axis=-1)
        # uniform on what is left of [-1, 1] without (a - reach, a + reach)
        low, high = jnp.maximum(own - reach, -1), jnp.minimum(own + reach, 1)
        drawn = -1 + jax.random.uniform(key, shape) * (2 - (high - low))
        return jnp.where(drawn < low, drawn, drawn + (high - low)), jnp.ones(shape[:-1], bool)

    def edge_loss(
        self, values: Values, advantage: Array, edge: Array, outside: tuple[Array, Array] | None
    ) -> tuple[Array, Figures]:
        """OptiDICE's, and the limit outside the data: (loss [], figures)."""
        inside, figures = super().edge_loss(values, advantage, edge, outside)
        if outside is None:
            return inside, figures
        edges, counts = outside
        excess = edges - stop(values.eta_e) - self.alpha * slope(self.epsilon)
        number = jnp.maximum(jnp.sum(counts), 1)
        beyond = jnp.sum(jnp.where(counts, jax.nn.relu(excess) ** 2, 0)) / number
        above = jnp.sum(counts & (excess > 0)) / number
        return self.zeta * inside + (1 - self.zeta) * beyond, figures | {"learn/outside_above": above}
