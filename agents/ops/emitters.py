"""Emitters: small local searches, each born from one rewarding policy, and their table.

Two kinds, with one interface: `Elitist` (SERENE) keeps the best of parents and children; `Cma` (CMA-NS) samples
from a CMA-ES. Everything here is about ONE emitter; callers `vmap` over trials and index the table.

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

Rows = dict[str, Array]
EDGE = 20
"""Steps at either end of the window that the stopping rule compares."""


@struct.dataclass
class Emitter:
    """One emitter. Leading [M] in a table."""

    active: Array
    ancestor: Array
    """Row of the reward archive that it was born from, int32."""
    descriptor: Array
    """[d] of the ancestor."""
    sigma: Array
    members: Rows
    """genome [E, G], descriptor [E, d], fitness [E], area [E]."""
    search: Tree
    """What else the kind keeps (a CMA-ES state)."""
    values: Array
    """[T, E] ring of the members' fitness after each step."""
    steps: Array
    """Steps taken; the ring has had steps + 1 entries, the first being the initial members."""
    start: Array
    """[3, E] the first three entries of the ring."""
    improvement: Array
    stored: Array
    """Highest fitness it has put into the reward archive, -inf while none."""
    novelty: Array
    """Of its most novel member so far; -inf while that is still the ancestor."""
    reservoir: Rows
    """Up to Q members, a uniform sample of all that were more novel than any before."""
    seen: Array
    """How many have been offered to the reservoir."""


class Kind(Protocol):
    """How an emitter searches."""

    @property
    def members(self) -> int:
        """E."""
        ...

    @property
    def children(self) -> int:
        """C."""
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

    def keep(self, emitter: Emitter, children: Rows) -> tuple[Rows, Tree]:
        """The next members and search state, the children [C] having been evaluated."""
        ...


@struct.dataclass
class Elitist:
    """Every member has two children by Gaussian mutation; the best E of all survive."""

    members: int = struct.field(pytree_node=False)
    limit: float = struct.field(pytree_node=False)
    """Genes are clipped to plus and minus this."""

    @property
    def children(self) -> int:
        """Two a member."""
        return 2 * self.members

    def start(self, genome: Array, sigma: Array) -> Tree:
        """Nothing to keep."""
        return ()

    def first(self, genome: Array, sigma: Array, search: Tree, key: Key) -> Array:
        """Mutants of the ancestor, which is not itself a member."""
        return self._mutate(jnp.broadcast_to(genome, (self.members, *genome.shape)), sigma, key)

    def breed(self, emitter: Emitter, key: Key) -> Array:
        """Two mutants of each member."""
        return self._mutate(jnp.repeat(emitter.members["genome"], 2, axis=0), emitter.sigma, key)

    def keep(self, emitter: Emitter, children: Rows) -> tuple[Rows, Tree]:
        """The best E; children come first, so that they win ties (as the original's reversed sort has it)."""
        both = jax.tree.map(lambda c, m: jnp.concatenate([c, m]), children, emitter.members)
        best = jax.lax.top_k(both["fitness"], self.members)[1]
        return jax.tree.map(lambda x: x[best], both), ()

    def _mutate(self, genomes: Array, sigma: Array, key: Key) -> Array:
        return jnp.clip(genomes + sigma * jax.random.normal(key, genomes.shape), -self.limit, self.limit)


@struct.dataclass
class Cma:
    """A CMA-ES with sigma as its first step size; its members are its last sample."""

    members: int = struct.field(pytree_node=False)
    limit: float = struct.field(pytree_node=False)

    @property
    def children(self) -> int:
        """The next sample."""
        return self.members

    def start(self, genome: Array, sigma: Array) -> Tree:
        """A CMA-ES with its mean at the ancestor."""
        return cmaes.init(genome, sigma)

    def first(self, genome: Array, sigma: Array, search: Tree, key: Key) -> Array:
        """The first sample."""
        return self._sample(search, key)

    def breed(self, emitter: Emitter, key: Key) -> Array:
        """The next sample."""
        return self._sample(emitter.search, key)

    def keep(self, emitter: Emitter, children: Rows) -> tuple[Rows, Tree]:
        """The sample itself; the distribution moves towards its best."""
        return children, cmaes.decompose(cmaes.tell(emitter.search, children["genome"], children["fitness"]))

    def _sample(self, search: cmaes.CMAES, key: Key) -> Array:
        noise = jax.random.normal(key, (self.members, *search.mean.shape))
        return jnp.clip(cmaes.sample(search, noise), -self.limit, self.limit)


def sigmas(genomes: Array, wanted: Array, duplicate: float) -> Array:
    """[n] a third of the distance to the nearest other genome [n, G]; `duplicate` where that is zero.

    Zeros, at no cost, unless `wanted`. Differences are squared as they are: near-duplicates must not cancel.
    """

    def nearest(i: Array) -> Array:
        square = jnp.sum((genomes - genomes[i]) ** 2, axis=1)
        return jnp.sqrt(jnp.min(square.at[i].set(jnp.inf)))

    count = genomes.shape[0]

    def visit(i: Array, found: Array) -> Array:
        return found.at[i].set(nearest(i))

    distance = jax.lax.fori_loop(0, jnp.where(wanted, count, 0), visit, jnp.zeros(count))
    return jnp.where(wanted, jnp.where(distance > 0, distance / 3, duplicate), 0.0)


def blank(kind: Kind, nobody: Rows, window: int, reservoir: int) -> Emitter:
    """An inactive emitter. nobody: one empty row of a policy (genome [G], ...)."""

    def repeat(count: int) -> Rows:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), nobody)

    zero, low = jnp.zeros(()), jnp.float32(-jnp.inf)
    return Emitter(
        active=jnp.zeros((), bool), ancestor=jnp.int32(0), descriptor=nobody["descriptor"], sigma=zero,
        members=repeat(kind.members), search=kind.start(nobody["genome"], jnp.ones(())),
        values=jnp.zeros((window, kind.members)), steps=jnp.int32(0),
        start=jnp.zeros((3, kind.members)), improvement=zero, stored=low,
        novelty=low, reservoir=repeat(reservoir), seen=jnp.int32(0),
    )  # fmt: skip


def begin(emitter: Emitter, members: Rows) -> Emitter:
    """The emitter once its first members [E] have been evaluated."""
    return replace(emitter, members=members, values=emitter.values.at[0].set(members["fitness"]))


def step(emitter: Emitter, kind: Kind, children: Rows) -> Emitter:
    """The emitter once its children [C] have been evaluated: select, remember, measure the improvement."""
    members, search = kind.keep(emitter, children)
    steps = emitter.steps + 1
    window = emitter.values.shape[0]
    values = emitter.values.at[steps % window].set(members["fitness"])
    start = jnp.where(steps <= 2, values[:3], emitter.start)
    # the mean of differences: that of a plateau is zero, which the difference of two rounded means need not be
    gain = jnp.mean(values[(steps - jnp.arange(3)) % window] - start)
    gain = jnp.where((steps >= 3) & jnp.isfinite(gain), jnp.maximum(gain, 0.0), 0.0)
    return replace(emitter, members=members, search=search, values=values, steps=steps, start=start, improvement=gain)


def to_store(emitter: Emitter) -> tuple[Array, Emitter]:
    """Which members [E] enter the reward archive: the best one at first, then all that beat what was stored."""
    fitness = emitter.members["fitness"]
    best = (jnp.arange(fitness.shape[0]) == jnp.argmax(fitness)) & (fitness > 0)
    mask = jnp.where(jnp.isfinite(emitter.stored), fitness > emitter.stored, best)
    stored = jnp.maximum(emitter.stored, jnp.max(jnp.where(mask, fitness, -jnp.inf)))
    return mask, replace(emitter, stored=stored)


def offer(emitter: Emitter, novelty: Array, bar: Array, key: Key) -> Emitter:
    """Offer every member whose novelty ([E]) exceeds the bar, that of the most novel before, to the reservoir.

    Reservoir sampling: at any time it holds a uniform sample of all that were offered, which is what drawing Q
    members from an unbounded buffer at the end would give.
    """
    slots = emitter.reservoir["fitness"].shape[0]
    fresh = novelty > bar
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
    """STOP: the window's last steps are no better than its first, in the median or in the maximum."""
    window = emitter.values.shape[0]
    oldest = emitter.steps + 1 - window
    first = emitter.values[(oldest + jnp.arange(EDGE)) % window]
    last = emitter.values[(emitter.steps - jnp.arange(EDGE)) % window]
    flat = (jnp.median(first) >= jnp.median(last)) | (jnp.max(first) >= jnp.max(last))
    return (emitter.steps > window) & flat
