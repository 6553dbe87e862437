"""HERO: a verifier says which answers count, a reward model orders those that the verifier cannot tell apart.

Source: "Hybrid Reinforcement: When Reward Is Sparse, It's Better to Be Dense" (2025, arXiv 2510.07242), eq. 3 to 5. No
code has been published; what the paper leaves open is a field here, and docs/methods/hero.md says what we chose.
    z      = scores of the reward model, scaled to 0 ... 1 within the group's accepted, or rejected, answers
    reward = 1 - beta + 2 beta z  if accepted,  -alpha + 2 alpha z  if rejected        (so accepted ones always win)
    weight = least + (most - least) sigmoid(steep (std of the group's scores - its running mean))
    learn from weight * reward as GRPO does
The reward model is learned in a phase of its own, between the cold start and the learning: Bradley-Terry on pairs of
the first policy's answers to the same problem, compared by a noisy judge of `progress`; then it is frozen.
The paper speaks of texts alone. Episodes of control from the same start are groups too, which is an extension of ours.
Shapes: P problems, N answers to each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from prospect_rl.agents.api import Array, DefaultRun, Episodes, Key, Rollouts, Spec, Tree, hyper
from prospect_rl.agents.language import reward_model
from prospect_rl.agents.language.grpo import GRPO
from prospect_rl.agents.language.grpo_data import State, losses
from prospect_rl.agents.language.reward_model import Judge, Weighing
from prospect_rl.agents.ops import groups
from prospect_rl.agents.ops.minibatches import Figures

OVERRATED = 0.25
"""In control an episode that failed has deceived the proxy if it is rated by so much more than its progress."""
YES = 1.0
"""Taken as a verifier, the reward model accepts answers that it scores by so much more than the mean of all."""


@dataclass(frozen=True, kw_only=True)
class HERO(GRPO):
    """Hybrid rewards of a verifier and a reward model, and the rivals that use one of them or both more simply."""

    default_run = DefaultRun("text/sort", 150_000)

    reward: Literal["hero", "verifier", "rm", "mix", "gated", "return"] = "hero"
    """What is learned from: hero; the verifier or the reward model (`rm`) alone; their weighted sum (`mix`); the
    verifier where it tells a group's answers apart, and the reward model elsewhere (`gated`); or the environment's own
    return."""
    model: Literal["learned", "proxy", "oracle"] = "learned"
    """The reward model: learned from comparisons; a proxy that can be deceived (in a text task the share of right
    tokens that also pays 1.5 for an answer that never ends); or the true progress (oracle), for tests."""
    fit: int = hyper(50, least=0)
    """Number of iterations in which the reward model is learned, while the policy stays as it is."""
    model_steps: int = hyper(1, least=1)
    """Number of gradient steps on the reward model in each of these."""
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
    """Standard deviation of the noise that the judge of comparisons adds to the progress."""
    model_layers: int = hyper(2, least=1)
    """Number of layers of the reward model, in text tasks."""
    model_width: int = hyper(64, least=4)
    """Numbers in a token's vector, or features of an observation, in the reward model."""

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
        """Needs a task with a verifier."""
        if not {"verified", "progress"} <= {*spec.info}:
            return "it needs a task with a verifier (info `verified` and `progress`)"
        return super().misfit(spec)

    @property
    def learns_model(self) -> bool:
        """Whether a reward model has to be learned."""
        return self.model == "learned" and self.reward not in ("verifier", "return") and self.fit > 0

    @property
    def wants(self) -> tuple[Rollouts, ...]:
        """The same groups of episodes in all phases: cold start, learning, and fitting the reward model."""
        want = super().wants
        return (want if isinstance(want, Rollouts) else want[0],) * 3

    def phase(self, state: State) -> Array:
        """0 during the cold start, then 2 while the reward model is learned, then 1."""
        fit = self.fit if self.learns_model else 0
        later = jnp.where(state.updates < self.cold_start + fit, 2, 1)
        return jnp.where(state.updates < self.cold_start, 0, later).astype(jnp.int32)

    # --- the reward model ----------------------------------------------------------------------------

    @property
    def scorer(self) -> Any:
        """The network of the reward model."""
        return reward_model.scorer(self.bound, self.model_layers, self.model_width, text=self.text)

    @property
    def model_optimiser(self) -> optax.GradientTransformation:
        """Adam with gradient clipping."""
        return optax.flatten(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(self.learning_rate)))

    def begin(self, key: Key) -> Judge:
        """A reward model with random weights."""
        if not self.learns_model:
            return reward_model.new_judge((), ())
        params = reward_model.first_weights(self.scorer, self.bound, key)
        return reward_model.new_judge(params, self.model_optimiser.init(params))

    def scores(self, judge: Judge, data: Episodes, key: Key) -> Array:
        """[P, N] the reward model's scores of the answers."""
        progress = self.grouped(data.info["progress"])
        if self.model == "oracle":
            return progress
        if self.model == "proxy":
            seen = progress + 1.5 * self.hacked(data) if self.text else self.grouped(data.info["proxy"])
            return seen + 0.1 * jax.random.normal(key, progress.shape)
        return self.judged(judge.params, data) if self.learns_model else jnp.zeros_like(progress)

    def judged(self, params: Tree, data: Episodes) -> Array:
        """[P, N] scores of the learned reward model."""
        return reward_model.judged(self.scorer, params, data, text=self.text).reshape(self.prompts, self.group)

    def hacked(self, data: Episodes) -> Array:
        """[P, N] 1 for answers that the proxy pays by mistake, else 0.

        In a text task those that have not ended when their room is full; in control failures that are rated too high.
        """
        assert data.steps is not None
        info = data.steps.info
        if self.text:
            last = info["mine"][-1] & (data.steps.next_obs[-1] != info["expert"][-1])
        else:
            last = ~data.info["success"] & (data.info["proxy"] > data.info["progress"] + OVERRATED)
        return self.grouped(last.astype(jnp.float32))

    def fitted(self, judge: Judge, data: Episodes, key: Key) -> tuple[Judge, Array]:
        """(the reward model after steps on pairs, their mean loss []): each answer against another of its group."""
        progress = self.grouped(data.info["progress"])

        def step(now: tuple[Tree, Tree], key: Key) -> tuple[tuple[Tree, Tree], Array]:
            k_noise, k_shift = jax.random.split(key)
            worth = progress + self.noise * jax.random.normal(k_noise, progress.shape)
            shift = jax.random.randint(k_shift, (), 1, self.group)
            loss = lambda params: reward_model.compared(self.judged(params, data), worth, shift)  # noqa: E731
            value, gradient = jax.value_and_grad(loss)(now[0])
            change, optimiser = self.model_optimiser.update(gradient, now[1], now[0])
            return (optax.apply_updates(now[0], change), optimiser), value

        keys = jax.random.split(key, self.model_steps)
        (params, optimiser), losses = jax.lax.scan(step, (judge.params, judge.optimiser), keys)
        return replace(judge, params=params, optimiser=optimiser), jnp.mean(losses)

    # --- rewards -------------------------------------------------------------------------------------

    def rewards(self, state: State, data: Episodes, key: Key) -> tuple[Array, Judge, Figures]:
        """The rewards [P, N], the judge with its new running mean, and how good the reward model is."""
        judge: Any = state.variant
        return self._by(judge, data, self.scores(judge, data, key))

    def _by(self, judge: Judge, data: Episodes, scores: Array) -> tuple[Array, Judge, Figures]:
        """`rewards` by the reward model's scores [P, N]."""
        right = self.verdicts(data)
        spreads = groups.spread(scores)
        usual = jnp.where(judge.spread > 0, judge.spread, jnp.mean(spreads))  # the first batch has its own
        weights = groups.hero_weight(spreads, usual, least=self.least, most=self.most, steep=self.steep)
        shaped = groups.hero_shape(right, scores, alpha=self.alpha, beta=self.beta, tied=self.tied)
        scaled = groups.within(scores, jnp.ones_like(right), self.tied)
        told, verdict, sound = groups.mixed(right), right.astype(jnp.float32), jnp.isfinite(scores)
        reward = {
            "hero": weights[:, None] * shaped if self.weights else shaped,
            "verifier": verdict,
            "rm": jnp.where(sound, scores, jnp.min(jnp.where(sound, scores, 0.0))),
            "mix": self.share * verdict + (1 - self.share) * scaled,
            "gated": jnp.where(told[:, None], verdict, scaled),
            "return": self.grouped(data.returns),
        }[self.reward]
        truth, progress = self.grouped(data.info["success"]), self.grouped(data.info["progress"])
        wrong = ~jnp.any(right, axis=1)
        figures = {
            "rm/auroc": groups.auroc(truth, scores),
            "rm/rank": groups.over(groups.rank_correlation(scores, progress), wrong),
            "rm/hacked": jnp.mean(self.hacked(data)), "rm/dropped": jnp.sum(~sound).astype(jnp.float32),
            "groups/weight": self._weighing(shaped, weights),
            "groups/verified_wrong": jnp.mean(wrong), "groups/verified_right": jnp.mean(jnp.all(right, axis=1)),
        }  # fmt: skip
        running = self.decay * usual + (1 - self.decay) * jnp.mean(spreads)
        return reward, replace(judge, spread=running), figures

    def _weighing(self, shaped: Array, weights: Array) -> Array:
        """[] how much the weights change advantages: the mean difference over the mean advantage without them."""
        plain, weighted = self.advantages(shaped), self.advantages(weights[:, None] * shaped)
        return jnp.mean(jnp.abs(weighted - plain)) / (jnp.mean(jnp.abs(plain)) + 1e-12)

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, Figures]:
        """A step of GRPO, or of the reward model while the policy stays as it is."""
        zero = jnp.zeros(())
        if phase != 2 or not self.learns_model:
            state, figures = super().learn(state, data, key, phase)
            judge, loss = self._weighed(state.variant, figures["groups/weight"]) if phase == 1 else state.variant, zero
        else:
            k_fit, k_rewards = jax.random.split(key)
            judge, loss = self.fitted(state.variant, data, k_fit)
            judge = replace(judge, spread=zero)  # its scores still change
            scores = self.scores(judge, data, k_rewards)
            reward, _, figures = self._by(judge, data, scores)
            judge = self._counted(judge, data, scores, state.updates)
            state, found = self.counted(state, data, reward)
            figures |= found | losses(zero, zero, zero, zero)
        return replace(state, variant=judge), figures | {"learn/loss_model": loss} | self._known(judge)

    def _weighed(self, judge: Judge, change: Array) -> Judge:
        known = judge.weighing
        return replace(judge, weighing=Weighing(jnp.maximum(known.most, change), known.total + change, known.count + 1))

    def _counted(self, judge: Judge, data: Episodes, scores: Array, updates: Array) -> Judge:
        """The judge after the answers of an iteration in the second half of the comparisons."""
        truth, yes = self.grouped(data.info["success"]), scores > jnp.mean(scores) + YES
        found = jnp.stack([reward_model.counts(truth, self.verdicts(data)), reward_model.counts(truth, yes)])
        late = updates >= self.cold_start + self.fit // 2
        return replace(judge, answers=judge.answers + jnp.where(late, found, 0.0))

    def _known(self, judge: Judge) -> Figures:
        """Metrics of what has been counted since the start."""
        known, (verifier, model) = judge.weighing, map(reward_model.rates, judge.answers)
        return {
            "groups/weight_most": known.most, "groups/weight_mean": known.total / jnp.maximum(known.count, 1),
            "verifier/recall": verifier[0], "verifier/precision": verifier[1], "verifier/false_yes": verifier[2],
            "rm/recall": model[0], "rm/precision": model[1], "rm/false_yes": model[2],
        }  # fmt: skip
