"""SERENE: novelty search that finds rewards, alternating with emitters that improve them.

Source: Paolo et al., "Sparse Reward Exploration via Novelty Search and Emitters" (GECCO 2021, arXiv 2102.03140), as the
official code does it (GPaolo/SERENE, core/searcher.py and core/evolvers; its rules and our deviations:
docs/methods/serene.md). One budget, spent in chunks of K evaluations by two processes:

    EXPLORE  novelty search (`agents.evolution.novelty_search`), with novelty measured against the reward archive R too;
             every policy with a positive reward enters R and is a candidate emitter, with
             sigma_e = distance to the nearest other genome of the generation / 3
    EXPLOIT  1. trials: the most novel candidates (against R) get 6 + 5 x 12 evaluations each, in parallel;
                those whose fitness rose become emitters
             2. one emitter at a time, drawn from the Pareto front (novelty of its ancestor, improvement), runs until
                the chunk is spent or it stagnates; what it finds enters R, and 5 of its novel members the archive

Without any reward the EXPLOIT half is skipped, and SERENE is novelty search, bit for bit.
Deviations: trials of a chunk run in parallel, so the order of R's rows differs; the buffer of novel members is a
reservoir of the 5 that would be drawn from it; the novelty of an emitter's members includes their nearest neighbour
(`compat="official"` leaves it out, as the original does by mistake); the novelty of the only row of R is infinite, not
NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Episodes, Key, Rollouts, Tree, hyper
from prospect_rl.agents.evolution.novelty_search import NoveltySearch
from prospect_rl.agents.evolution.rows import Rows, best_genome, full_notice, join, take
from prospect_rl.agents.evolution.serene import state as states
from prospect_rl.agents.evolution.serene.state import (
    EMITTER_STEP,
    EXPLORE,
    START,
    TRIAL,
    TRIAL_STEP,
    TRIAL_STEPS,
    State,
)
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops import emitters, pareto
from prospect_rl.agents.ops.emitters import Cma, Elitist, Emitter


@dataclass(frozen=True, kw_only=True)
class Serene(NoveltySearch):
    """SERENE: novelty search and emitters that share the budget in chunks."""

    in_step: ClassVar[bool] = False  # emitters begin and end when they do

    chunk: int = hyper(1000, least=1)
    """Number of evaluations that novelty search and emitters each get before the other continues (K in the paper)."""
    emitter: Literal["elitist", "cmaes"] = "elitist"
    """How an emitter searches near a rewarded policy: with SERENE's elitist population, or with CMA-ES (which makes it
    CMA-NS)."""
    emitter_population: int = hyper(6, least=4)
    """Number of policies in the population of each emitter (M_E in the paper)."""
    reward_capacity: int = hyper(16384, least=1)
    """Largest number of rewarded policies in the reward archive; others are dropped and counted as overflow."""
    emitter_capacity: int = hyper(2048, least=1)
    """Largest number of emitters at a time; others are dropped and counted as overflow."""
    max_emitter_steps: int = hyper(-1, least=-1)
    """Number of steps (generations) after which an emitter ends; -1 ends it only when it no longer improves."""
    compat: Literal["sane", "official"] = "sane"
    """`official` repeats a mistake of the original code: the novelty of an emitter's members leaves out their nearest
    neighbour."""

    keeps_records: ClassVar[bool] = False
    """Whether emitters keep the row of their most novel member, because descriptors change."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 <= self.max_emitter_steps <= TRIAL_STEPS:
            raise ValueError(f"max_emitter_steps must be -1 or above {TRIAL_STEPS}, not {self.max_emitter_steps}")
        if self.reward_capacity < self.trials:
            needed = f"{self.trials}, the trials that may run in parallel"
            raise ValueError(f"reward_capacity must be at least {needed}, not {self.reward_capacity}")

    @property
    def wants(self) -> tuple[Rollouts, ...]:
        """The rollouts of each phase; emitters do not count towards coverage (the official metric)."""
        start, explore = super().wants
        first, later = self.kind.members * self.trials, self.kind.children * self.trials
        emitter_step = Rollouts(self.kind.children, covers=False)
        return start, explore, Rollouts(first, covers=False), Rollouts(later, covers=False), emitter_step

    @cached_property
    def kind(self) -> Elitist | Cma:
        """The kind of emitter: how it searches."""
        return {"elitist": Elitist, "cmaes": Cma}[self.emitter](self.emitter_population, self.gene_limit)

    @property
    def trial_cost(self) -> int:
        """Number of evaluations in one trial."""
        return self.kind.members + TRIAL_STEPS * self.kind.children

    @property
    def trials(self) -> int:
        """Most trials that may start in a chunk: one starts while more than a third of the chunk is left."""
        return -(-(2 * self.chunk) // (3 * self.trial_cost))

    @property
    def trials_fill_chunk(self) -> bool:
        """Whether the trials of a chunk can spend all of it."""
        return self.trials * self.trial_cost >= self.chunk

    @property
    def window(self) -> int:
        """Length of the window of the stopping rule, in steps (T)."""
        return 20 * self.genes // self.emitter_population + 120

    def init(self, key: Key) -> State:
        """The state of novelty search, with an empty R and no emitters."""
        base = super().init(key)
        rewards = self.empty_archive(self.reward_capacity, candidate=jnp.zeros((), bool), sigma=jnp.zeros(()))
        empty_row = take(self.empty_rows(1), jnp.int32(0))
        blank = emitters.blank(self.kind, empty_row, self.window, self.additions, record=self.keeps_records)
        zero = jnp.int32(0)
        return State(
            population=states.unflagged(base.population),
            children=states.unflagged(self.empty_rows(self.population * self.offspring)),
            archive=base.archive, rewards=rewards,
            trials=states.repeated(blank, self.trials), table=states.repeated(blank, self.emitter_capacity),
            current=zero, bar=jnp.zeros(()), known=jnp.zeros(2, jnp.int32), phase=zero, chunk=jnp.int32(self.chunk),
            lost=zero,
        )  # fmt: skip

    def phase(self, state: State) -> Array:
        """The phase that the state holds."""
        return state.phase

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Tree, Array]:
        """Children of the population, of the trials, or of the running emitter."""
        if phase in (START, EXPLORE):
            return super().explore(state, key, phase)
        if phase == EMITTER_STEP:
            genomes = self.kind.breed(take(state.table, state.current), key)
            return genomes, jnp.ones(genomes.shape[0], bool)
        keys, trials = jax.random.split(key, self.trials), state.trials
        if phase == TRIAL:
            ancestors = state.rewards.rows["genome"][trials.ancestor]
            genomes = jax.vmap(self.kind.first)(ancestors, trials.sigma, trials.search, keys)
        else:
            genomes = jax.vmap(self.kind.breed)(trials, keys)
        return genomes.reshape(-1, self.genes), jnp.repeat(trials.active, genomes.shape[1])

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """One iteration of the phase, and the choice of the next phase."""
        rows = self.describe(state, data)
        state = replace(state, chunk=state.chunk - jnp.sum(data.active, dtype=jnp.int32))
        if phase == START:
            state = replace(state, population=states.unflagged(rows), phase=jnp.int32(EXPLORE))
        elif phase == EXPLORE:
            state = self._generation(state, states.unflagged(rows), key)
        elif phase in (TRIAL, TRIAL_STEP):
            state = self._trial(state, rows, key, phase)
        else:
            state = self._step_emitter(state, rows, key)
        return state, self._metrics(state)

    def exploit(self, state: State) -> Tree:
        """The rewarded policy with the highest fitness; without one, as novelty search."""
        stored = best_genome(state.rewards)
        return jnp.where(state.rewards.count > 0, stored, super().exploit(state))

    def notices(self, row: Mapping[str, Any]) -> list[str]:
        """Notices of full archives, of a full table of emitters, and of a chunk that trials can spend alone."""
        stored, lost = dict(row), row["emitters/lost"]
        stored["archive/overflow"] -= lost
        found = super().notices(stored)
        if stored["archive/overflow"] > 0 and stored["archive/rewards"] >= self.reward_capacity:
            what = "reward archive (the source of emitters)"
            found.append(full_notice(what, "reward_capacity", self.reward_capacity))
        if lost > 0:
            found.append(full_notice("table of emitters", "emitter_capacity", self.emitter_capacity))
        if self.trials_fill_chunk:
            why = f"trials may spend the whole chunk of {self.chunk} evaluations, and emitters then never run"
            found.append(f"{why}; set chunk above {self.trials * self.trial_cost}")
        return found

    def report(self, state: State) -> dict[str, Array]:
        """The rows of both archives, which of them are filled, and which belong to the reward archive."""
        return states.report(state)

    # --- EXPLORE ---

    def _generation(self, state: State, children: Rows, key: Key) -> State:
        """A generation of novelty search; policies that are rewarded for the first time become candidates."""
        both = join(state.population, children)
        fresh = self._fresh(both)
        sigma = emitters.sigmas(both["genome"], jnp.any(fresh), self.mutation)
        rewards = archives.append(state.rewards, both | {"candidate": fresh, "sigma": sigma}, fresh)
        flagged = both["flagged"] | fresh
        parents = state.population["fitness"].shape[0]
        old = state.population | {"flagged": flagged[:parents]}
        young = children | {"flagged": flagged[parents:]}
        more = [(rewards.rows["descriptor"], rewards.count)]
        # the same key as NoveltySearch passes: without reward the two must give the same bits
        population, archive = self.generation(old, young, state.archive, more, key)
        state = replace(state, population=population, children=young, archive=archive, rewards=rewards)
        return self._end_explore(state, self._explore_over(state), key)

    def _fresh(self, both: Rows) -> Array:
        """The policies that become candidates: those rewarded for the first time."""
        return (both["fitness"] > 0) & ~both["flagged"]

    def _explore_over(self, state: State) -> Array:
        """Whether EXPLORE has spent its chunk."""
        return state.chunk <= 0

    def _end_explore(self, state: State, over: Array, key: Key) -> State:
        """What comes after a generation; `over`: the chunk of EXPLORE is spent."""
        return self._exploit(state, over, key)

    def _trials_over(self, trials: Emitter) -> Array:
        """Whether the trials are over (all of them step together)."""
        return trials.steps[0] == TRIAL_STEPS

    # --- EXPLOIT: trials ---

    def _exploit(self, state: State, go: Array, key: Key) -> State:
        """If `go`, a new chunk of EXPLOIT: trials, or an emitter if no candidate waits; EXPLORE without either."""
        state = replace(state, chunk=jnp.where(go, self.chunk, state.chunk))
        state = self._begin_trials(state, go)
        idle = go & ~jnp.any(state.trials.active) & jnp.any(state.table.active)
        return self._next_emitter(states.freeze_references(state), idle, jax.random.fold_in(key, 1))

    def _begin_trials(self, state: State, go: Array) -> State:
        """If `go`, start trials from the most novel candidates (against R) and clear their flags on R's rows."""
        rewards = state.rewards
        candidate, known = rewards.rows["candidate"], (rewards.rows["descriptor"], rewards.count)
        novelty = archives.novelty_where(known[0], candidate & go, [known], self.neighbours)
        row = jax.lax.top_k(novelty, self.trials)[1]
        active = candidate[row] & go
        genomes, sigma = rewards.rows["genome"][row], rewards.rows["sigma"][row]
        blank = jax.tree.map(jnp.zeros_like, state.trials)
        trials = replace(
            blank, active=active, ancestor=row, descriptor=rewards.rows["descriptor"][row], sigma=sigma,
            search=jax.vmap(self.kind.start)(genomes, sigma), members=state.trials.members,
            reservoir=state.trials.reservoir, record=state.trials.record,
            stored=blank.stored - jnp.inf, novelty=blank.novelty - jnp.inf,
        )  # fmt: skip
        columns = rewards.rows | {"candidate": candidate.at[row].min(~active)}
        phase = jnp.where(jnp.any(active), TRIAL, state.phase)
        return replace(state, rewards=replace(rewards, rows=columns), trials=trials, phase=phase)

    def _trial(self, state: State, rows: Rows, key: Key, phase: int) -> State:
        """A step of all trials; after the last step, those that improved become emitters."""
        each = jax.tree.map(lambda x: x.reshape(self.trials, -1, *x.shape[1:]), rows)
        if phase == TRIAL:
            return replace(state, trials=jax.vmap(emitters.begin)(state.trials, each), phase=jnp.int32(TRIAL_STEP))
        merit = self._merit(state, each, state.trials.members)
        trials = jax.vmap(emitters.step, (0, None, 0, 0))(state.trials, self.kind, each, merit)
        mask, trials = jax.vmap(emitters.to_store)(trials)
        found = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), trials.members)
        state = states.store(state, found, (mask & trials.active[:, None]).reshape(-1))
        over = self._trials_over(trials)
        promoted = trials.active & (trials.improvement > 0) & over
        state = states.admit(replace(state, trials=trials), promoted)
        return self._next_emitter(self._after_trials(state), over, key)

    def _after_trials(self, state: State) -> State:
        """The state with the references of the emitters' novelty, which are frozen now."""
        return states.freeze_references(state)

    # --- EXPLOIT: emitters ---

    def _merit(self, state: State, children: Rows, members: Rows) -> Array | None:
        """[..., C + E] by what emitters keep children [..., C] and members [..., E]; None for the reward."""
        return None

    def _next_emitter(self, state: State, go: Array, key: Key) -> State:
        """If `go`, select the next emitter; back to EXPLORE where there is none or the chunk is spent."""
        usable = go & (state.chunk > 0) & jnp.any(state.table.active)
        current, bar = jax.lax.cond(usable, self._select_emitter, lambda s, k: (s.current, s.bar), state, key)
        phase = jnp.where(go, jnp.where(usable, EMITTER_STEP, EXPLORE), state.phase)
        chunk = jnp.where(go & ~usable, self.chunk, state.chunk)
        return replace(state, current=current, bar=bar, phase=phase, chunk=chunk)

    def _select_emitter(self, state: State, key: Key) -> tuple[Array, Array]:
        """(row of the table, novelty bar), uniform on the Pareto front of (novelty of the ancestor, improvement)."""
        table, rewards = state.table, state.rewards
        # ancestors are rows of R, so the nearest reference of each is itself
        novelty = archives.novelty_where(
            table.descriptor, table.active, [(rewards.rows["descriptor"], rewards.count)], self.neighbours
        )
        front = pareto.first_front(jnp.stack([novelty, table.improvement], axis=1), table.active)
        current = jnp.argmax(jnp.where(front, jax.random.uniform(key, front.shape), -1.0)).astype(jnp.int32)
        ancestor = archives.novelty(table.descriptor[current][None], states.references(state), self.neighbours)[0]
        reached = table.novelty[current]
        return current, jnp.where(jnp.isfinite(reached), reached, ancestor)

    def _step_emitter(self, state: State, rows: Rows, key: Key) -> State:
        """A step of the running emitter, which ends where it stagnates."""
        k_offer, k_turn = jax.random.split(key)
        emitter = take(state.table, state.current)
        emitter = emitters.step(emitter, self.kind, rows, self._merit(state, rows, emitter.members))
        mask, emitter = emitters.to_store(emitter)
        state = states.store(state, emitter.members, mask)
        official = self.compat == "official"
        novelty = archives.novelty(
            emitter.members["descriptor"], states.references(state), self.neighbours, drop_first=official
        )
        novelty = jnp.where(jnp.isfinite(emitter.members["fitness"]), novelty, -jnp.inf)  # failed: not novel
        emitter = emitters.offer(emitter, novelty, state.bar, k_offer)
        stop = emitters.stagnant(emitter) | (emitter.steps == self.max_emitter_steps)
        emitter = replace(emitter, active=~stop)
        ancestor = take(state.rewards.rows, emitter.ancestor[None])
        state = states.store(state, ancestor, stop[None])
        offered = stop & (jnp.arange(self.additions) < emitter.seen)
        archive = archives.append(state.archive, emitter.reservoir, offered)
        table = jax.tree.map(lambda t, x: t.at[state.current].set(x), state.table, emitter)
        bar = jnp.maximum(state.bar, emitter.novelty)
        state = replace(state, archive=archive, table=table, bar=bar)
        return self._next_emitter(state, stop | (state.chunk <= 0), k_turn)

    def _metrics(self, state: State) -> dict[str, Array]:
        """Sizes, overflow, and the best stored fitness in each area."""
        return states.figures(state, self.bound.areas)
