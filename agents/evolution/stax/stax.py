"""STAX: SERENE in a space of behaviour that an autoencoder learns from pictures of episodes.

Source: Paolo et al., "Discovering and Exploiting Sparse Rewards in a Learned Behavior Space" (Evolutionary Computation
32(3), arXiv 2111.01919), as the official code does it (GPaolo/STAX; its rules and our deviations:
docs/methods/stax.md).

    EXPLORE  as SERENE, with features of the pictures as descriptors; the next population is chosen by novelty, by
             surprise (the error of the reconstruction), by one of the two as drawn, or by Pareto fronts of both
    TRAIN    after chunks 1, 3, 6, 10, ... of EXPLORE, on all stored policies; then all stored features are made anew
    EXPLOIT  as SERENE

Emitters off, it is TAXONS; never trained, it is the ablation with an untrained network; with the true descriptor in the
place of the features, and novelty alone, it is SERENE.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal, cast

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, DefaultRun, Episodes, Key, Nothing, Rollouts, hyper
from prospect_rl.agents.evolution.rows import Rows, join
from prospect_rl.agents.evolution.serene import state as serene
from prospect_rl.agents.evolution.serene.serene import Serene
from prospect_rl.agents.evolution.serene.state import EMITTER_STEP, EXPLORE, START, TRIAL_STEP
from prospect_rl.agents.evolution.stax import training
from prospect_rl.agents.evolution.stax.seeing import Seeing
from prospect_rl.agents.evolution.stax.state import RENEW, TRAIN, State, Turns, recorded, tables, waiting, with_features
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops import pareto

CRITERION, TURN, NET = 2, 3, 4
"""Numbers folded into keys that novelty search and SERENE (number 1) use as well."""


@dataclass(frozen=True, kw_only=True)
class Stax(Seeing, Serene):
    """STAX: SERENE in a space of behaviour that is learned from pictures."""

    default_run = DefaultRun("arm/redundant", 20_000)

    train_on_reward: bool = True
    """Whether policies of the reward archive are among those that are trained on."""
    criterion: Literal["fronts", "drawn", "novelty", "surprise"] = "fronts"
    """By what the next population is chosen: Pareto fronts of novelty and surprise (the published variant), one of the
    two as drawn in each generation, or always the same."""
    emits: bool = True
    """Whether rewarded policies become emitters; without them it is TAXONS."""
    emitter_merit: Literal["reward", "novelty"] = "reward"
    """By what an elitist emitter keeps its members; its improvement is that of the reward in both cases."""
    references: Literal["before", "after"] = "before"
    """Whether the novelty of emitters' members is measured against the archives from before the trials of a chunk, or
    from after them (as in SERENE)."""
    scheduler: Literal["alternating", "fixed", "time", "bandit"] = "alternating"
    """Which comes next after a chunk: the other one; either with equal chance; EXPLORE with the chance of the budget
    that is left; or the arm of a bandit that is paid for emitters found and spent."""
    schedule_budget: int = hyper(500_000, least=1)
    """Number of evaluations over which scheduler `time` goes from exploring to exploiting."""

    keeps_records: ClassVar[bool] = True

    @property
    def wants(self) -> tuple[Rollouts | Nothing, ...]:
        """SERENE's rollouts with states, then training and renewing."""
        return self.with_states(*super().wants)

    @property
    def taught(self) -> int:
        """Number of the first of `tables` that a network is trained on: population, children, archive, rewards."""
        return 4 if self.train_on_reward else 3

    @property
    def trained_on(self) -> int:
        """Rows of these tables."""
        rewards = self.reward_capacity if self.train_on_reward else 0
        return self.population * (1 + self.offspring) + self.archive_capacity + rewards

    def tables(self, state: State) -> list[tuple[Rows, Array]]:
        """All rows that hold features, with a mask of those that count."""
        return tables(state)

    def with_features(self, state: State, features: Array, surprise: Array) -> State:
        """The state with other features and surprises."""
        return with_features(state, features, surprise)

    @property
    def trials_fill_chunk(self) -> bool:
        """Whether the trials of a chunk can spend all of it."""
        return self.emits and super().trials_fill_chunk

    @property
    def untrained_slip(self) -> bool:
        """Whether to repeat the official code's mistake without training: the population is never updated."""
        return self.compat == "official" and self.space == "autoencoder" and self.training != "schedule"

    @property
    def archived(self) -> int:
        """Children that enter the archive; twice as many with the mistake, which updates it a second time instead."""
        return (2 if self.untrained_slip else 1) * self.additions

    def init(self, key: Key) -> State:
        """SERENE's state, and an autoencoder before its first training."""
        # the same key as SERENE uses: with the true descriptor the two are the same
        base, zero = super().init(key), jnp.int32(0)
        turns = Turns(used=zero, known=zero, pulls=jnp.zeros(2, jnp.int32), value=jnp.zeros(2))
        known = {f.name: getattr(base, f.name) for f in fields(base)}
        return State(**known, learner=self.learner(jax.random.fold_in(key, NET)), turns=turns)

    def learn(self, state: State, data: Episodes | None, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """One iteration of a phase: SERENE's with what this method adds, or a part of a training or renewing."""
        if phase == TRAIN:
            state, done = training.trained(self, state, key)
            state = replace(state, phase=jnp.where(done, RENEW, state.phase))
        elif phase == RENEW:
            state, done = training.renewed(self, state)
            state = replace(self._measured(state, done), phase=jnp.where(done, EXPLORE, state.phase))
            state = self._next_chunk(state, done, key)
        else:
            assert data is not None
            state = self._evaluated(state, data, key, phase)
        return state, self._metrics(state)

    def _evaluated(self, state: State, data: Episodes, key: Key, phase: int) -> State:
        """The state after evaluations, in one of SERENE's phases."""
        if phase == START:
            state = replace(state, learner=self.first_centred(state.learner, data))
        turns = replace(state.turns, used=state.turns.used + jnp.sum(data.active, dtype=jnp.int32))
        state = cast(State, super().learn(replace(state, turns=turns), data, key, phase)[0])
        if phase == EXPLORE:
            both = join(state.population, {name: state.children[name] for name in state.population})
            state = replace(state, learner=self.told_of(state.learner, both, state.children))
        if phase in (TRIAL_STEP, EMITTER_STEP) and self.scheduler != "alternating":
            ended = state.phase == EXPLORE
            state = self._next_chunk(self._told(state, ended, 1), ended, key)
        return state

    # --- who survives ---

    def survivors(self, both: Rows, novelty: Array, key: Key) -> Array:
        """The next population by the criterion; a failed episode is neither novel nor surprising."""
        if self.untrained_slip:
            return jnp.arange(self.population)
        known = jnp.isfinite(novelty) & jnp.isfinite(both["surprise"])
        surprise = jnp.where(known, both["surprise"], -jnp.inf)
        if self.criterion == "novelty":
            return super().survivors(both, novelty, key)
        if self.criterion == "fronts":
            values, official = jnp.stack([novelty, surprise], axis=1), self.compat == "official"
            return pareto.best(values, known, self.population, official=official)
        by_surprise = jnp.ones((), bool)
        if self.criterion == "drawn":
            by_surprise = jax.random.bernoulli(jax.random.fold_in(key, CRITERION))
        return super().survivors(both, jnp.where(by_surprise, surprise, novelty), key)

    def _fresh(self, both: Rows) -> Array:
        """The policies that become candidates."""
        return super()._fresh(both) & self.emits

    def _merit(self, state: State, children: Rows, members: Rows) -> Array | None:
        """Novelty of children and members [..., C + E], or None for the reward."""
        if self.emitter_merit == "reward":
            return None
        features = jnp.concatenate([children["descriptor"], members["descriptor"]], axis=-2)
        fitness = jnp.concatenate([children["fitness"], members["fitness"]], axis=-1)
        novelty = archives.novelty(
            features.reshape(-1, self.dimensions), serene.references(state), self.neighbours,
            drop_first=self.compat == "official",
        )  # fmt: skip
        return jnp.where(jnp.isfinite(fitness), novelty.reshape(fitness.shape), -jnp.inf)

    def _after_trials(self, state: State) -> State:
        """The references are those from before the trials, or are frozen now."""
        return cast(State, super()._after_trials(state)) if self.references == "after" else state

    # --- what comes next ---

    def _end_explore(self, state: State, over: Array, key: Key) -> State:
        """After a chunk of EXPLORE: a training where one is due, or what the scheduler says."""
        learner = replace(state.learner, since=state.learner.since + over)
        due = over & self.trains & (learner.since >= learner.interval)
        phase, chunk = jnp.where(due, TRAIN, state.phase), jnp.where(over, self.chunk, state.chunk)
        state = self._told(replace(state, learner=learner, phase=phase, chunk=chunk), over, 0)
        return self._next_chunk(state, over & ~due, key)

    def _next_chunk(self, state: State, over: Array, key: Key) -> State:
        """If `over`, the next chunk: EXPLOIT where the scheduler says so and there is something to exploit."""
        go = over & self._exploits(state, jax.random.fold_in(key, TURN))
        made = cast(State, self._exploit(state, go, key))
        keep = lambda new, old: jnp.where(go, new, old)  # noqa: E731
        return replace(
            made, known=keep(made.known, state.known), trials=jax.tree.map(keep, made.trials, state.trials)
        )  # fmt: skip

    def _exploits(self, state: State, key: Key) -> Array:
        """Whether the scheduler turns to EXPLOIT."""
        turns = state.turns
        if self.scheduler == "alternating":
            return jnp.ones((), bool)
        if self.scheduler == "bandit":
            total = jnp.log(jnp.maximum(jnp.sum(turns.pulls), 1).astype(jnp.float32))
            score = jnp.where(turns.pulls > 0, turns.value + jnp.sqrt(total / turns.pulls), jnp.inf)
            return (waiting(state) > 0) & (score[1] > score[0])
        left = 0.5 if self.scheduler == "fixed" else 1 - turns.used / self.schedule_budget
        return jax.random.uniform(key) >= left

    def _told(self, state: State, over: Array, arm: int) -> State:
        """If `over`, the state after the bandit was paid for a chunk of EXPLORE (arm 0) or EXPLOIT (arm 1)."""
        turns, now = state.turns, waiting(state)
        change = jnp.tanh((now - turns.known).astype(jnp.float32))
        pulls = turns.pulls.at[arm].add(1)
        value = turns.value.at[arm].add(((change if arm else -change) - turns.value[arm]) / pulls[arm])
        after = replace(turns, known=now, pulls=pulls, value=value)
        return replace(state, turns=jax.tree.map(lambda new, old: jnp.where(over, new, old), after, turns))

    def _measured(self, state: State, done: Array) -> State:
        """If `done`, the state with the novelty of the emitters' most novel members in the present space."""
        state, which = serene.freeze_references(state), done & recorded(state)
        assert state.table.record is not None
        novelty = archives.novelty_where(
            state.table.record["descriptor"], which, serene.references(state), self.neighbours,
            drop_first=self.compat == "official",
        )  # fmt: skip
        return replace(state, table=replace(state.table, novelty=jnp.where(which, novelty, state.table.novelty)))

    # --- figures ---

    def _metrics(self, state: State) -> dict[str, Array]:
        """SERENE's metrics, and those of features and training."""
        return super()._metrics(state) | state.learner.figures

    def report(self, state: State) -> dict[str, Array]:
        """SERENE's report, with the true descriptor and the features."""
        return self.shown(super().report(state))


@dataclass(frozen=True, kw_only=True)
class Taxons(Stax):
    """TAXONS: novelty and surprise in a learned space of behaviour; STAX without emitters."""

    criterion: Literal["fronts", "drawn", "novelty", "surprise"] = "drawn"
    """By what the next population is chosen: by novelty or surprise as drawn in each generation (TAXONS), always by one
    of them, or by Pareto fronts of both."""
    emits: bool = False
    """Whether rewarded policies become emitters, which makes it STAX."""
    emitter_capacity: int = hyper(1, least=1)
    """Largest number of emitters at a time; there are none unless `emits` is set."""


@dataclass(frozen=True, kw_only=True)
class UntrainedStax(Stax):
    """STAX in features of a network that is never trained: the ablation, with a population that is updated."""

    criterion: Literal["fronts", "drawn", "novelty", "surprise"] = "novelty"
    """By what the next population is chosen: novelty, because the error of an untrained network says nothing."""
    training: Literal["schedule", "redrawn", "never"] = "never"
    """Whether the network keeps its first weights, or draws new ones in place of each training."""
