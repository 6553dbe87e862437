"""The base of all agents that evolve policy networks: the network, the genome and its mutation.

Source: SERENE's official code (GPaolo/SERENE, core/evolvers/base_evolver.py, parameters.py; see
docs/methods/serene.md). Shapes: G genes, P policies.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Agent, Array, Box, DefaultRun, Inputs, Key, Spec, Tree, hyper, not_bounded_vector
from prospect_rl.agents.nn import mlp
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.agents.ship.to_numpy import feed_forward


@dataclass(frozen=True, kw_only=True)
class Neuroevolution(Agent):
    """Base of agents whose behaviour is a flat genome [G]: the weights of a small tanh network."""

    default_run = DefaultRun("maze/hard", 100_000)

    hidden: tuple[int, ...] = hyper((5, 5), least=1)
    """Number of neurons in each hidden layer of the policy network."""
    gene_limit: float = hyper(5.0, above=0)
    """Largest absolute value of a network weight (a gene); mutations beyond it are clipped."""
    mutation: float = hyper(0.05, above=0)
    """Standard deviation of the Gaussian noise that a mutation adds to each network weight."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs one flat observation vector and bounded real actions."""
        if not isinstance(spec.obs, Box) or len(spec.obs.shape) != 1:
            return "it needs a flat vector as observation"
        return not_bounded_vector(spec.action)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Layer sizes of the policy network, input and output included."""
        obs, action = self.bound.obs, self.bound.action
        assert isinstance(obs, Box) and isinstance(action, Box)
        return (obs.size, *self.hidden, action.size)

    @property
    def genes(self) -> int:
        """Number of genes (G), the weights of the network."""
        return mlp.genes(self.sizes)

    def random_genomes(self, key: Key, count: int) -> Array:
        """`count` random genomes [count, G]: standard normal, clipped to the gene limit."""
        return self.clip(jax.random.normal(key, (count, self.genes)))

    def mutate(self, key: Key, genomes: Array, sigma: Array | float | None = None) -> Array:
        """Each gene plus N(0, sigma^2), clipped. genomes [..., G]; sigma broadcasts to it (default: `mutation`)."""
        sigma = self.mutation if sigma is None else sigma
        return self.clip(genomes + sigma * jax.random.normal(key, genomes.shape))

    def clip(self, genomes: Array) -> Array:
        """Genomes clipped to the gene limit."""
        return jnp.clip(genomes, -self.gene_limit, self.gene_limit)

    def to_numpy(self, behaviour: Tree) -> Policy:
        """The genome's layers: tanh((x W + b) / 2), b the same for all, is tanh of both halved."""
        layers = [(w * 0.5, jnp.full(w.shape[1], b * 0.5)) for w, b in mlp.unpack(behaviour, self.sizes)]
        return feed_forward(self, layers, activation="tanh")

    def memory(self, behaviour: Tree, key: Key) -> Tree:
        """The network, unpacked from its genome once per episode rather than at every step."""
        return mlp.unpack(behaviour, self.sizes)

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """The network's output, scaled from (-1, 1) to the bounds of the action space."""
        action = self.bound.action
        assert isinstance(action, Box)
        out, (low, high) = mlp.forward(memory, inputs.obs), action.bounds("float32")
        if np.all(low == -1) and np.all(high == 1):
            return out, memory, ()
        # not `Box.scale`, which rounds otherwise: this is how the results that are kept were made
        return jnp.asarray(low) + (out + 1) * (0.5 * (high - low)), memory, ()
