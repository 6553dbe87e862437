"""DRLC: PPO on whole texts, with rewards for the tokens inside the spans that a critic names.

Source: Cao et al. 2024, "Enhancing Reinforcement Learning with Dense Rewards from Language Model Critic" (arXiv
2401.07382); docs/methods/drlc.md has what the authors' code does otherwise.
    c_t = good [t in a good span] + bad [t in a bad span]      for texts whose reward is at most `gate`, else 0
    r   = the text's reward at its last token, and c_t, by one of three `mode`s (critique.py)
    learn from r as PPO on whole texts does
The critic is a hook, `critique`. Here it is scripted: it knows which tokens are right and errs at two rates.
Shapes: B episodes, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, DefaultRun, Episodes, Key, Spec, Tree, hyper
from prospect_rl.agents.language.drlc import critique as critiques
from prospect_rl.agents.language.drlc.critique import EMPTY, MISSING, SAID, UNPARSABLE, Critique, Mode
from prospect_rl.agents.language.grpo_data import speaks
from prospect_rl.agents.language.ppo_text import State, TextPPO, last_of
from prospect_rl.agents.ops.minibatches import Figures


@dataclass(frozen=True, kw_only=True)
class DRLC(TextPPO):
    """Dense rewards from a critic's spans, on PPO. A subclass with another critic overrides `critique`."""

    default_run = DefaultRun("text/sort", 150_000)

    good: float = hyper(0.5, least=0)
    """Reward of each token inside a good span."""
    bad: float = hyper(-0.5, most=0)
    """Reward of each token inside a bad span."""
    gate: float = hyper(1.0)
    """Only texts whose reward is at most this are criticised."""
    mode: Mode = "additive"
    """How the critic's rewards are paid: added (the paper), as a potential, which changes no best policy (pbrs), or by
    redistributing a text's own reward."""
    anneal: int = hyper(0, least=0)
    """Number of iterations after the cold start in which the critic's rewards fade to nothing; 0 means that they
    stay."""
    true_rate: float = hyper(0.6, least=0, most=1)
    """Probability with which the scripted critic marks a token as what it is, good or bad."""
    false_rate: float = hyper(0.03, least=0, most=1)
    """Probability with which the scripted critic marks a token as what it is not, good or bad."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs a text task whose truth says how much of an answer is right."""
        if not speaks(spec) or "progress" not in spec.info:
            return "its critic needs a text task that says how much of an answer is right (info `progress`)"
        return super().misfit(spec)

    # --- for subclasses to override ------------------------------------------------------------------

    def critique(self, state: State, data: Episodes, key: Key) -> Critique:
        """What the critic says of each episode. Here by the task's truth: a token is good if it made progress."""
        assert data.steps is not None
        progress = data.steps.info["progress"][:, :, 0].T
        better = progress > jnp.pad(progress[:, :-1], ((0, 0), (1, 0)))
        mine = self.own(data)
        return scripted(mine & better, mine & ~better, mine, key, self.true_rate, self.false_rate)

    # --- rewards -------------------------------------------------------------------------------------

    def rewards(self, state: State, data: Episodes, key: Key) -> tuple[Array, Tree, Figures]:
        """The rewards [B, T], and how much the critic said."""
        paid, variant, figures = super().rewards(state, data, key)
        said, mine, returns = self.critique(state, data, key), self.own(data), data.returns[:, 0]
        asked = mine & (returns <= self.gate)[:, None]
        good, bad = (asked & marked for marked in critiques.marks(said, mine.shape[1]))
        count = jnp.sum(mine)
        figures |= {
            "critique/good": jnp.sum(good) / count, "critique/bad": jnp.sum(bad) / count,
            "critique/empty": jnp.mean(said.status == EMPTY), "critique/missing": jnp.mean(said.status == MISSING),
            "critique/unparsable": jnp.mean(said.status == UNPARSABLE),
        }  # fmt: skip
        if not (self.good or self.bad):
            return paid, variant, figures
        score = self.fading(state) * (self.good * good + self.bad * bad)
        return critiques.shaped(score, returns, last_of(mine), self.mode, self.gamma), variant, figures

    def fading(self, state: State) -> Array | float:
        """The share of the critic's rewards that is still paid."""
        if not self.anneal:
            return 1.0
        return jnp.clip(1 - (state.updates - self.cold_start) / self.anneal, 0, 1)


def scripted(good: Array, bad: Array, mine: Array, key: Key, true_rate: float, false_rate: float) -> Critique:
    """A critic that marks good steps as good with `true_rate` and others with `false_rate`, and bad steps likewise.

    good, bad: bool [B, T], the truth. Both are marked alone, so that a step may be marked as both; only steps `mine`
    [B, T] are. Each mark is a span of one step.
    """

    def marked(truth: Array, key: Key) -> Array:
        return mine & (jax.random.uniform(key, truth.shape) < jnp.where(truth, true_rate, false_rate))

    said = jnp.concatenate([marked(x, k) for x, k in zip((good, bad), jax.random.split(key), strict=True)], axis=1)
    step = jnp.broadcast_to(jnp.arange(mine.shape[1], dtype=jnp.int32), mine.shape)
    start = jnp.concatenate([step, step], axis=1)
    sign = jnp.where(jnp.arange(said.shape[1]) < mine.shape[1], 1, -1)
    return Critique(start, start + 1, jnp.where(said, sign, 0), jnp.where(jnp.any(said, axis=1), SAID, EMPTY))
