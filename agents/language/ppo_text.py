"""PPO on whole texts: GRPO's episodes and decoder, but a value of each prefix says which tokens earned the reward.

Source: Ziegler et al. 2019 (arXiv 1909.08593), sec. 2.2 and 2.3, with the settings of Cao et al. 2024 (arXiv
2401.07382) and of the library that their code changes.
    r_t = rewards(...)_t - c (log pi(a_t | s_t) - log pi_0(a_t | s_t))      <- THE HOOK: subclasses override `rewards`
    A   = GAE(r, V) over the steps that were the agent's own, the last of them terminal;  R = A + V
    `epochs` passes in minibatches, Adam on GRPO's loss with A standardised
        + value_weight mean max((V - R)^2, (V within clip_value of its old value - R)^2)
    c  <- c (1 + clip(D / target - 1, -.2, .2) B / horizon),   D the mean over texts of sum_t log pi / pi_0
pi_0 is the policy after the cold start, frozen; the value is learned in the cold start too, for advantages of a value
that knows nothing say only how far a token is from the end. The environment's reward is paid with the last own step,
whatever is spoken after it. Shapes: B episodes, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, DefaultRun, Episodes, Key, Tree, hyper
from prospect_rl.agents.language import grpo_data
from prospect_rl.agents.language.grpo import GRPO
from prospect_rl.agents.ops.minibatches import Figures


@struct.dataclass
class State(grpo_data.State):
    """GRPO's state, and how much is paid for staying near the start."""

    weight: Array
    """[] weight of the divergence from the policy after the cold start (c)."""


@struct.dataclass
class Rows(grpo_data.Rows):
    """GRPO's rows, with what the value's loss and the divergence need."""

    value: Array
    """Value of each step by the policy that played."""
    away: Array
    """How much more likely each own action was than under the policy after the cold start: a log ratio."""


@dataclass(frozen=True, kw_only=True)
class TextPPO(GRPO):
    """PPO with a value of each prefix of a text. A subclass with other rewards overrides `rewards` (and `begin`)."""

    default_run = DefaultRun("text/sort", 150_000)
    valued: ClassVar[bool] = True

    prompts: int = hyper(64, least=1)
    """Number of different starts (problems) in an iteration."""
    group: int = hyper(1, least=1)
    """Number of episodes from each start."""
    epochs: int = hyper(4, least=1)
    """Number of passes over the episodes of an iteration."""
    minibatches: int = hyper(1, least=1)
    """Number of gradient steps in a pass, each on its own part of the episodes."""
    clip_high: float = hyper(0.2, least=0)
    """How far above 1 the ratio of new to old probability may go before its gradient stops."""
    kl: float = hyper(0.2, least=0)
    """First weight of the divergence from the policy after the cold start, which is taken off the rewards; it adapts
    to the divergence found. 0 leaves it out."""
    kl_target: float = hyper(6.0, above=0)
    """Divergence from the policy after the cold start, in nats a text, at which its weight stays as it is."""
    kl_horizon: float = hyper(10_000.0, above=0)
    """Number of texts in which that weight may change by a fifth."""
    gamma: float = hyper(1.0, least=0, most=1)
    """Discount factor of future rewards, for each step."""
    lam: float = hyper(0.95, least=0, most=1)
    """Lambda of generalised advantage estimation: 0 relies on predicted values, 1 on observed returns."""
    clip_value: float = hyper(0.2, above=0)
    """Largest change of a value in an iteration; the larger error counts, with and without this bound."""
    value_weight: float = hyper(0.05, least=0)
    """Weight of the value's squared error in the loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm_adv_by_std:
            raise ValueError("norm_adv_by_std must be False: advantages are not compared within groups")

    # --- for subclasses to override ------------------------------------------------------------------

    def rewards(self, state: State, data: Episodes, key: Key) -> tuple[Array, Tree, Figures]:
        """(rewards [B, T] of the steps, the new `state.variant`, metrics). Here the return, at the last own step."""
        return jnp.where(last_of(self.own(data)), data.returns, 0.0), state.variant, {}

    # --- learning ------------------------------------------------------------------------------------

    def init(self, key: Key) -> State:
        """A network with random weights."""
        return State(**vars(super().init(key)), weight=jnp.float32(self.kl))

    def own(self, data: Episodes) -> Array:
        """Bool [B, T], the steps whose action was the agent's own and counted."""
        assert data.steps is not None
        return (data.steps.info["mine"] if self.text else data.steps.live)[:, :, 0].T

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, Figures]:
        """Passes over the episodes, then the next weight of the divergence from the cold start, which has none."""
        found: tuple[Any, Figures] = super().learn(state, data, key, phase)
        after, figures = found
        if self.cold_start and phase == 0:
            return after, figures | {"start/away": jnp.zeros(()), "start/weight": state.weight}
        weight = adapted(
            state.weight, figures["start/away"], len(data.returns), target=self.kl_target, horizon=self.kl_horizon
        )
        return replace(after, weight=weight), figures | {"start/weight": state.weight}

    def rows(self, state: State, data: Episodes, reward: Array) -> Rows:
        """The steps of all episodes with their standardised advantages, values, and the values' targets."""
        rows = grpo_data.rows_of(data, data.returns, text=self.text)
        mine = self.own(data)
        value, away = self.outputs(state.params, rows.obs, rows.first)[1], jnp.zeros(mine.shape)
        if self.kl:
            start = self.policy(state.cold, self.outputs(state.cold, rows.obs, rows.first)[0])
            away = jnp.where(mine, rows.log_prob - start.log_prob(rows.choice), 0.0)
        paid = jnp.where(mine, reward - state.weight * away, 0.0)
        mean = lambda x: self.mean(x, rows)  # noqa: E731
        advantage, target = grpo_data.credits(paid, value, last_of(mine), mean, gamma=self.gamma, lam=self.lam)
        return Rows(**vars(rows) | {"advantage": advantage, "target": target}, value=value, away=away)

    def counted(self, state: State, data: Episodes, reward: Array) -> tuple[State, Figures]:
        """(state after one more iteration, metrics of its groups) with all that an episode was paid as its reward."""
        found: tuple[Any, Figures] = super().counted(state, data, self.grouped(jnp.sum(reward, axis=1, keepdims=True)))
        return found

    def loss(self, params: Tree, cold: Tree, rows: Rows) -> tuple[Array, Figures]:
        """(loss [], metrics) of a minibatch."""
        loss, figures = super().loss(params, cold, rows)
        return loss, figures | {"start/away": jnp.mean(jnp.sum(rows.away, axis=1))}

    def loss_of_values(self, values: Array, rows: Rows) -> Array:
        """The squared error of the values, the larger one of two where they have moved far."""
        near = rows.value + jnp.clip(values - rows.value, -self.clip_value, self.clip_value)
        error = jnp.maximum((values - rows.target) ** 2, (near - rows.target) ** 2)
        return self.value_weight * self.mean(error, rows)

    def loss_of_distance(self, cold: Tree, change: Array, rows: Rows) -> float:
        """Nothing: the divergence from the cold start is in the rewards."""
        return 0.0


def last_of(mine: Array) -> Array:
    """Bool [B, T], the last of each episode's own steps `mine` [B, T]."""
    to_come = jnp.flip(jnp.cumsum(jnp.flip(mine, 1), axis=1), 1)
    return mine & (to_come == 1)


def adapted(weight: Array, away: Array, texts: int, *, target: float, horizon: float) -> Array:
    """The next weight [] of a divergence `away` [] that was found in so many texts (Ziegler et al. 2019, sec. 2.2)."""
    return weight * (1 + jnp.clip(away / target - 1, -0.2, 0.2) * texts / horizon)
