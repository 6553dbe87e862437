"""AURORA: quality-diversity in a space of behaviour that an autoencoder learns from pictures of episodes.

Source: Cully, "Autonomous skill discovery with Quality-Diversity and Unsupervised Descriptors" (GECCO 2019), and
Grillotti & Cully, "Unsupervised Behaviour Discovery with Quality-Diversity Optimisation" (arXiv 2106.05648), with the
rules of QDax's AURORA where the two leave them open.

    the first batch is random genomes; the autoencoder is trained on it
    repeat   draw parents uniformly from the archive, mutate every gene, evaluate
             offer the children to the archive, in which no two are nearer than a threshold (`agents.ops.unstructured`)
             every few generations, move the threshold so that the archive keeps its size
             at growing intervals, train on the archive, make its features anew, and offer all of it to an empty one

Deviations: pictures, network and trainings are STAX's; the threshold is in units of the features' spread, so that a
training does not change its meaning, and it is moved by a factor, where QDax adds; rows are offered again only where
the threshold has grown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, DefaultRun, Episodes, Key, Nothing, Rollouts, hyper
from prospect_rl.agents.evolution.rows import Rows, archive_metrics, best_genome, full_notice
from prospect_rl.agents.evolution.stax import training
from prospect_rl.agents.evolution.stax.seeing import Seeing
from prospect_rl.agents.evolution.stax.state import Learner
from prospect_rl.agents.ops import unstructured
from prospect_rl.agents.ops.archive import Archive

START, GENERATION, TRAIN, RENEW = range(4)
"""The phases: first batch, a generation, a part of an epoch of training, new features for a part of the archive."""


@struct.dataclass
class State:
    """The archive, its threshold, and the autoencoder."""

    archive: Archive
    """The archive, in which no two policies are nearer than the threshold."""
    threshold: Array
    """[] smallest distance of two policies, in units of `spread`."""
    spread: Array
    """[] standard deviation of the archive's features when they were last made."""
    generations: Array
    """[] int32 generations so far."""
    chunk: Array
    """[] int32 evaluations left in this chunk."""
    phase: Array
    """[] int32 number of the phase that comes next."""
    learner: Learner
    """The autoencoder and its training."""


@dataclass(frozen=True, kw_only=True)
class Aurora(Seeing):
    """AURORA: quality-diversity in features of pictures; its archive keeps the fitter of two neighbours."""

    default_run = DefaultRun("arm/redundant", 20_000)

    batch: int = hyper(100, least=2)
    """Number of policies that are evaluated in a generation."""
    archive_capacity: int = hyper(4096, least=1)
    """Largest number of policies in the archive; later ones are dropped and counted as `archive/overflow`."""
    target_size: int = hyper(2000, least=1)
    """Number of policies in the archive towards which the threshold is moved."""
    gain: float = hyper(0.05, least=0, most=1)
    """By which share the threshold grows at twice the target size, and shrinks for an empty archive."""
    control_every: int = hyper(10, least=1)
    """Number of generations after which the threshold is moved."""
    chunk: int = hyper(1000, least=1)
    """Number of evaluations in a chunk of exploration, after whole numbers of which trainings come."""

    taught: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_size > self.archive_capacity:
            raise ValueError(
                f"target_size must be at most archive_capacity ({self.archive_capacity}), not {self.target_size}"
            )

    @property
    def wants(self) -> tuple[Rollouts | Nothing, ...]:
        """Phase 0 evaluates the first batch, phase 1 a generation; then training and renewing."""
        return self.with_states(Rollouts(self.batch), Rollouts(self.batch))

    @property
    def trained_on(self) -> int:
        """Rows of the archive."""
        return self.archive_capacity

    def tables(self, state: State) -> list[tuple[Rows, Array]]:
        """The archive, with a mask of its filled rows."""
        return [(state.archive.rows, state.archive.filled)]

    def with_features(self, state: State, features: Array, surprise: Array) -> State:
        """The state with other features and surprises in the archive."""
        rows = state.archive.rows | {"descriptor": features, "surprise": surprise}
        return replace(state, archive=replace(state.archive, rows=rows))

    def init(self, key: Key) -> State:
        """An empty archive, and an autoencoder before its first training."""
        zero = jnp.int32(0)
        return State(
            archive=self.empty_archive(self.archive_capacity), threshold=jnp.zeros(()), spread=jnp.ones(()),
            generations=zero, chunk=jnp.int32(self.chunk), phase=zero, learner=self.learner(key),
        )  # fmt: skip

    def phase(self, state: State) -> Array:
        """The phase that the state holds."""
        return state.phase

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Array, Array]:
        """Mutated policies of the archive [P, G]; random genomes at first, and while the archive is empty."""
        k_parent, k_child, k_new = jax.random.split(key, 3)
        random = self.random_genomes(k_new, self.batch)
        if phase == START:
            return random, jnp.ones(self.batch, bool)
        row = jax.random.randint(k_parent, (self.batch,), 0, jnp.maximum(state.archive.count, 1))
        children = self.mutate(k_child, state.archive.rows["genome"][row])
        return jnp.where(state.archive.count > 0, children, random), jnp.ones(self.batch, bool)

    def learn(self, state: State, data: Episodes | None, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """The first batch, a generation, or a part of a training or renewing."""
        if phase == TRAIN:
            state, done = training.trained(self, state, key)
            state = replace(state, phase=jnp.where(done, RENEW, TRAIN))
        elif phase == RENEW:
            state, done = training.renewed(self, state)
            state = jax.lax.cond(done, self._renewed, lambda state: state, state)
        else:
            assert data is not None
            state = self._first(state, data) if phase == START else self._generation(state, data)
        figures = {"archive/threshold": state.threshold * state.spread}
        return state, archive_metrics(self.bound, state.archive) | state.learner.figures | figures

    def exploit(self, state: State) -> Array:
        """The stored policy with the highest fitness [G]."""
        return best_genome(state.archive)

    def report(self, state: State) -> dict[str, Array]:
        """The archive with the true descriptor and the features, and which of its rows are filled."""
        return self.shown({**state.archive.rows, "filled": state.archive.filled})

    def notices(self, row: Mapping[str, Any]) -> list[str]:
        """A notice where the archive is full, and those of features and pictures."""
        full = row["archive/overflow"] > 0 and row["archive/size"] >= self.archive_capacity
        return [full_notice("archive", "archive_capacity", self.archive_capacity)] * full + super().notices(row)

    # --- phases ---

    def _first(self, state: State, data: Episodes) -> State:
        """The archive of the first batch, whose mean distance to the nearest is the first threshold."""
        state = replace(state, learner=self.first_centred(state.learner, data))
        rows = self.describe(state, data)
        known = jnp.isfinite(rows["fitness"])
        pair = known[:, None] & known & ~jnp.eye(self.batch, dtype=bool)
        features = rows["descriptor"]
        square = sum(jnp.square(features[:, None, i] - features[None, :, i]) for i in range(features.shape[1]))
        nearest = jnp.sqrt(jnp.min(jnp.where(pair, square, jnp.inf), axis=1))
        there = jnp.isfinite(nearest)
        mean = jnp.sum(jnp.where(there, nearest, 0.0)) / jnp.maximum(jnp.sum(there), 1)
        archive = unstructured.insert(state.archive, rows, known, mean)
        spread = spread_of(archive)
        phase = jnp.int32(TRAIN if self.trains else GENERATION)
        return replace(state, archive=archive, threshold=mean / spread, spread=spread, phase=phase)

    def _generation(self, state: State, data: Episodes) -> State:
        """The archive with the children; at the end of some chunks a training is next."""
        children = self.describe(state, data)
        length = state.threshold * state.spread
        archive = unstructured.insert(state.archive, children, jnp.isfinite(children["fitness"]), length)
        chunk = state.chunk - self.batch
        learner = self.told_of(state.learner, children, children)
        learner = replace(learner, since=learner.since + (chunk <= 0))
        due = (chunk <= 0) & self.trains & (learner.since >= learner.interval)
        state = replace(
            state, archive=archive, generations=state.generations + 1, learner=learner,
            chunk=jnp.where(chunk <= 0, self.chunk, chunk), phase=jnp.where(due, TRAIN, GENERATION).astype(jnp.int32),
        )  # fmt: skip
        return jax.lax.cond(state.generations % self.control_every == 0, self._sized, lambda state: state, state)

    def _sized(self, state: State) -> State:
        """The state with a threshold that brings the archive nearer to its target size."""
        excess = (state.archive.count - self.target_size) / self.target_size
        threshold = state.threshold * (1 + self.gain * jnp.clip(excess, -1.0, 1.0))
        thin = lambda archive: self._thinned(archive, threshold * state.spread)  # noqa: E731
        archive = jax.lax.cond(excess > 0, thin, lambda archive: archive, state.archive)
        return replace(state, archive=archive, threshold=threshold)

    def _thinned(self, archive: Archive, length: Array) -> Archive:
        """The archive without what has become a neighbour, as all of it is offered to an empty one."""
        return unstructured.thinned(archive, self.empty_archive(self.archive_capacity), length)

    def _renewed(self, state: State) -> State:
        """The archive in its new features, from which neighbours have been taken out."""
        spread = spread_of(state.archive)
        archive = self._thinned(state.archive, state.threshold * spread)
        return replace(state, archive=archive, spread=spread, phase=jnp.int32(GENERATION))


def spread_of(archive: Archive) -> Array:
    """[] standard deviation of the features of the stored policies; at least a small number."""
    features, filled = archive.rows["descriptor"], archive.filled[:, None]
    many = jnp.maximum(archive.count, 1)
    mean = jnp.sum(jnp.where(filled, features, 0.0), axis=0) / many
    variance = jnp.sum(jnp.where(filled, jnp.square(features - mean), 0.0), axis=0) / many
    return jnp.maximum(jnp.sqrt(jnp.mean(variance)), 1e-12)
