"""Behaviour cloning of whole episodes by a network with memory; a subclass mainly defines its trunk.

    windows start at the first row of an episode and are S segments of L steps
    for each group of K segments:   loss = mean over its valid steps of - log pi(a_t | o_1..o_t), or (a_t - pi)^2
                                    one step of AdamW; its gradient flows through the carries of these K segments
    between groups the carry is passed on without its gradient (K = 1: no gradient reaches what is written to memory)

Source: the training loop of ELMUR (arXiv 2510.07151) and RATE: CognitiveAISystems/RATE, src/trainer.py.
Shapes: B rows of a batch, U batches of an iteration, T = S L steps of a window, A discrete actions or components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax

from prospect_rl.agents.api import Array, Batch, Batches, DefaultRun, Discrete, Inputs, Key, Tree, hyper
from prospect_rl.agents.cloning import Cloning, State
from prospect_rl.agents.nn.encoder import blank
from prospect_rl.agents.nn.trunk import Trunk, advance, emptied
from prospect_rl.agents.sequence.network import Network


@dataclass(frozen=True, kw_only=True)
class SequenceBC(Cloning):
    """Behaviour cloning with a memory: the base of ELMUR and its baselines."""

    default_run = DefaultRun("memory/tmaze", 1_000, "memory/tmaze/oracle")

    width: int = hyper(64, least=2)
    """Number of features of each token in all layers (D)."""
    context: int = hyper(10, least=1)
    """Number of environment steps in a segment (L)."""
    segments: int = hyper(3, least=1)
    """Number of segments in a training window (S); the rest of a longer episode is not used."""
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
    """Number of optimiser steps in which the learning rate rises linearly from 0."""
    decay: int = hyper(0, least=0)
    """Number of optimiser steps after the warm-up in which the learning rate decays to its final value; 0 means that it
    is constant."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """Shape of the decay of the learning rate after the warm-up: cosine or linear."""
    floor: float = hyper(0.1, least=0, most=1)
    """Final learning rate after the decay, as a share of the learning rate (0-1)."""
    label_smoothing: float = hyper(0.0, least=0, below=1)
    """Share of the probability of a discrete target action that is spread over all actions (0-1)."""
    dropout: float = hyper(0.0, least=0, below=1)
    """Share of activations that are set to zero in training (0-1), where the network has dropout."""
    sample: bool = False
    """Whether discrete actions are sampled from the policy; otherwise the most likely action is taken."""

    token_names: ClassVar[tuple[str, ...]] = ("obs",)
    """Inputs that become tokens (see `Network.token_names`); the action is predicted from the last one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.segments % self.group:
            raise ValueError(f"bptt_segments must divide the {self.segments} segments, {self.group} does not")

    @property
    def remembers(self) -> bool:
        """Whether the agent has a memory: always."""
        return True

    @property
    def group(self) -> int:
        """Number of segments in a group (K of the module's docstring)."""
        return self.bptt_segments or self.segments

    @property
    def wants(self) -> Batches:
        """Windows that start at the first rows of episodes."""
        return Batches(self.batch_size, self.updates, length=self.context * self.segments, whole=True)

    @property
    def trunk(self) -> Trunk:
        """The trunk: the part of the network with memory."""
        raise NotImplementedError

    @property
    def network(self) -> Network:
        """The network: tokens, trunk and head."""
        return Network(self.bound.obs, self.bound.action, self.token_names, self.trunk)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """AdamW with gradient clipping; all weights are flattened to one vector, which compiles faster."""
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
        """A network with random weights."""
        action = self.bound.action
        nothing = jnp.zeros(action.shape, jnp.int32 if isinstance(action, Discrete) else jnp.float32)  # type: ignore[union-attr]
        seen = {"obs": blank(self.bound.obs), "action": nothing, "first": jnp.ones((), bool), "return": jnp.zeros(())}
        params = {"params": self.network.init(key, seen, key)["params"]}
        return State(params, self.optimiser.init(params))

    # --- acting --------------------------------------------------------------------------------------

    def memory(self, behaviour: Tree, key: Key) -> Tree:
        """The trunk's memory at the start of an episode."""
        return self.network.apply(behaviour, key, method="open")

    def fresh_memory(self, behaviour: Tree, memory: Tree, ended: Array, key: Key) -> Tree:
        """Of a trunk's window the count alone."""
        return emptied(self.memory(behaviour, key), memory, ended)

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """The most likely action of the cloned policy, or a sample of it."""
        seen = {"obs": inputs.obs, "action": inputs.action, "first": inputs.first}
        out, memory = self.stepped(behaviour, memory, seen)
        return self.choice(out, key), memory, ()

    def stepped(self, params: Tree, memory: Tree, seen: dict[str, Tree]) -> tuple[Array, Tree]:
        """(outputs [A], memory) of the network after ONE step."""
        apply = self.network.apply
        token = apply(params, seen, method="embed")
        features, memory = advance(apply, params, memory, token, self.context)  # type: ignore[arg-type]
        return apply(params, features, method="head"), memory  # type: ignore[return-value]

    def choice(self, out: Array, key: Key) -> Array:
        """The action for outputs [A]."""
        draws = self.sample and isinstance(self.bound.action, Discrete)
        return self.likeliest(out + jax.random.gumbel(key, out.shape) if draws else out)

    # --- learning ------------------------------------------------------------------------------------

    def inputs_of(self, rows: dict[str, Tree]) -> dict[str, Tree]:
        """The network's inputs [U, B, T, ...] for windows that start with their episodes."""
        action = rows["action"]
        before = jnp.concatenate([jnp.zeros_like(action[:, :, :1]), action[:, :, :-1]], axis=2)
        first = jnp.broadcast_to(jnp.arange(action.shape[2]) == 0, action.shape[:3])
        return {"obs": rows["obs"], "action": before, "first": first}

    def error(self, out: Array, action: Array) -> Array:
        """The error [] of ONE step: the cross entropy of logits [A], or the squared error (mean over components)."""
        space = self.bound.action
        if isinstance(space, Discrete):
            target = optax.smooth_labels(jax.nn.one_hot(action, space.n), self.label_smoothing)
            return optax.softmax_cross_entropy(out, target)
        return self.distance(out, action)

    def penalty(self, sown: dict[str, Any]) -> Array | float:
        """A loss in addition to the error, from values sown by layers: means over streams and segments."""
        return 0.0

    def forward(self, params: Tree, carry: Tree, seen: dict[str, Tree], key: Key | None) -> tuple[Array, Tree, Tree]:
        """(outputs [L, A], carry, sown values) of ONE segment of ONE stream; dropout needs a key."""
        apply, rngs = self.network.apply, {} if key is None else {"dropout": key}
        tokens = jax.vmap(lambda s: apply(params, s, method="embed"))(seen)
        (features, carry), sown = apply(params, carry, tokens, method="segment", rngs=rngs, mutable=["sown"])  # type: ignore[misc]
        return apply(params, features, method="head"), carry, sown  # type: ignore[return-value]

    def loss(self, params: Tree, carry: Tree, group: Tree, key: Key) -> tuple[Array, Tree]:
        """(loss [], carries [B] after it) of a group (inputs, action, valid), all leading [K, B, L]."""

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
            return (self.trained(state, gradient), carry), loss

        def batch(state: State, part: Tree) -> tuple[State, Array]:
            groups, key = part
            k_start, k_groups = jax.random.split(key)
            start = jax.vmap(lambda k: self.network.apply(state.params, k, method="start"))
            carry = start(jax.random.split(k_start, self.batch_size))
            keys = jax.random.split(k_groups, self.segments // self.group)
            (state, _), losses = jax.lax.scan(step, (state, carry), (groups, keys))
            return state, losses

        windows = self.inputs_of(data.rows), data.rows["action"], data.valid
        groups = jax.tree.map(self.cut, windows)
        state, losses = jax.lax.scan(batch, state, (groups, jax.random.split(key, self.updates)))
        return state, {"learn/loss": jnp.mean(losses)}

    def cut(self, x: Array) -> Array:
        """Windows [U, B, T, ...] as groups of segments [U, S / K, K, B, L, ...]."""
        x = x.reshape(*x.shape[:2], -1, self.group, self.context, *x.shape[3:])
        return jnp.moveaxis(x, 1, 3)
