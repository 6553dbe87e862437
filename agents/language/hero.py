"""HERO: a verifier says which answers count, a reward model orders those that the verifier cannot tell apart.

Source: "Hybrid Reinforcement: When Reward Is Sparse, It's Better to Be Dense" (2025, arXiv 2510.07242), eq. 3 to 5. No
code has been published; what the paper leaves open is a field here, and docs/methods/hero.md says what we chose.
    z      = scores of the reward model, scaled to 0 ... 1 within the group's accepted, or rejected, answers
    reward = 1 - beta + 2 beta z  if accepted,  -alpha + 2 alpha z  if rejected        (so accepted ones always win)
    weight = least + (most - least) sigmoid(steep (std of the group's scores - its running mean))
    learn from weight * reward as GRPO does
The reward model is learned in a phase of its own, between the cold start and the learning: Bradley-Terry on pairs of
the cold policy's answers to the same problem, compared by a noisy judge of `progress`; then it is frozen.
Shapes: P problems, N answers to each, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct

from prospect_rl.agents.api import Array, DefaultRun, Episodes, Key, Rollouts, Spec, Tree, hyper
from prospect_rl.agents.language.grpo import GRPO
from prospect_rl.agents.language.grpo_data import State, speaks
from prospect_rl.agents.nn.decoder import Decoder
from prospect_rl.agents.ops import groups
from prospect_rl.agents.ops.minibatches import Figures


@struct.dataclass
class Judge:
    """The reward model, and how much its scores usually spread."""

    params: Tree
    """Weights of the reward model."""
    optimiser: Tree
    """State of its Adam optimiser."""
    spread: Array
    """[] running mean of the spread of a group's scores; 0 before the first batch."""


@dataclass(frozen=True, kw_only=True)
class HERO(GRPO):
    """Hybrid rewards of a verifier and a reward model, and the rivals that use one of them or both more simply."""

    default_run = DefaultRun("text/sort", 150_000)

    reward: Literal["hero", "verifier", "rm", "mix", "gated"] = "hero"
    """What is learned from: hero; the verifier or the reward model (`rm`) alone; their weighted sum (`mix`); or the
    verifier where it tells a group's answers apart, and the reward model elsewhere (`gated`)."""
    model: Literal["learned", "proxy", "oracle"] = "learned"
    """The reward model: learned from comparisons; a proxy, the share of right tokens that also pays 1.5 for an answer
    that never ends; or the share of right tokens itself (oracle), for tests."""
    fit: int = hyper(50, least=0)
    """Number of iterations in which the reward model is learned, while the policy stays as it is."""
    alpha: float = hyper(0.05, least=0, below=1)
    """Half the width of the band of rejected answers' rewards, around 0."""
    beta: float = hyper(0.05, least=0, below=1)
    """Half the width of the band of accepted answers' rewards, around 1."""
    tied: float = hyper(0.0, least=0, most=1)
    """Place in its band (0 to 1) of an answer that is alone in its stratum, or of answers with equal scores."""
    weights: bool = True
    """Whether groups whose scores spread more than usual count more. Without effect if norm_adv_by_std."""
    least: float = hyper(0.4, above=0)
    """Smallest weight of a group."""
    most: float = hyper(3.0, above=0)
    """Largest weight of a group."""
    steep: float = hyper(6.0, least=0)
    """How steeply weights grow with the spread of a group's scores."""
    decay: float = hyper(0.9, least=0, below=1)
    """Share of the old value in the running mean of the spreads, each batch."""
    share: float = hyper(0.5, least=0, most=1)
    """Share of the verifier in `mix`; the rest is the reward model's."""
    noise: float = hyper(0.2, least=0)
    """Standard deviation of the noise that the judge of comparisons adds to the share of right tokens."""
    model_layers: int = hyper(2, least=1)
    """Number of layers of the reward model."""
    model_width: int = hyper(64, least=4)
    """Numbers in a token's vector in the reward model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha + self.beta >= 1:
            total = f"{self.alpha:g} + {self.beta:g}"
            raise ValueError(f"alpha + beta must be below 1, or rejected answers may beat accepted ones, not {total}")
        if self.least > self.most:
            raise ValueError(f"least must not be above most, not {self.least:g} and {self.most:g}")
        if self.model_width % 4:
            raise ValueError(f"model_width must be a multiple of 4, not {self.model_width}")

    def misfit(self, spec: Spec) -> str | None:
        """Needs a text task with a verifier."""
        if not speaks(spec) or not {"verified", "progress"} <= {*spec.info}:
            return "it needs a text task with a verifier (info `verified` and `progress`)"
        return super().misfit(spec)

    @property
    def learns_model(self) -> bool:
        """Whether a reward model has to be learned."""
        return self.model == "learned" and self.reward != "verifier" and self.fit > 0

    @property
    def wants(self) -> tuple[Rollouts, ...]:
        """The same groups of episodes in all phases: cold start, learning, and fitting the reward model."""
        want = super().wants
        return (want if isinstance(want, Rollouts) else want[0],) * 3

    def phase(self, state: State) -> Array:
        """0 during the cold start, then 2 while the reward model is learned, then 1."""
        fit = self.fit if self.learns_model else 0
        later = jnp.where(state.updates < self.cold + fit, 2, 1)
        return jnp.where(state.updates < self.cold, 0, later).astype(jnp.int32)

    # --- the reward model ----------------------------------------------------------------------------

    @property
    def scorer(self) -> Decoder:
        """The network of the reward model; the score of a text is the value of its last token."""
        action: Any = self.bound.action
        return Decoder(
            action.n, self.bound.horizon, self.model_layers, self.model_width, 2, 1, 3 * self.model_width, value=True
        )

    @property
    def model_optimiser(self) -> optax.GradientTransformation:
        """Adam with gradient clipping."""
        return optax.flatten(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(self.learning_rate)))

    def begin(self, key: Key) -> Judge:
        """A reward model with random weights."""
        if not self.learns_model:
            return Judge((), (), jnp.zeros(()))
        params = self.scorer.init(key, jnp.zeros(1, jnp.int32))
        return Judge(params, self.model_optimiser.init(params), jnp.zeros(()))

    def texts(self, data: Episodes) -> Array:
        """[P * N, T] all tokens that were spoken, the problems' too."""
        assert data.steps is not None
        return jnp.swapaxes(data.steps.next_obs[:, :, 0], 0, 1)

    def scores(self, judge: Judge, data: Episodes, key: Key) -> Array:
        """[P, N] the reward model's scores of the answers."""
        progress = self.grouped(data.info["progress"])
        if self.model == "oracle":
            return progress
        if self.model == "proxy":
            return progress + 1.5 * self.hacked(data) + 0.1 * jax.random.normal(key, progress.shape)
        if not self.learns_model:
            return jnp.zeros_like(progress)
        return self.grouped(self.judged(judge.params, self.texts(data))[:, None])

    def judged(self, params: Tree, texts: Array) -> Array:
        """[B] scores of texts [B, T]."""
        network: Any = self.scorer
        return jax.vmap(lambda tokens: network.apply(params, tokens)[1][-1])(texts)

    def hacked(self, data: Episodes) -> Array:
        """[P, N] 1 where an answer has not ended when its room is full, else 0: what the proxy pays for by mistake."""
        assert data.steps is not None
        info = data.steps.info
        return self.grouped((info["mine"][-1] & (data.steps.next_obs[-1] != info["expert"][-1])).astype(jnp.float32))

    def fitted(self, judge: Judge, data: Episodes, key: Key) -> tuple[Judge, Array]:
        """(the reward model after a step on pairs, its loss []): each answer against the next one of its group."""
        judged = data.info["progress"][:, 0] + self.noise * jax.random.normal(key, (self.prompts * self.group,))
        better = self.grouped(judged[:, None])
        better = (better > jnp.roll(better, 1, axis=1)).astype(jnp.float32)

        def loss(params: Tree) -> Array:
            score = self.grouped(self.judged(params, self.texts(data))[:, None])
            return jnp.mean(optax.sigmoid_binary_cross_entropy(score - jnp.roll(score, 1, axis=1), better))

        value, gradient = jax.value_and_grad(loss)(judge.params)
        change, optimiser = self.model_optimiser.update(gradient, judge.optimiser, judge.params)
        return Judge(optax.apply_updates(judge.params, change), optimiser, judge.spread), value

    # --- rewards -------------------------------------------------------------------------------------

    def rewards(self, state: State, data: Episodes, key: Key) -> tuple[Array, Judge, Figures]:
        """The rewards [P, N], the judge with its new running mean, and how good the reward model is."""
        judge: Any = state.variant
        right, scores = self.grouped(data.info["verified"]), self.scores(judge, data, key)
        spreads = groups.spread(scores)
        usual = jnp.where(judge.spread > 0, judge.spread, jnp.mean(spreads))  # the first batch has its own
        weights = groups.hero_weight(spreads, usual, least=self.least, most=self.most, steep=self.steep)
        shaped = groups.hero_shape(right, scores, alpha=self.alpha, beta=self.beta, tied=self.tied)
        scaled = groups.within(scores, jnp.ones_like(right), self.tied)
        told, verdict = groups.mixed(right), right.astype(jnp.float32)
        reward = {
            "hero": weights[:, None] * shaped if self.weights else shaped,
            "verifier": verdict,
            "rm": jnp.where(jnp.isfinite(scores), scores, jnp.min(jnp.where(jnp.isfinite(scores), scores, 0.0))),
            "mix": self.share * verdict + (1 - self.share) * scaled,
            "gated": jnp.where(told[:, None], verdict, scaled),
        }[self.reward]
        truth, progress = self.grouped(data.info["success"]), self.grouped(data.info["progress"])
        wrong = ~jnp.any(right, axis=1)
        figures = {
            "rm/auroc": groups.auroc(truth, scores),
            "rm/rank": groups.over(groups.rank_correlation(scores, progress), wrong),
            "rm/hacked": jnp.mean(self.hacked(data)),
            "rm/dropped": jnp.sum(~jnp.isfinite(scores)).astype(jnp.float32),
            "groups/weight": self._weighting(shaped, weights),
            "groups/verified_wrong": jnp.mean(wrong), "groups/verified_right": jnp.mean(jnp.all(right, axis=1)),
        }  # fmt: skip
        running = self.decay * usual + (1 - self.decay) * jnp.mean(spreads)
        return reward, Judge(judge.params, judge.optimiser, running), figures

    def _weighting(self, shaped: Array, weights: Array) -> Array:
        """[] how much the weights change advantages: the mean difference over the mean advantage without them."""
        plain, weighted = self.advantages(shaped), self.advantages(weights[:, None] * shaped)
        return jnp.mean(jnp.abs(weighted - plain)) / (jnp.mean(jnp.abs(plain)) + 1e-12)

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, Figures]:
        """A step of GRPO, or of the reward model while the policy stays as it is."""
        zero = jnp.zeros(())
        if phase != 2 or not self.learns_model:
            state, figures = super().learn(state, data, key, phase)
            return state, figures | {"learn/loss_model": zero}
        k_fit, k_rewards = jax.random.split(key)
        judge, loss = self.fitted(state.variant, data, k_fit)
        now = replace(state, updates=state.updates + 1, variant=replace(judge, spread=zero))  # its scores still change
        reward, _, figures = self.rewards(now, data, k_rewards)
        figures |= self.group_figures(data, reward, self.advantages(reward)) | self.losses(zero, zero, zero, zero)
        return now, figures | {"learn/loss_model": loss}
