"""The network of PPO: an encoder that policy and value share, a GRU or a trunk where asked for, and a head each.

Source: the orthogonal start of Andrychowicz et al. 2021, arXiv 2006.05990 (gain sqrt(2), .01 for the policy's last
layer, 1 for the value's; biases 0). Written for one example; callers `vmap`. Shapes: F features, H memory, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.nn.encoder import Encoder
from prospect_rl.agents.nn.trunk import Trunk, advance
from prospect_rl.envs.api import Array, Space, Tree


class Head(nn.Module):
    """A feed-forward network: [F] -> [O]."""

    features: Sequence[int]
    """Widths of the layers, the output last."""
    gain: float
    """Scale of the last layer's orthogonal weights."""
    activation: Callable[[Array], Array]
    """Between layers, not after the last."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The output [O]."""
        for i, width in enumerate(self.features):
            last = i == len(self.features) - 1
            x = nn.Dense(width, kernel_init=nn.initializers.orthogonal(self.gain if last else math.sqrt(2)))(x)
            x = x if last else self.activation(x)
        return x


class ActorCritic(nn.Module):
    """Policy and value of an observation and, where there is a GRU or a trunk, of what came before it."""

    space: Space
    """Of observations."""
    outputs: int
    """Choices, or components of the action."""
    continuous: bool
    """Whether there is a logarithm of the standard deviation [O] to learn, the same for all observations."""
    encoding: int
    """Width of the encoder's dense layer."""
    hidden: Sequence[int]
    """Widths of the hidden layers of both heads."""
    recurrent: int
    """H, the width of the GRU; 0: none."""
    activation: Callable[[Array], Array]
    """Of all layers."""
    core: Trunk | None = None
    """What remembers in the GRU's place. Episodes begin alike: its start is drawn from one key."""

    def setup(self) -> None:
        """The parts."""
        self.encoder = Encoder(self.space, self.encoding, self.activation)
        self.cell = nn.GRUCell(self.recurrent) if self.recurrent else None
        self.token = nn.Dense(self.core.width) if self.core else None
        self.policy = Head((*self.hidden, self.outputs), 0.01, self.activation)
        self.value = Head((*self.hidden, 1), 1.0, self.activation)
        if self.continuous:
            self.log_std = self.param("log_std", nn.initializers.zeros, (self.outputs,))

    def encode(self, obs: Tree) -> Array:
        """Features [F] of an observation."""
        return self.encoder(obs)

    def open(self) -> Tree:
        """The memory at the start of an episode: zeros [H] of a GRU."""
        if self.core is not None:
            return self.core.open(jax.random.key(0))
        return jnp.zeros(self.recurrent) if self.recurrent else ()

    def remember(self, memory: Tree, features: Array) -> tuple[Tree, Array]:
        """(the new memory, what the heads see); without a memory, what came in."""
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
        """(memory, logits or mean [O], value []) at one step; memory None: the first of an episode."""
        memory = self.open() if memory is None else memory
        memory, seen = self.remember(memory, self.encode(obs))
        return memory, *self.heads(seen)


def replay(network: ActorCritic, params: Tree, memory: Tree, obs: Tree, first: Array) -> tuple[Array, Array]:
    """(logits or means [B, T, O], values [B, T]) of B streams played again from their memories [B, ...].

    obs, first: [B, T]; where `first` holds an episode begins, and with it the memory.
    """

    def call(name: str) -> Callable[..., Tree]:
        return lambda *x: network.apply(params, *x, method=name)

    opened = call("open")()

    def step(memory: Tree, now: tuple[Array, Array]) -> tuple[Tree, Array]:
        memory = jax.tree.map(lambda new, old: jnp.where(now[1], new, old), opened, memory)
        return call("remember")(memory, now[0])

    features = jax.vmap(jax.vmap(call("encode")))(obs)
    seen = jax.vmap(lambda *stream: jax.lax.scan(step, stream[0], stream[1:])[1])(memory, features, first)
    return jax.vmap(jax.vmap(call("heads")))(seen)
