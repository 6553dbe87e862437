"""SMoSE: SAC whose policy is a linear router and a few linear experts, of which one acts at a time.

Source: Vincze et al., AAAI 2025, arXiv 2412.13053; conventions and defaults of the code that its authors released
(vinczematyas/imoe_no_aux_loss; see docs/methods/smose.md). With W, mu, lambda linear maps with biases:
    z = W s,   p = softmax(z),   m = argmax p
    x ~ N(p_m mu_m s, sigma^2),   log sigma = -5 + 3.5 (tanh(p_m lambda_m s) + 1),   a = tanh(x)
    critics and targets as SAC; at every second update twice, on the same batch:
        actor:  Adam on mean (alpha log pi - min_i Q_i) + w_aux L(z, z + e),  where z + e routes, e ~ N(0, 1 / M^2)
        alpha:  Adam on -mean alpha (log pi + target entropy),  of new actions, without e
e is drawn for the loss of the actor alone. p_m is the only path from the return to the router.

Shapes: B rows of a batch, D observation and A action components, M experts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, DefaultRun, Discrete, Key, Spec, Tree, hyper
from prospect_rl.agents.continuous import Figures
from prospect_rl.agents.online.off_policy import Behaviour, OffPolicy
from prospect_rl.agents.online.sac import SACUpdates, drawn
from prospect_rl.agents.online.smose import balance
from prospect_rl.agents.online.smose.coefficients import Facts, experts, written
from prospect_rl.agents.online.smose.network import MixtureActor, router_logits
from prospect_rl.agents.online.smose.policy import Law, law_of
from prospect_rl.agents.ops.replay import Experience
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.agents.ship.to_numpy import feed_forward

PRINTED = -1.0
"""The scale of a behaviour's noise that stands for the law as it is printed."""


@dataclass(frozen=True, kw_only=True)
class Smose(SACUpdates, OffPolicy):
    """A sparse mixture of linear experts, trained as SAC. One expert is a linear policy."""

    default_run = DefaultRun("mujoco/half_cheetah", 30_000)

    experts: int = hyper(8, least=1)
    """Number of linear experts (M); with 1 there is nothing to route, and no auxiliary loss."""
    w_aux: float = hyper(0.1, least=0, traced=True)
    """Weight of the auxiliary loss: .1 in the paper, .01 in the released settings."""
    aux: Literal["importance_load", "z", "z_official", "none"] = "importance_load"
    """Auxiliary loss that keeps experts in use: variation of importance and load, the squared logsumexp of the logits
    (`z`), that without the logarithm (`z_official`), or none."""
    router_noise: Literal["batch", "sample"] = "batch"
    """Noise on the router's logits in the loss of the actor: one vector for the whole batch, as in the released code,
    or one for each row."""
    gate: bool = True
    """Whether the winner's probability scales what its expert gives. Without it no return reaches the router: a
    negative control."""
    critic_learning_rate: float = hyper(1e-3, above=0, traced=True)
    """Learning rate of the Adam optimisers of the critics and of the temperature."""
    actor_delay: int = hyper(2, least=1)
    """Number of updates of the critics between two rounds of as many updates of the actor, all on one batch; each is
    followed by one of the temperature, on new actions. At 1 the temperature is updated on the actions of the actor's
    loss."""
    learning_starts: int = hyper(10_000, least=0)
    """Number of environment steps with uniformly random actions before learning begins."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.experts > self.batch_size:
            raise ValueError(f"experts must be at most the {self.batch_size} rows of a batch, not {self.experts}")

    def misfit(self, spec: Spec) -> str | None:
        """As SAC; PPO has the same router for discrete actions."""
        if isinstance(spec.action, Discrete):
            return "its actions are discrete: smose_ppo has the same experts for these"
        return super().misfit(spec)

    @property
    def noise(self) -> float:
        """Scale 1: exploration samples from the policy itself."""
        return 1.0

    @property
    def actor_network(self) -> MixtureActor:
        """Router and experts."""
        return MixtureActor(self.experts, self.sizes[1], self.gate)

    def policy(self, actor: Tree, obs: Array, noise: Array, key: Key) -> Array:
        """As SAC; below 0, `noise` asks for the law as it is printed, clipped."""
        printed: Any = MixtureActor(self.experts, self.sizes[1], gate=False).apply(actor, obs)
        return jnp.where(noise < 0, jnp.clip(printed[0], -1, 1), super().policy(actor, obs, noise, key))

    def readings(self, behaviour: Behaviour) -> dict[str, Behaviour]:
        """`linear`: the law as it is printed, without the gate and the tanh of training."""
        return {"linear": replace(behaviour, noise=jnp.full_like(behaviour.noise, PRINTED))}

    def actor_loss(
        self, actor: Tree, critics: Tree, alpha: Array, batch: Experience, key: Key
    ) -> tuple[Array, tuple[Array, Figures]]:
        """SAC's loss under the router's noise, and the auxiliary loss: (loss [], (log pi [B], metrics))."""
        k_action, k_router = jax.random.split(key)
        logits = router_logits(actor["params"]["router"], batch.obs)
        rows = 1 if self.router_noise == "batch" else len(batch.obs)
        noise = jax.random.normal(k_router, (rows, self.experts)) / self.experts
        distribution: Any = self.actor_network.apply(actor, batch.obs, noise)
        loss, (log_prob, figures) = self.soft_loss(critics, alpha, batch.obs, *drawn(*distribution, key=k_action))
        aux = self.auxiliary(logits, logits + noise)
        return loss + self.w_aux * aux, (log_prob, figures | {"learn/loss_aux": aux} | balance.usage(logits))

    def auxiliary(self, logits: Array, noisy: Array) -> Array:
        """The auxiliary loss [] of logits [B, M]; 0 where there is nothing to balance."""
        return jnp.zeros(()) if self.aux == "none" or self.experts == 1 else balance.LOSSES[self.aux](logits, noisy)

    def alpha_loss(self, log_alpha: Array, log_prob: Array) -> Array:
        """-mean alpha (log pi + target entropy) []; the target entropy is -A."""
        return -jnp.mean(jnp.exp(log_alpha) * (log_prob - self.sizes[1]))

    # --- what it ships -------------------------------------------------------------------------------

    def law(self, behaviour: Behaviour) -> Law:
        """The policy that `exploit` gave, as a law."""
        return law_of(behaviour.actor, self.bound.action, gate=self.gate)

    def to_numpy(self, behaviour: Behaviour) -> Policy:
        """Router and experts, in the reading of the behaviour."""
        trained, arrays = bool(behaviour.noise >= 0), experts(self.law(behaviour))
        return feed_forward(self, [], last="tanh" if trained else "none", arrays=arrays, gate=self.gate and trained)

    def to_json(self, behaviour: Behaviour) -> Facts:
        """Router and experts by the names of features and actions."""
        return written(self.law(behaviour), self.bound, type(self).__name__)

    def notices(self, row: Mapping[str, Any]) -> list[str]:
        """A router that is as good as dead."""
        if self.experts > 1 and row.get("learn/experts_used") == 1:
            return ["one expert alone takes 99 % of the rows: the router chooses nothing (w_aux, or fewer experts)"]
        return []
