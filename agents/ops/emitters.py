"""Emitters: small local searches, each started from one rewarded policy, and the table that holds them.

Two kinds with one interface: `Elitist` (SERENE) keeps the best of parents and children; `Cma` (CMA-NS) samples
from a CMA-ES. All functions are written for ONE emitter; callers `vmap` over trials and index the table.

Source: official code GPaolo/SERENE, core/evolvers/serene.py (`FitnessEmitter`) and emitter_evolver.py (`_stagnation`);
the rules: docs/methods/serene.md. Shapes: E members, C children, G genes, d descriptor dimensions,
T length of the window of the stopping rule, Q rows of the reservoir.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.ops import cmaes
from prospect_rl.envs.api import Array, Key, Tree

Rows = dict[str, Tree]
EDGE = 20
"""Number of steps at either end of the window that the stopping rule compares."""


@struct.dataclass
class Emitter:
    """One emitter; every leaf leads with [M] in a table of M emitters."""

    active: Array
    """[] bool whether this row of the table is in use."""
    ancestor: Array
    """[] int32 row of the reward archive from which the emitter was started."""
    descriptor: Array
    """[d] behaviour descriptor of the ancestor."""
    sigma: Array
    """[] standard deviation of the mutations, or first step size of the CMA-ES."""
    members: Rows
    """Evaluated members: genome [E, G], descriptor [E, d], fitness [E], area [E]."""
    search: Tree
    """Further search state of the kind of emitter (a CMA-ES state)."""
    values: Array
    """[T, E] ring buffer of the members' fitness after each step."""
    steps: Array
    """[] int32 steps taken; the ring buffer has had steps + 1 entries, the first for the initial members."""
    start: Array
    """[3, E] the first three entries of the ring buffer."""
    improvement: Array
    """[] mean rise of the members' fitness from the first three steps to the last three, at least 0."""
    stored: Array
    """[] highest fitness added to the reward archive so far, -inf before the first."""
    novelty: Array
    """[] novelty of the most novel member so far; -inf while that is still the ancestor."""
    reservoir: Rows
    """Up to Q members: a uniform sample of those that exceeded the novelty threshold."""
    seen: Array
    """[] int32 number of members offered to the reservoir so far."""
    record: Rows | None = None
    """The most novel member so far, for agents whose descriptors change; only its `novelty` is kept otherwise."""


class Kind(Protocol):
    """Interface of a kind of emitter: how it searches."""

    @property
    def members(self) -> int:
        """Number of members (E)."""
        ...

    @property
    def children(self) -> int:
        """Number of children that are evaluated in a step (C)."""
        ...

    def start(self, genome: Array, sigma: Array) -> Tree:
        """The search state of a new emitter around an ancestor's genome [G]."""
        ...

    def first(self, genome: Array, sigma: Array, search: Tree, key: Key) -> Array:
        """The genomes [E, G] of the first members."""
        ...

    def breed(self, emitter: Emitter, key: Key) -> Array:
        """The genomes [C, G] to evaluate next."""
        ...

    def keep(self, emitter: Emitter, children: Rows, merit: Array | None) -> tuple[Rows, Tree]:
        """The next members and search state, after the children [C] have been evaluated.

        merit [C + E] of children and members is what an elitist population keeps; None stands for the fitness.
        """
        ...


@struct.dataclass
class Elitist:
    """Every member has two children by Gaussian mutation; the best E of all survive."""

    members: int = struct.field(pytree_node=False)
    """Number of members in the emitter's population (E)."""
    limit: float = struct.field(pytree_node=False)
    """Genes are clipped to plus and minus this value."""

    @property
    def children(self) -> int:
        """Number of children: two for each member."""
        return 2 * self.members

    def start(self, genome: Array, sigma: Array) -> Tree:
        """The search state, which is empty for this kind."""
        return ()

    def first(self, genome: Array, sigma: Array, search: Tree, key: Key) -> Array:
        """Mutated copies of the ancestor, which is not itself a member."""
        return self._mutate(jnp.broadcast_to(genome, (self.members, *genome.shape)), sigma, key)

    def breed(self, emitter: Emitter, key: Key) -> Array:
        """Two mutated copies of each member."""
        return self._mutate(jnp.repeat(emitter.members["genome"], 2, axis=0), emitter.sigma, key)

    def keep(self, emitter: Emitter, children: Rows, merit: Array | None) -> tuple[Rows, Tree]:
        """The best E of members and children; children come first and win ties (as in the official reversed sort)."""
        both = jax.tree.map(lambda c, m: jnp.concatenate([c, m]), children, emitter.members)
        best = jax.lax.top_k(both["fitness"] if merit is None else merit, self.members)[1]
        return jax.tree.map(lambda x: x[best], both), ()

    def _mutate(self, genomes: Array, sigma: Array, key: Key) -> Array:
        return jnp.clip(genomes + sigma * jax.random.normal(key, genomes.shape), -self.limit, self.limit)


@struct.dataclass
class Cma:
    """A CMA-ES with sigma as its initial step size; its members are its last sample."""

    members: int = struct.field(pytree_node=False)
    """Number of points in a sample (E)."""
    limit: float = struct.field(pytree_node=False)
    """Genes are clipped to plus and minus this value."""

    @property
    def children(self) -> int:
        """Number of points in the next sample."""
        return self.members

    def start(self, genome: Array, sigma: Array) -> Tree:
        """A CMA-ES with its mean at the ancestor."""
        return cmaes.init(genome, sigma)

    def first(self, genome: Array, sigma: Array, search: Tree, key: Key) -> Array:
        """The first sample [E, G]."""
        return self._sample(search, key)

    def breed(self, emitter: Emitter, key: Key) -> Array:
        """The next sample [C, G]."""
        return self._sample(emitter.search, key)

    def keep(self, emitter: Emitter, children: Rows, merit: Array | None) -> tuple[Rows, Tree]:
        """The sample itself as members; the distribution moves towards its best points."""
        return children, cmaes.decompose(cmaes.tell(emitter.search, children["genome"], children["fitness"]))

    def _sample(self, search: cmaes.CMAES, key: Key) -> Array:
        noise = jax.random.normal(key, (self.members, *search.mean.shape))
        return jnp.clip(cmaes.sample(search, noise), -self.limit, self.limit)


def sigmas(genomes: Array, wanted: Array, duplicate: float) -> Array:
    """[n] a third of the distance to the nearest other genome [n, G]; `duplicate` where that distance is zero.

    Zeros, without the cost, unless `wanted`. Differences are squared directly: the expanded square would cancel for
    near-duplicates.
    """

    def nearest(i: Array) -> Array:
        square = jnp.sum((genomes - genomes[i]) ** 2, axis=1)
        return jnp.sqrt(jnp.min(square.at[i].set(jnp.inf)))

    count = genomes.shape[0]

    def visit(i: Array, found: Array) -> Array:
        return found.at[i].set(nearest(i))

    distance = jax.lax.fori_loop(0, jnp.where(wanted, count, 0), visit, jnp.zeros(count))
    return jnp.where(wanted, jnp.where(distance > 0, distance / 3, duplicate), 0.0)


def blank(kind: Kind, empty_row: Rows, window: int, reservoir: int, *, record: bool = False) -> Emitter:
    """An inactive emitter. empty_row: one empty row of an archive. record: keep the row of the most novel member."""

    def repeat(count: int) -> Rows:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), empty_row)

    zero, low = jnp.zeros(()), jnp.float32(-jnp.inf)
    return Emitter(
        active=jnp.zeros((), bool), ancestor=jnp.int32(0), descriptor=empty_row["descriptor"], sigma=zero,
        members=repeat(kind.members), search=kind.start(empty_row["genome"], jnp.ones(())),
        values=jnp.zeros((window, kind.members)), steps=jnp.int32(0),
        start=jnp.zeros((3, kind.members)), improvement=zero, stored=low,
        novelty=low, reservoir=repeat(reservoir), seen=jnp.int32(0), record=empty_row if record else None,
    )  # fmt: skip


def begin(emitter: Emitter, members: Rows) -> Emitter:
    """The emitter after its first members [E] have been evaluated."""
    return replace(emitter, members=members, values=emitter.values.at[0].set(members["fitness"]))


def step(emitter: Emitter, kind: Kind, children: Rows, merit: Array | None = None) -> Emitter:
    """The emitter after its children [C] have been evaluated: select, record the fitness, measure the improvement."""
    members, search = kind.keep(emitter, children, merit)
    steps = emitter.steps + 1
    window = emitter.values.shape[0]
    values = emitter.values.at[steps % window].set(members["fitness"])
    start = jnp.where(steps <= 2, values[:3], emitter.start)
    # mean of differences: exactly zero on a plateau, unlike the difference of two rounded means
    gain = jnp.mean(values[(steps - jnp.arange(3)) % window] - start)
    gain = jnp.where((steps >= 3) & jnp.isfinite(gain), jnp.maximum(gain, 0.0), 0.0)
    return replace(emitter, members=members, search=search, values=values, steps=steps, start=start, improvement=gain)


def to_store(emitter: Emitter) -> tuple[Array, Emitter]:
    """Which members [E] enter the reward archive: at first the best one, then all that beat the stored fitness."""
    fitness = emitter.members["fitness"]
    best = (jnp.arange(fitness.shape[0]) == jnp.argmax(fitness)) & (fitness > 0)
    mask = jnp.where(jnp.isfinite(emitter.stored), fitness > emitter.stored, best)
    stored = jnp.maximum(emitter.stored, jnp.max(jnp.where(mask, fitness, -jnp.inf)))
    return mask, replace(emitter, stored=stored)


def offer(emitter: Emitter, novelty: Array, bar: Array, key: Key) -> Emitter:
    """Offer every member whose novelty [E] exceeds `bar`, the highest novelty so far, to the reservoir.

    Reservoir sampling: at any time the reservoir is a uniform sample of all members offered, the same distribution as
    drawing Q members from an unbounded buffer at the end.
    """
    slots = emitter.reservoir["fitness"].shape[0]
    fresh = novelty > bar
    if emitter.record is not None:
        most = jnp.argmax(jnp.where(fresh, novelty, -jnp.inf))
        kept = jax.tree.map(lambda x, old: jnp.where(jnp.any(fresh), x[most], old), emitter.members, emitter.record)
        emitter = replace(emitter, record=kept)
    record = jnp.maximum(emitter.novelty, jnp.max(jnp.where(fresh, novelty, -jnp.inf)))
    if not slots:
        return replace(emitter, novelty=record)

    def put(carry: Any, inputs: Any) -> Any:
        reservoir, seen = carry
        row, new, key = inputs
        place = jnp.where(seen < slots, seen, jax.random.randint(key, (), 0, seen + 1))
        place = jnp.where(new, place, slots)  # out of range: dropped
        reservoir = jax.tree.map(lambda r, x: r.at[place].set(x, mode="drop"), reservoir, row)
        return (reservoir, seen + new), None

    keys = jax.random.split(key, novelty.shape[0])
    carry, _ = jax.lax.scan(put, (emitter.reservoir, emitter.seen), (emitter.members, fresh, keys))
    return replace(emitter, reservoir=carry[0], seen=carry[1], novelty=record)


def stagnant(emitter: Emitter) -> Array:
    """Stopping rule: the window's last steps are no better than its first, in the median or in the maximum."""
    window = emitter.values.shape[0]
    oldest = emitter.steps + 1 - window
    first = emitter.values[(oldest + jnp.arange(EDGE)) % window]
    last = emitter.values[(emitter.steps - jnp.arange(EDGE)) % window]
    flat = (jnp.median(first) >= jnp.median(last)) | (jnp.max(first) >= jnp.max(last))
    return (emitter.steps > window) & flat
