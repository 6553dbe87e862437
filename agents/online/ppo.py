"""PPO: a clipped policy gradient on segments of experience; the base of the exploration agents.

Source: Schulman et al. 2017, arXiv 1707.06347, eq. 7 and 9; conventions of stable-baselines3 (value loss without 1/2).
    take T steps of N streams;  r = rewards(...)      <- THE HOOK: subclasses override `rewards`, and little else
    A   = GAE(r, V),  R = A + V                       a termination ends, a time limit is bootstrapped
    `epochs` passes in shuffled minibatches, Adam on
        - mean min(rho A, clip(rho, 1 - eps, 1 + eps) A),   rho = pi(a | s) / pi_old(a | s)
        + value_weight mean (V - R)^2  -  entropy mean H(pi(. | s))
A recurrent policy recomputes each stream from its memory at step 0, V(next_obs) too; its minibatches are whole streams.

There is one value head: a subclass's bonus is discounted with gamma and ends with its episode.
Shapes: T steps, N streams, B rows of a minibatch (streams where recurrent), A action components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from prospect_rl.agents.api import (
    Array,
    Box,
    DefaultRun,
    Inputs,
    Key,
    Segment,
    Segments,
    Spec,
    Tree,
    hyper,
)  # fmt: skip
from prospect_rl.agents.nn.actor_critic import ActorCritic, actor_critic, replay, successors
from prospect_rl.agents.nn.encoder import blank
from prospect_rl.agents.nn.trunk import Trunk
from prospect_rl.agents.online.ppo_data import Behaviour, Extras, Rows, State, arranged
from prospect_rl.agents.ops import normalise
from prospect_rl.agents.ops.losses import clipped_policy, clipped_value
from prospect_rl.agents.ops.minibatches import Figures, passes
from prospect_rl.agents.ops.returns import advantages
from prospect_rl.agents.sampled import Sampled
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.agents.ship.to_numpy import behind_encoder


@dataclass(frozen=True, kw_only=True)
class PPO(Sampled):
    """Proximal policy optimisation, for discrete and bounded real actions, feed-forward or recurrent."""

    default_run = DefaultRun("minigrid/DoorKey-5x5-v0", 200_704)

    num_envs: int = hyper(32, least=1, alias="n_envs")
    """Number of copies of the environment that are stepped in parallel (N)."""
    length: int = hyper(128, least=1, alias="n_steps")
    """Number of steps of each copy in an iteration (T)."""
    epochs: int = hyper(4, least=1, alias="n_epochs")
    """Number of passes over the steps of an iteration."""
    minibatches: int = hyper(8, least=1)
    """Number of minibatches in a pass; it must divide num_envs * length (num_envs, if recurrent)."""
    learning_rate: float = hyper(3e-4, above=0, traced=True)
    """Learning rate of the Adam optimiser."""
    anneal_steps: int = hyper(0, least=0)
    """Number of environment steps in which the learning rate falls linearly to 0; 0 means that it is constant."""
    gamma: float = hyper(0.99, least=0, most=1, traced=True)
    """Discount factor of future rewards, for each step."""
    lam: float = hyper(0.95, least=0, most=1, alias="gae_lambda", traced=True)
    """Lambda of generalised advantage estimation: 0 relies on predicted values, 1 on observed returns."""
    clip: float = hyper(0.2, above=0, alias="clip_range", traced=True)
    """Largest change of an action's probability ratio from 1 in an iteration (epsilon in the paper)."""
    clip_value: float = hyper(0.0, least=0, alias="clip_range_vf")
    """Largest change of a value in an iteration (the larger error counts, with and without this bound); 0 means no
    bound."""
    entropy: float = hyper(0.0, least=0, alias="ent_coef", traced=True)
    """Weight of the entropy bonus in the loss, which keeps the policy exploring."""
    value_weight: float = hyper(0.5, least=0, alias="vf_coef", traced=True)
    """Weight of the value loss in the total loss."""
    max_grad_norm: float = hyper(0.5, above=0, traced=True)
    """Largest norm of a gradient; longer gradients are scaled down to it."""
    normalise_advantage: Literal["none", "batch", "minibatch"] = "minibatch"
    """Whether advantages are normalised over the batch, over each minibatch, or not at all (`none`)."""
    adam_eps: float = hyper(1e-5, above=0, traced=True)
    """Small constant in the denominator of the Adam optimiser."""
    hidden: tuple[int, ...] = hyper((64, 64), least=1)
    """Number of neurons in each hidden layer of the policy and of the value network."""
    encoding: int = hyper(128, least=1)
    """Number of features of the encoder's dense layer, for observations that are images of codes."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation function of all layers."""
    recurrent: int = hyper(0, least=0)
    """Number of units of the GRU (the policy's memory); 0 means no memory."""
    normalise_obs: bool = False
    """Whether real-valued observations are normalised by their running mean and standard deviation, and clipped at
    10."""
    normalise_rewards: bool = False
    """Whether rewards are divided by the running standard deviation of their discounted sums."""
    reward_clip: float = hyper(10.0, above=0, later=True, traced=True)
    """Normalised rewards (see normalise_rewards) are clipped to plus and minus this value."""
    greedy: bool = False
    """Whether evaluation and the shipped policy take the most likely action instead of a sample."""

    def __post_init__(self) -> None:
        super().__post_init__()
        steps, name = (1, "num_envs") if self.remembers else (self.length, "num_envs * length")
        if (rows := self.num_envs * steps) % self.minibatches:
            raise ValueError(f"minibatches must divide the {rows} rows ({name}) of a pass, {self.minibatches} do not")

    def misfit(self, spec: Spec) -> str | None:
        """Needs a discrete action or a bounded vector, and real observations if it normalises them."""
        if self.normalise_obs and not (isinstance(spec.obs, Box) and spec.obs.dtype == "float32"):
            return "normalise_obs needs one array of real numbers as observation"
        return super().misfit(spec)

    @property
    def wants(self) -> Segments:
        """T steps of N streams."""
        return Segments(self.num_envs, self.length)

    # --- for subclasses to override ------------------------------------------------------------------

    def begin(self, key: Key) -> Tree:
        """The initial state of a subclass's reward hook; empty here."""
        return ()

    @property
    def core(self) -> Trunk | None:
        """A memory module in place of the GRU; None here."""
        return None

    def rewards(self, state: State, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """(rewards [T, N] to learn from, the new `state.variant`, metrics). Here the rewards are unchanged."""
        return data.steps.reward, state.variant, {}

    # --- acting --------------------------------------------------------------------------------------

    @property
    def network(self) -> ActorCritic:
        """The network of policy and value."""
        return actor_critic(self.bound, self.encoding, self.hidden, self.recurrent, self.activation, self.core)

    @property
    def remembers(self) -> bool:
        """Whether the policy has a memory."""
        return self.recurrent > 0 or self.core is not None

    def outputs(self, params: Tree, memory: Tree, obs: Tree) -> tuple[Tree, Array, Array]:
        """(memory, logits or mean [A], value []) at ONE step, the observation as the network sees it."""
        out: Any = self.network.apply(params, memory, obs)
        return out

    def init(self, key: Key) -> State:
        """A network with random weights, and empty statistics."""
        k_params, k_variant = jax.random.split(key)
        params = self.network.init(k_params, None, blank(self.bound.obs))
        seen = normalise.moments(np.shape(blank(self.bound.obs))) if self.normalise_obs else None
        scale = normalise.scale(self.num_envs) if self.normalise_rewards else None
        return State(params, self.optimiser.init(params), seen, scale, jnp.int32(0), self.begin(k_variant))

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Behaviour, Array]:
        """The policy with sampled actions."""
        return Behaviour(state.params, state.seen, jnp.zeros((), bool)), jnp.ones((), bool)

    def exploit(self, state: State) -> Behaviour:
        """The policy, greedy if the field `greedy` says so."""
        return Behaviour(state.params, state.seen, jnp.bool_(self.greedy))

    def act(self, behaviour: Behaviour, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Extras]:
        """A sampled action, or the most likely one."""
        obs = normalise.centred(behaviour.seen, inputs.obs)
        memory, outputs, value = self.outputs(behaviour.params, memory, obs)
        policy = self.policy(behaviour.params, outputs)
        choice = jnp.where(behaviour.greedy, policy.mode(), policy.sample(key))
        return self.bounded(choice), memory, Extras(choice, policy.log_prob(choice), value)

    def to_numpy(self, behaviour: Behaviour) -> Policy:
        """The policy's layers behind the encoder; not with a memory."""
        if self.remembers:
            return super().to_numpy(behaviour)
        weights, seen = behaviour.params["params"], behaviour.seen
        arrays = {"log_std": weights["log_std"]} if "log_std" in weights else {}
        arrays |= {"mean": seen.mean, "std": seen.std} if seen is not None else {}
        return behind_encoder(
            self, self.network, behaviour.params, "encoder", arrays, activation=self.activation,
            draws=not bool(behaviour.greedy), clip=seen and normalise.FARTHEST,
        )  # fmt: skip

    # --- learning ------------------------------------------------------------------------------------

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam with gradient clipping, before the learning rate; all weights are one vector, which compiles faster."""
        adam = optax.scale_by_adam(eps=self.adam_eps)
        return optax.flatten(optax.chain(optax.clip_by_global_norm(self.max_grad_norm), adam))

    def rate(self, steps: Array) -> Array:
        """The learning rate [] after so many environment steps."""
        if not self.anneal_steps:
            return jnp.float32(self.learning_rate)
        return self.learning_rate * jnp.clip(1 - steps / self.anneal_steps, 0, 1)

    def learn(self, state: State, data: Segment, key: Key, phase: int = 0) -> tuple[State, Figures]:
        """`epochs` passes over a segment; metrics are means over all minibatches."""
        k_rewards, k_passes = jax.random.split(key)
        reward, variant, figures = self.rewards(state, data, k_rewards)
        steps, scale, seen = data.steps, state.scale, state.seen
        if scale is not None:
            ended = steps.terminated | steps.truncated
            reward, scale = normalise.scaled(scale, reward, ended, self.gamma, self.reward_clip)
        batches = (data.memory if self.remembers else (), self.rows(state, data, reward))
        rate = self.rate(state.steps)
        (params, optimiser), losses = passes(
            lambda learner, batch: self.update(learner, batch[0], batch[1], rate), (state.params, state.optimiser),
            batches, k_passes, epochs=self.epochs, minibatches=self.minibatches,
        )  # fmt: skip
        if seen is not None:
            seen = normalise.include(seen, steps.inputs.obs.reshape(-1, *steps.inputs.obs.shape[2:]))
        state = State(params, optimiser, seen, scale, state.steps + self.num_envs * self.length, variant)
        return state, losses | figures | {"learn/rate": rate}

    def update(self, learner: tuple[Tree, Tree], memory: Tree, rows: Rows, rate: Array) -> tuple[Any, Figures]:
        """((parameters, optimiser state), metrics) after one gradient step on a minibatch."""
        params, optimiser = learner
        gradient, figures = jax.grad(self.loss, has_aux=True)(params, memory, rows)
        change, optimiser = self.optimiser.update(gradient, optimiser, params)
        return (jax.tree.map(lambda p, c: p - rate * c, params, change), optimiser), figures

    def rows(self, state: State, data: Segment, reward: Array) -> Rows:
        """The rows of a segment, with advantages and targets."""
        steps, played = data.steps, data.steps.extras
        advantage = advantages(
            reward, played.value, self.next_values(state, data), steps.terminated, steps.truncated,
            gamma=self.gamma, lam=self.lam,
        )  # fmt: skip
        target = advantage + played.value
        if self.normalise_advantage == "batch":
            advantage = normalise.standard(advantage)
        obs = normalise.centred(state.seen, steps.inputs.obs)
        rows = Rows(obs, steps.inputs.first, played.choice, played.log_prob, played.value, advantage, target)
        return arranged(rows, streams=self.remembers)

    def next_values(self, state: State, data: Segment) -> Array:
        """V [T, N] of the successors, by the memory after their steps."""
        obs, after = (normalise.centred(state.seen, x) for x in (data.steps.inputs.obs, data.steps.next_obs))
        if self.remembers:
            return successors(self.network, state.params, data.memory, obs, after, data.steps)
        return jax.vmap(jax.vmap(self.outputs, (None, None, 0)), (None, None, 0))(state.params, (), after)[2]

    def evaluate(self, params: Tree, memory: Tree, rows: Rows) -> tuple[Array, Array]:
        """(logits or means [..., A], values [...]) of rows [B], or [B, T] from the memories [B, ...] before them."""
        if not self.remembers:
            _, outputs, value = jax.vmap(self.outputs, (None, None, 0))(params, (), rows.obs)
            return outputs, value
        return replay(self.network, params, memory, rows.obs, rows.first)

    def loss(self, params: Tree, memory: Tree, rows: Rows) -> tuple[Array, Figures]:
        """(loss [], metrics) of a minibatch."""
        outputs, value = self.evaluate(params, memory, rows)
        policy = self.policy(params, outputs)
        advantage = normalise.standard(rows.advantage) if self.normalise_advantage == "minibatch" else rows.advantage
        change = policy.log_prob(rows.choice) - rows.log_prob
        ratio, entropy = jnp.exp(change), jnp.mean(policy.entropy())
        loss_policy = clipped_policy(ratio, advantage, self.clip)
        loss_value = clipped_value(value, rows.value, rows.target, self.clip_value)
        return loss_policy + self.value_weight * loss_value - self.entropy * entropy, {
            "learn/loss_policy": loss_policy, "learn/loss_value": loss_value, "learn/entropy": entropy,
            "learn/value": jnp.mean(value), "learn/clipped": jnp.mean(jnp.abs(ratio - 1) > self.clip),
            "learn/kl": jnp.mean(ratio - 1 - change),
        }  # fmt: skip
