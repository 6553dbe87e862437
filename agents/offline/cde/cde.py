"""CDE, conservative density estimation: OptiDICE with bounded density ratios on actions outside the data.

Source: Cen et al., ICLR 2024, arXiv 2401.08819, and its official code czp16/cde-offline-rl, cde.py (their differences:
docs/methods/cde.md). CDE adds two terms and a weight to OptiDICE:
    the proposal    ratios are to zeta d^D + (1 - zeta) mu, where mu has the data's states and other actions than the
                    data's. In place of log pi_D the policy's loss has zeta log pi_D (without a constant)
    the bound       E's loss becomes zeta mse + (1 - zeta) mean relu(E(s, a_o) - eta_E - alpha f'(epsilon))^2 over
                    actions a_o ~ mu: where it is 0, ratios outside the data are at most epsilon. Of real actions
                    `others` are sampled for each row; of discrete actions all but the data's are used
    the weight      the policy's loss uses only rows of successful episodes (appendix of the paper)
With zeta = 1 and `successes_only` off it is OptiDICE, bit for bit.

Deviation: real actions a_o are sampled once and those too close to the data are left out of the mean; the official code
samples up to ten times.
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
from prospect_rl.agents.offline.base import last_rows, per_row
from prospect_rl.agents.offline.cde.actions import DiscreteActions, PolicyActions, RealActions
from prospect_rl.agents.offline.cde.divergence import slope
from prospect_rl.agents.offline.cde.optidice import OptiDICE, Rows, Values, stop


@dataclass(frozen=True, kw_only=True)
class CDE(OptiDICE):
    """Conservative density estimation for data with sparse rewards."""

    zeta: float = hyper(0.9, above=0, most=1)
    """Share of the data's actions in the proposal distribution (zeta in the paper, 0-1)."""
    epsilon: float = hyper(0.3, above=0)
    """Largest density ratio that is allowed on actions outside the data (epsilon in the paper)."""
    others: int = hyper(5, least=1)
    """Number of real-valued actions outside the data that are sampled for each transition (N)."""
    nearest: float = hyper(0.1, least=0, most=1)
    """Least distance from the data's action at which a real-valued action counts as outside the data (or the mean
    deviation of pi_D, where that is smaller)."""
    rejection: Literal["any", "each"] = "any"
    """When an action is outside the data: if `any` component is that far away (the paper), or only if `each` of them is
    (the official code)."""
    mixing: Literal["geometric", "arithmetic"] = "geometric"
    """How the policy's loss mixes pi_D with uniform actions: as logarithms (`geometric`, the official code), or as
    densities (`arithmetic`, the paper)."""
    successes_only: bool = True
    """Whether the policy's loss uses only episodes whose last row is a success (all episodes, if these have fewer than
    10 rows)."""
    success_above: float | None = hyper(None, later=True)
    """Reward above which the last row of an episode is a success; none means above the data's lowest reward."""

    def weights(self, dataset: Dataset) -> np.ndarray:
        """1 for the rows [M] of episodes whose last row is a success, else 0."""
        if not self.successes_only:
            return super().weights(dataset)
        reward = np.asarray(dataset.rows["reward"])
        above = reward.min() if self.success_above is None else self.success_above
        success = reward[last_rows(dataset)] > above
        if success.all():
            warnings.warn(f"every episode counts as success: its last reward is above {above:g}", stacklevel=2)
        return per_row(dataset, success).astype(np.float32)

    def log_proposal(self, samples: PolicyActions) -> Array:
        """The log density [B, J] of the mixture of pi_D and uniform actions."""
        if self.zeta == 1:
            return samples.log_data
        if self.mixing == "geometric":
            return self.zeta * samples.log_data + (1 - self.zeta) * samples.log_uniform
        shares = np.log([self.zeta, 1 - self.zeta])
        uniform = samples.log_uniform - self.actions.log_volume
        return jnp.logaddexp(shares[0] + samples.log_data, shares[1] + uniform)

    def e_values(self, values: Values, batch: Rows, key: Key) -> tuple[Array, tuple[Array, Array] | None]:
        """(E(s, a) [B], (E of other actions [...], whether each is outside the data [...])), in one pass."""
        if self.zeta == 1:  # a term with weight 0 would change how XLA fuses sums, hence the last bits
            return super().e_values(values, batch, key)
        actions = self.actions
        if isinstance(actions, DiscreteActions):
            e_values, own = actions.e_values(values.e, batch.obs), actions.one_hot(batch.action)
            return jnp.sum(e_values * own, axis=-1), (e_values, own == 0)
        drawn, counts = self.outside(actions, values, batch, key)
        together = jnp.concatenate([batch.action[None], drawn])
        e_values = actions.e_value(values.e, jnp.broadcast_to(batch.obs, (len(together), *batch.obs.shape)), together)
        return e_values[0], (e_values[1:], counts)

    def outside(self, actions: RealActions, values: Values, batch: Rows, key: Key) -> tuple[Array, Array]:
        """(real actions [N, B, A] sampled uniformly, whether each is outside the data [N, B])."""
        own, reach = batch.action, jnp.zeros_like(batch.action)
        if self.extraction == "projection":
            reach = stop(jnp.minimum(actions.deviation(values.behaviour, batch.obs), self.nearest))
        shape = (self.others, *own.shape)
        if self.rejection == "any":
            drawn = jax.random.uniform(key, shape, minval=-1, maxval=1)
            return drawn, jnp.any(jnp.abs(drawn - own) >= reach, axis=-1)
        # uniform on [-1, 1] without (a - reach, a + reach)
        low, high = jnp.maximum(own - reach, -1), jnp.minimum(own + reach, 1)
        drawn = -1 + jax.random.uniform(key, shape) * (2 - (high - low))
        return jnp.where(drawn < low, drawn, drawn + (high - low)), jnp.ones(shape[:-1], bool)

    def e_loss(
        self, values: Values, advantage: Array, e_value: Array, outside: tuple[Array, Array] | None
    ) -> tuple[Array, Figures]:
        """OptiDICE's loss of E plus the bound outside the data: (loss [], metrics)."""
        inside, figures = super().e_loss(values, advantage, e_value, outside)
        if outside is None:
            return inside, figures
        e_values, counts = outside
        excess = e_values - stop(values.eta_e) - self.alpha * slope(self.epsilon)
        number = jnp.maximum(jnp.sum(counts), 1)
        beyond = jnp.sum(jnp.where(counts, jax.nn.relu(excess) ** 2, 0)) / number
        above = jnp.sum(counts & (excess > 0)) / number
        return self.zeta * inside + (1 - self.zeta) * beyond, figures | {"learn/outside_above": above}
