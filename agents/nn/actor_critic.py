"""The network of PPO: an encoder shared by policy and value, an optional memory (a GRU or a trunk), and two heads.

Source: the orthogonal initialisation of Andrychowicz et al. 2021, arXiv 2006.05990 (gain sqrt(2), .01 for the policy's
last layer, 1 for the value's; biases 0). Written for one example; callers `vmap`. Shapes: F features, H memory, O
outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.nn.encoder import Encoder
from prospect_rl.agents.nn.networks import ACTIVATIONS, Layer, stacked
from prospect_rl.agents.nn.trunk import Trunk, advance, emptied, where_needed
from prospect_rl.envs.api import Array, Discrete, Space, Spec, Transitions, Tree


class Head(nn.Module):
    """A feed-forward network: [F] -> [O]."""

    features: Sequence[int]
    """Widths of the layers, the output last."""
    gain: float
    """Scale of the last layer's orthogonal weights."""
    activation: Callable[[Array], Array]
    """Activation function between layers, not after the last."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The output [O]."""
        for i, width in enumerate(self.features):
            last = i == len(self.features) - 1
            x = nn.Dense(width, kernel_init=nn.initializers.orthogonal(self.gain if last else math.sqrt(2)))(x)
            x = x if last else self.activation(x)
        return x


class ActorCritic(nn.Module):
    """Policy and value of an observation and, with a GRU or a trunk, of the memory of earlier observations."""

    space: Space
    """Space of the observations."""
    outputs: int
    """Number of discrete actions, or of action components."""
    continuous: bool
    """Whether to learn the log standard deviation [O], which is the same for all observations."""
    encoding: int
    """Width of the encoder's dense layer."""
    hidden: Sequence[int]
    """Widths of the hidden layers of both heads."""
    recurrent: int
    """Width of the GRU (H); 0 means no GRU."""
    activation: Callable[[Array], Array]
    """Activation function of all layers."""
    core: Trunk | None = None
    """Memory module in place of the GRU. Its initial memory is drawn from one fixed key, so all episodes start
    alike."""

    def setup(self) -> None:
        """Make the parts of the network."""
        self.encoder = self.make_encoder()
        self.cell = nn.GRUCell(self.recurrent) if self.recurrent else None
        self.token = nn.Dense(self.core.width) if self.core else None
        self.policy = self.make_policy()
        self.value = Head((*self.hidden, 1), 1.0, self.activation)
        if self.continuous:
            self.log_std = self.param("log_std", nn.initializers.zeros, (self.outputs,))

    def make_encoder(self) -> nn.Module:
        """The network from an observation to its features; overridden for others."""
        return Encoder(self.space, self.encoding, self.activation)

    def make_policy(self) -> nn.Module:
        """The policy's network, of the features; overridden for another policy."""
        return Head((*self.hidden, self.outputs), 0.01, self.activation)

    def dense_layers(self, params: Tree) -> list[Layer]:
        """Those of the policy behind the encoder, where there is no memory between them."""
        return stacked(params["params"]["policy"])

    def encode(self, obs: Tree) -> Array:
        """The features [F] of an observation."""
        return self.encoder(obs)

    def open(self) -> Tree:
        """The memory at the start of an episode: zeros [H] for a GRU."""
        if self.core is not None:
            return self.core.open(jax.random.key(0))
        return jnp.zeros(self.recurrent) if self.recurrent else ()

    def remember(self, memory: Tree, features: Array) -> tuple[Tree, Array]:
        """(new memory, input of the heads); without a memory module the input is the features."""
        if self.core is not None and self.token is not None:

            def apply(params: Tree, *x: Tree, method: str) -> Tree:
                return getattr(self.core, method)(*x)

            seen, memory = advance(apply, (), memory, self.token(features)[None], self.core.context, lazy=False)
            return memory, seen
        return (memory, features) if self.cell is None else self.cell(memory, features)

    def heads(self, seen: Array) -> tuple[Array, Array]:
        """(logits or mean [O], value [])."""
        return self.policy(seen), self.value(seen)[0]

    def __call__(self, memory: Tree, obs: Tree) -> tuple[Tree, Array, Array]:
        """(memory, logits or mean [O], value []) at one step; memory None stands for the start of an episode."""
        memory = self.open() if memory is None else memory
        memory, seen = self.remember(memory, self.encode(obs))
        return memory, *self.heads(seen)


def actor_critic(
    spec: Spec, encoding: int, hidden: Sequence[int], recurrent: int, activation: str, core: Trunk | None = None
) -> ActorCritic:
    """The network for an environment's spaces; `activation` by its name, the other arguments as its fields."""
    action: Any = spec.action
    discrete = isinstance(action, Discrete)
    return ActorCritic(
        spec.obs, action.n if discrete else action.size, not discrete, encoding, hidden, recurrent,
        ACTIVATIONS[activation], core,
    )  # fmt: skip


def replay(network: ActorCritic, params: Tree, memory: Tree, obs: Tree, first: Array) -> tuple[Array, Array]:
    """(logits or means [B, T, O], values [B, T]) of B streams, recomputed from their memories [B, ...].

    obs, first: [B, T]; where `first` holds an episode starts, with a fresh memory.
    """

    def call(name: str) -> Callable[..., Tree]:
        return lambda *x: network.apply(params, *x, method=name)

    opened = call("open")()

    def step(memory: Tree, now: tuple[Array, Array]) -> tuple[Tree, Array]:
        return call("remember")(emptied(opened, memory, now[1]), now[0])

    features = jax.vmap(jax.vmap(call("encode")))(obs)
    seen = jax.vmap(lambda *stream: jax.lax.scan(step, stream[0], stream[1:])[1])(memory, features, first)
    return jax.vmap(jax.vmap(call("heads")))(seen)


def successors(network: ActorCritic, params: Tree, memory: Tree, obs: Tree, after: Tree, steps: Transitions) -> Array:
    """Values [T, N] of the successors `after` of a segment, by the memory that each step leaves; 0 after a termination.

    Within an episode that is the value that the next step had. The others are found by playing the streams again from
    their memories [N, ...], step by step: where episodes begin, and with them a trunk's segments, differs from one
    stream to the next. Without gradients.
    """
    opened = network.apply(params, method="open")
    features = jax.vmap(jax.vmap(lambda obs: network.apply(params, obs, method="encode")))(obs)
    cut = (steps.truncated & ~steps.terminated).at[-1].set(True)

    def value(given: Tree, nothing: Array) -> Array:
        out: Any = network.apply(*given)
        return out[2]

    def one(memory: Tree, now: Tree) -> tuple[Tree, Array]:
        features, first, after, cut = now
        out: Any = network.apply(params, emptied(opened, memory, first), features, method="remember")
        return out[0], where_needed(cut, value, (params, out[0], after), jnp.zeros(()))

    _, found = jax.lax.scan(jax.vmap(one), memory, (features, steps.inputs.first, after, cut))
    return jnp.where(cut | steps.terminated, found, jnp.roll(steps.extras.value, -1, axis=0))
