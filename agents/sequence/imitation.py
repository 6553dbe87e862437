"""Behaviour cloning of whole episodes by a network that remembers; a variant gives its trunk and little else.

    windows begin at the first row of an episode and are S segments of L steps
    for each group of K segments:   loss = mean over its valid steps of - log pi(a_t | o_1..o_t), or (a_t - pi)^2
                                    one step of AdamW; its gradient flows through the carries of these K segments
    between groups the carry stays, without its gradient (K = 1: no gradient ever reaches what a memory writes)

Source: the training loop of ELMUR (arXiv 2510.07151) and RATE: CognitiveAISystems/RATE, src/trainer.py.
Shapes: B rows of a batch, U batches of an iteration, T = S L steps of a window, A choices or components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from prospect_rl.agents.api import (
    Agent,
    Array,
    Batch,
    Batches,
    Box,
    DefaultRun,
    Discrete,
    Inputs,
    Key,
    Spec,
    Tree,
    hyper,
)
from prospect_rl.agents.nn.encoder import blank
from prospect_rl.agents.nn.trunk import Trunk, advance
from prospect_rl.agents.sequence.network import Network


@struct.dataclass
class State:
    """What is learned."""

    params: Tree
    optimiser: Tree


@dataclass(frozen=True, kw_only=True)
class SequenceBC(Agent):
    """Behaviour cloning with a memory: the base of ELMUR and its rivals."""

    default_run = DefaultRun("memory/tmaze", 1_000, "memory/tmaze/oracle")

    width: int = hyper(64, least=2)
    """Number of features of each token in all layers (D)."""
    context: int = hyper(10, least=1)
    """Number of environment steps in a segment (L)."""
    segments: int = hyper(3, least=1)
    """Number of segments in a training window (S); the rest of a longer episode is not learned from."""
    bptt_segments: int = hyper(0, least=0)
    """Number of segments that a gradient flows back through (K), with an optimiser step after each K; 0 means all of a
    window."""
    batch_size: int = hyper(64, least=1)
    """Number of windows in the batch of a gradient step (B)."""
    updates: int = hyper(20, least=1)
    """Number of batches that are learned from in an iteration (U)."""
    learning_rate: float = hyper(1e-3, above=0)
    """Learning rate of the AdamW optimiser after the warm-up."""
    beta1: float = hyper(0.9, least=0, below=1)
    """Decay rate of AdamW's running mean of the gradient."""
    beta2: float = hyper(0.999, least=0, below=1)
    """Decay rate of AdamW's running mean of the squared gradient."""
    weight_decay: float = hyper(1e-4, least=0)
    """Weight decay of the AdamW optimiser."""
    max_grad_norm: float = hyper(1.0, above=0)
    """Largest norm of a gradient; longer gradients are scaled down to it."""
    warm_up: int = hyper(0, least=0)
    """Number of optimiser steps in which the learning rate rises from 0 in a straight line."""
    decay: int = hyper(0, least=0)
    """Number of optimiser steps after the warm-up in which the learning rate falls to its floor; 0 means that it
    stays."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the learning rate falls after the warm-up: along a cosine or in a straight line."""
    floor: float = hyper(0.1, least=0, most=1)
    """Share of the learning rate that is left when it has fallen."""
    label_smoothing: float = hyper(0.0, least=0, below=1)
    """Share of the probability of a discrete target action that is spread over all actions."""
    dropout: float = hyper(0.0, least=0, below=1)
    """Share of activations that are set to zero in training, where the network has dropout."""
    sample: bool = False
    """Whether discrete actions are drawn from the policy; otherwise the likeliest action is taken."""

    vmap_seeds: ClassVar[bool] = False
    remembers: ClassVar[bool] = True
    """Whether there is a memory."""
    looks: ClassVar[tuple[str, ...]] = ("obs",)
    """See `Network.looks`; the last one is where the action is read off."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.segments % self.group:
            raise ValueError(f"bptt_segments must divide the {self.segments} segments, {self.group} does not")

    @property
    def group(self) -> int:
        """K of the head of this file."""
        return self.bptt_segments or self.segments

    def misfit(self, spec: Spec) -> str | None:
        """Needs one vector or one choice as action."""
        if isinstance(spec.action, Discrete):
            return None
        if not isinstance(spec.action, Box) or len(spec.action.shape) != 1:
            return "it needs a vector of real numbers or a choice as action"
        finite = np.isfinite(np.append(spec.action.low, spec.action.high))
        return None if finite.all() or not finite.any() else "it needs actions with all bounds or none"

    @property
    def wants(self) -> Batches:
        """Windows from the first rows of episodes on."""
        return Batches(self.batch_size, self.updates, length=self.context * self.segments, whole=True)

    @property
    def trunk(self) -> Trunk:
        """What remembers."""
        raise NotImplementedError

    @property
    def network(self) -> Network:
        """Tokens, trunk and head."""
        return Network(self.bound.obs, self.bound.action, self.looks, self.trunk)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """AdamW on cut gradients; all weights are one vector, which compiles in less time."""
        rate = self.learning_rate
        if self.schedule == "cosine":
            fall = optax.cosine_decay_schedule(rate, max(self.decay, 1), self.floor)
        else:
            fall = optax.linear_schedule(rate, rate * self.floor, max(self.decay, 1))
        after = fall if self.decay else optax.constant_schedule(rate)
        rising = optax.linear_schedule(0.0, rate, max(self.warm_up, 1))
        course = optax.join_schedules([rising, after], [self.warm_up]) if self.warm_up else after
        adam = optax.adamw(course, self.beta1, self.beta2, weight_decay=self.weight_decay)
        return optax.flatten(optax.chain(optax.clip_by_global_norm(self.max_grad_norm), adam))

    def init(self, key: Key) -> State:
        """Random weights."""
        action = self.bound.action
        nothing = jnp.zeros(action.shape, jnp.int32 if isinstance(action, Discrete) else jnp.float32)  # type: ignore[union-attr]
        seen = {"obs": blank(self.bound.obs), "action": nothing, "first": jnp.ones((), bool), "return": jnp.zeros(())}
        params = {"params": self.network.init(key, seen, key)["params"]}
        return State(params, self.optimiser.init(params))

    # --- acting --------------------------------------------------------------------------------------

    def exploit(self, state: State) -> Tree:
        """The network's weights."""
        return state.params

    def memory(self, behaviour: Tree, key: Key) -> Tree:
        """The trunk's, at the start of an episode."""
        return self.network.apply(behaviour, key, method="open")

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """What the data would most likely do, or a draw of what it might."""
        seen = {"obs": inputs.obs, "action": inputs.action, "first": inputs.first}
        out, memory = self.stepped(behaviour, memory, seen)
        return self.choice(out, key), memory, ()

    def stepped(self, params: Tree, memory: Tree, seen: dict[str, Tree]) -> tuple[Array, Tree]:
        """(outputs [A], memory) of ONE step."""
        apply = self.network.apply
        token = apply(params, seen, method="embed")
        features, memory = advance(apply, params, memory, token, self.context)  # type: ignore[arg-type]
        return apply(params, features, method="head"), memory  # type: ignore[return-value]

    def choice(self, out: Array, key: Key) -> Array:
        """The action for outputs [A]."""
        if isinstance(self.bound.action, Discrete):
            out = out + jax.random.gumbel(key, out.shape) if self.sample else out
            return jnp.argmax(out).astype(jnp.int32)
        if (scale := scale_of(self.bound.action)) is not None:
            return jnp.asarray(scale[0]) + jnp.asarray(scale[1]) * jnp.tanh(out)
        return out

    # --- learning ------------------------------------------------------------------------------------

    def seen(self, rows: dict[str, Tree]) -> dict[str, Tree]:
        """What is looked at [U, B, T, ...] in windows that begin with their episodes."""
        action = rows["action"]
        before = jnp.concatenate([jnp.zeros_like(action[:, :, :1]), action[:, :, :-1]], axis=2)
        first = jnp.broadcast_to(jnp.arange(action.shape[2]) == 0, action.shape[:3])
        return {"obs": rows["obs"], "action": before, "first": first}

    def error(self, out: Array, action: Array) -> Array:
        """[] of ONE step: the cross entropy of logits [A], or the squared error (mean over components)."""
        space = self.bound.action
        if isinstance(space, Discrete):
            target = optax.smooth_labels(jax.nn.one_hot(action, space.n), self.label_smoothing)
            return optax.softmax_cross_entropy(out, target)
        if (scale := scale_of(space)) is not None:
            out, action = jnp.tanh(out), (action - scale[0]) / scale[1]
        return jnp.mean((out - action) ** 2)

    def penalty(self, sown: dict[str, Any]) -> Array | float:
        """A loss beside the error, of what layers have sown: means over streams and segments."""
        return 0.0

    def forward(self, params: Tree, carry: Tree, seen: dict[str, Tree], key: Key | None) -> tuple[Array, Tree, Tree]:
        """(outputs [L, A], carry, sown) of ONE segment of ONE stream; with a key numbers are dropped."""
        apply, rngs = self.network.apply, {} if key is None else {"dropout": key}
        tokens = jax.vmap(lambda s: apply(params, s, method="embed"))(seen)
        (features, carry), sown = apply(params, carry, tokens, method="segment", rngs=rngs, mutable=["sown"])  # type: ignore[misc]
        return apply(params, features, method="head"), carry, sown  # type: ignore[return-value]

    def loss(self, params: Tree, carry: Tree, group: Tree, key: Key) -> tuple[Array, Tree]:
        """(loss [], carries [B] after it) of a group (seen, action, valid), all leading [K, B, L]."""

        def segment(carry: Tree, part: Tree) -> tuple[Tree, Tree]:
            (seen, action, valid), number = part
            keys = jax.random.split(jax.random.fold_in(key, number), valid.shape[0])
            out, carry, sown = jax.vmap(self.forward, (None, 0, 0, 0))(params, carry, seen, keys)
            error = jnp.where(valid, jax.vmap(jax.vmap(self.error))(out, action), 0)
            return carry, (jnp.sum(error), jnp.sum(valid), jax.tree.map(lambda x: jnp.mean(x, axis=0), sown))

        carry, (total, count, sown) = jax.lax.scan(segment, carry, (group, jnp.arange(self.group)))
        sown = jax.tree.map(lambda x: jnp.mean(x, axis=0), sown)
        return jnp.sum(total) / jnp.maximum(jnp.sum(count), 1) + self.penalty(sown), carry

    def learn(self, state: State, data: Batch, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """U batches, each with S / K optimiser steps."""

        def step(learner: tuple[State, Tree], part: Tree) -> tuple[tuple[State, Tree], Array]:
            (state, carry), (group, key) = learner, part
            (loss, carry), gradient = jax.value_and_grad(self.loss, has_aux=True)(state.params, carry, group, key)
            change, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
            return (State(optax.apply_updates(state.params, change), optimiser), carry), loss

        def batch(state: State, part: Tree) -> tuple[State, Array]:
            groups, key = part
            k_start, k_groups = jax.random.split(key)
            start = jax.vmap(lambda k: self.network.apply(state.params, k, method="start"))
            carry = start(jax.random.split(k_start, self.batch_size))
            keys = jax.random.split(k_groups, self.segments // self.group)
            (state, _), losses = jax.lax.scan(step, (state, carry), (groups, keys))
            return state, losses

        windows = self.seen(data.rows), data.rows["action"], data.valid
        groups = jax.tree.map(self.cut, windows)
        state, losses = jax.lax.scan(batch, state, (groups, jax.random.split(key, self.updates)))
        return state, {"learn/loss": jnp.mean(losses)}

    def cut(self, x: Array) -> Array:
        """Windows [U, B, T, ...] as groups of segments [U, S / K, K, B, L, ...]."""
        x = x.reshape(*x.shape[:2], -1, self.group, self.context, *x.shape[3:])
        return jnp.moveaxis(x, 1, 3)


def scale_of(space: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """(centre, half width) [A] of bounded real actions, else None."""
    if not isinstance(space, Box) or not np.all(np.isfinite(space.low)):
        return None
    low, high = (np.broadcast_to(np.asarray(x, np.float32), space.shape) for x in (space.low, space.high))
    return (low + high) / 2, (high - low) / 2
