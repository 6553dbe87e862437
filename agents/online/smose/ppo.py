"""SMoSE's router and linear experts as the policy of PPO, for discrete actions; not in the paper.

    z = W f,   p = softmax(z),   m = argmax p,   logits = p_m (mu_m f)
f are the features of an observation without anything learned: numbers as they are, and category codes one-hot, images
too. Everything else is PPO, with the load and importance losses without noise.

Shapes: B rows of a minibatch, D features, M experts, A choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Box, DefaultRun, Spec, Tree, hyper
from prospect_rl.agents.nn.actor_critic import ActorCritic
from prospect_rl.agents.nn.encoder import Encoder
from prospect_rl.agents.nn.networks import ACTIVATIONS
from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.online.ppo_data import Behaviour, Rows
from prospect_rl.agents.online.smose import balance
from prospect_rl.agents.online.smose.coefficients import Facts, experts, parts_of, written
from prospect_rl.agents.online.smose.network import MixtureHead, router_logits
from prospect_rl.agents.online.smose.policy import Law, law_of
from prospect_rl.agents.ops.minibatches import Figures
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.agents.ship.to_numpy import feed_forward


class MixtureActorCritic(ActorCritic):
    """PPO's network with the features of codes one-hot, and router and experts in place of the policy."""

    experts: int = 8
    """Number of experts (M)."""

    def make_encoder(self) -> nn.Module:
        """Features without an embedding."""
        return Encoder(self.space, self.encoding, self.activation, embed=False)

    def make_policy(self) -> nn.Module:
        """Router and experts."""
        return MixtureHead(self.experts, self.outputs)


@dataclass(frozen=True, kw_only=True)
class SmosePPO(PPO):
    """PPO whose policy is a sparse mixture of linear experts, for discrete actions."""

    default_run = DefaultRun("minigrid/Empty-5x5-v0", 100_352)

    experts: int = hyper(8, least=1)
    """Number of linear experts (M); with 1 there is nothing to route, and no auxiliary loss."""
    w_aux: float = hyper(0.01, least=0, traced=True)
    """Weight of the auxiliary loss that keeps experts in use (variation of importance and load, without noise)."""
    entropy: float = hyper(0.01, least=0, traced=True)
    """Weight of the entropy bonus in the loss, which keeps the policy exploring."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recurrent or self.normalise_obs:
            field = "recurrent" if self.recurrent else "normalise_obs"
            raise ValueError(f"{field} is not for SmosePPO: its law is one of the observation as it is")

    def misfit(self, spec: Spec) -> str | None:
        """Needs discrete actions; SAC has the same router for real ones."""
        if isinstance(spec.action, Box):
            return "its actions are real numbers: smose has the same experts for these"
        return super().misfit(spec)

    @property
    def network(self) -> MixtureActorCritic:
        """The network of policy and value."""
        action: Any = self.bound.action
        return MixtureActorCritic(
            self.bound.obs, action.n, False, self.encoding, self.hidden, 0, ACTIVATIONS[self.activation],
            experts=self.experts,
        )  # fmt: skip

    def loss(self, params: Tree, memory: Tree, rows: Rows) -> tuple[Array, Figures]:
        """PPO's loss and the auxiliary loss."""
        loss, figures = super().loss(params, memory, rows)
        features: Any = jax.vmap(lambda obs: self.network.apply(params, obs, method="encode"))(rows.obs)
        logits = router_logits(params["params"]["policy"]["router"], features)
        aux = jnp.zeros(()) if self.experts == 1 else balance.importance_load(logits, logits)
        return loss + self.w_aux * aux, figures | {"learn/loss_aux": aux} | balance.usage(logits)

    # --- what it ships -------------------------------------------------------------------------------

    def law(self, behaviour: Behaviour) -> Law:
        """The policy that `exploit` gave, as a law; its action is the likeliest one."""
        return law_of(behaviour.params, self.bound.action)

    def to_numpy(self, behaviour: Behaviour) -> Policy:
        """Features, router and experts."""
        return feed_forward(
            self, [], last="none", parts=parts_of(self.bound), arrays=experts(self.law(behaviour)), gate=True,
            draws=not bool(behaviour.greedy),
        )  # fmt: skip

    def to_json(self, behaviour: Behaviour) -> Facts:
        """Router and experts by the names of features and choices."""
        return written(self.law(behaviour), self.bound, type(self).__name__)
