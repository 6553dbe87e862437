"""MEX-MF: TD3 whose critics are optimistic: their loss also favours high values of the policy's actions.

Source: Liu et al., NeurIPS 2023 ("Maximize to Explore"), arXiv 2305.18258, as in its official code
(agentification/MEX, MEX_MF/IO.py; see docs/methods/mex.md).
    c = pi(s'),  b = pi(s)  (no gradient),  u ~ uniform in [-1, 1]^A
    D_i = Q_i(s, b) - logsumexp{Q_i(s, a), Q_i(s, c), Q_i(s, u)}
    critics: Adam on TD3's loss - eta mean (D_1 + D_2)
    without baseline: D_i = Q_i(s, a)
Everything else is TD3; eta = 0 leaves the term out and is TD3 bit for bit.

Shapes: B rows of a batch, A action components.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Tree, hyper, nought
from prospect_rl.agents.continuous import Figures
from prospect_rl.agents.nn.critics import squared_error
from prospect_rl.agents.online.td3 import TD3
from prospect_rl.agents.ops.replay import Experience


@dataclass(frozen=True, kw_only=True)
class MEX(TD3):
    """Maximise to explore, model-free: TD3 with an optimistic value term in the loss of its critics."""

    eta: float = hyper(0.005, least=0, traced=True)
    """Weight of the optimistic value term relative to the critics' squared error (eta in the paper)."""
    baseline: bool = True
    """Whether the values of other actions are subtracted as a baseline, so that adding a constant to Q gains
    nothing."""
    official_quirks: bool = False
    """Whether to repeat a mistake of the official code: critic 2 is compared with critic 1's value of the data's
    action."""

    def critic_loss(
        self, critics: Tree, actor: Tree, batch: Experience, target: Array, key: Key
    ) -> tuple[Array, Figures]:
        """TD3's loss minus eta times the value term: (loss [], metrics)."""
        if nought(self.eta):  # a term with weight 0 would change how XLA fuses sums, hence the last bits
            return super().critic_loss(critics, actor, batch, target, key)
        data = self.values(critics, batch.obs, batch.action)
        policy = data
        term = jnp.sum(jnp.mean(data, axis=1))
        if self.baseline:
            count = len(batch.obs)
            # one pass over the states repeated three times: fewer and larger matrix products than three passes
            actions = jnp.concatenate([
                self.greedy(actor, jnp.concatenate([batch.obs, batch.next_obs])),
                jax.random.uniform(key, batch.action.shape, minval=-1, maxval=1),
            ])  # fmt: skip
            values = self.values(critics, jnp.tile(batch.obs, (3, 1)), jax.lax.stop_gradient(actions))
            policy, following, drawn = jnp.split(values, (count, 2 * count), axis=1)
            term = value_term(data, policy, following, drawn, official_quirks=self.official_quirks)
        loss = squared_error(data, target) - self.eta * term
        figures = {"loss_critic": loss, "value": jnp.mean(data), "value_term": term, "gap": jnp.mean(policy - data)}
        return loss, {f"learn/{name}": x for name, x in figures.items()}


def value_term(data: Array, policy: Array, following: Array, drawn: Array, *, official_quirks: bool = False) -> Array:
    """Mean D_1 + D_2 [], from Q_i(s, .) [2, B] at the data's action, at pi(s), at pi(s') and at a random action."""
    if official_quirks:
        data = jnp.stack([data[0], data[0]])
    others = jax.nn.logsumexp(jnp.stack([data, following, drawn]), axis=0)
    return jnp.sum(jnp.mean(policy - others, axis=1))
