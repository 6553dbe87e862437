"""GRPO: a policy gradient without a value function; rollouts from the same start are each other's baseline.

Source: Shao et al. 2024 (arXiv 2402.03300), eq. 3, with the changes of Yu et al. 2025 (DAPO, arXiv 2503.14476): two
clipping ranges and a mean over tokens; and of Liu et al. 2025 (arXiv 2503.20783): no division by the deviation.
    from each of P starts play N episodes;  r = rewards(...)    <- THE HOOK: subclasses override `rewards`
    A_i = r_i - mean of the group     [/ the group's deviation], the same for all steps of an episode
    minibatch steps of Adam on
        - mean min(rho A, clip(rho, 1 - low, 1 + high) A)  +  kl D(pi || pi_cold)  -  entropy H(pi)
In a text task the policy is a decoder, the steps are the tokens that were the agent's own, and learning may begin with
a cold start: cross-entropy on the tokens of the task's expert, while the agent speaks. Elsewhere the policy is that of
PPO. Shapes: P starts, N members of a group, B episodes, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax

from prospect_rl.agents.api import (
    Array,
    DefaultRun,
    Episodes,
    Inputs,
    Key,
    Rollouts,
    Spec,
    Tree,
    hyper,
)
from prospect_rl.agents.language import grpo_data
from prospect_rl.agents.language.grpo_data import Behaviour, Extras, Rows, State, losses, mean_over, rows_of, speaks
from prospect_rl.agents.nn.actor_critic import ActorCritic, actor_critic, replay
from prospect_rl.agents.nn.decoder import Decoder
from prospect_rl.agents.nn.encoder import blank
from prospect_rl.agents.ops.distributions import Categorical
from prospect_rl.agents.ops.groups import group_advantage
from prospect_rl.agents.ops.minibatches import Figures, passes
from prospect_rl.agents.sampled import Sampled


@dataclass(frozen=True, kw_only=True)
class GRPO(Sampled):
    """Group-relative policy optimisation. A subclass with other rewards overrides `rewards` (and `begin`)."""

    default_run = DefaultRun("text/sort", 150_000)
    vmap_seeds: ClassVar[bool] = False
    in_step: ClassVar[bool] = True
    valued: ClassVar[bool] = False
    """Whether the policy's network has a value that is learned."""

    prompts: int = hyper(32, least=1)
    """Number of different starts (problems) in an iteration (P)."""
    group: int = hyper(8, least=2)
    """Number of episodes from each start, which are compared with each other (N)."""
    cold: int = hyper(100, least=0)
    """Number of iterations of cold start, in which a text task's expert is imitated; there is none in other tasks."""
    learning_rate: float = hyper(1e-3, above=0)
    """Step size of the Adam optimiser."""
    epochs: int = hyper(1, least=1)
    """Number of passes over the episodes of an iteration."""
    minibatches: int = hyper(4, least=1)
    """Number of gradient steps in a pass, each on its own part of the episodes."""
    clip_low: float = hyper(0.2, least=0, below=1)
    """How far below 1 the ratio of new to old probability may go before its gradient stops."""
    clip_high: float = hyper(0.28, least=0)
    """How far above 1 the ratio of new to old probability may go before its gradient stops."""
    norm_adv_by_std: bool = False
    """Whether advantages are divided by their group's standard deviation. Then groups with one right answer and groups
    with none count alike."""
    mean_over: Literal["tokens", "episodes"] = "tokens"
    """Whether all steps of a minibatch count alike, or all episodes whatever their length."""
    kl: float = hyper(0.0, least=0)
    """Weight of the divergence from the policy after the cold start; 0 leaves it out."""
    entropy: float = hyper(0.0, least=0)
    """Weight of the entropy bonus."""
    max_grad_norm: float = hyper(1.0, above=0)
    """Largest norm of a gradient; longer gradients are scaled down to it."""
    layers: int = hyper(4, least=1)
    """Number of layers of the decoder, in text tasks."""
    width: int = hyper(128, least=2)
    """Numbers in a token's vector in the decoder."""
    heads: int = hyper(4, least=1)
    """Number of attention heads of the decoder."""
    kv_heads: int = hyper(2, least=1)
    """Number of heads with keys and values of their own; the others share them."""
    ffn: int = hyper(384, least=1)
    """Number of hidden units in each layer of the decoder."""
    context: int = hyper(256, least=2)
    """The most tokens in a text."""
    products: Literal["float32", "bfloat16"] = "float32"
    """Type of the decoder's matrix products; bfloat16 is for accelerators."""
    hidden: tuple[int, ...] = hyper((64, 64), least=1)
    """Number of neurons in each hidden layer of the policy, outside text tasks."""
    encoding: int = hyper(128, least=1)
    """Number of features of the encoder's dense layer, for observations that are images of codes."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation function of the policy's layers, outside text tasks."""
    recurrent: int = hyper(0, least=0)
    """Number of units of the policy's GRU, outside text tasks; 0 means no memory."""
    greedy: bool = False
    """Whether evaluation and the shipped policy take the most likely action instead of a sample."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (rows := self.prompts * self.group) % self.minibatches:
            raise ValueError(f"minibatches must divide the {rows} episodes of an iteration, {self.minibatches} do not")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"heads must divide width {self.width} into even parts, {self.heads} do not")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads must divide the {self.heads} heads, {self.kv_heads} do not")

    def misfit(self, spec: Spec) -> str | None:
        """Needs a text, a discrete action or a bounded vector."""
        if speaks(spec):
            fits = spec.horizon <= self.context
            return None if fits else f"a text has {spec.horizon} tokens, but context is {self.context}"
        return super().misfit(spec)

    @property
    def wants(self) -> Rollouts | tuple[Rollouts, ...]:
        """Groups of whole episodes with all their steps, in two phases if there is a cold start."""
        want = Rollouts(self.prompts * self.group, group=self.group, starts="fresh", shared=True, keep_steps=True)
        return (want, want) if self.cold else want

    # --- for subclasses to override ------------------------------------------------------------------

    def begin(self, key: Key) -> Tree:
        """The initial state of a subclass's reward hook; empty here."""
        return ()

    def rewards(self, state: State, data: Episodes, key: Key) -> tuple[Array, Tree, Figures]:
        """(rewards [P, N] to learn from, the new `state.variant`, metrics). Here the episodes' returns."""
        return self.grouped(data.returns), state.variant, {}

    def grouped(self, x: Array) -> Array:
        """[P, N, ...] from [P * N, 1, ...], one episode each."""
        return x.reshape(self.prompts, self.group, *x.shape[2:])

    # --- the policy ----------------------------------------------------------------------------------

    @property
    def text(self) -> bool:
        """Whether the environment is a text task; False while there is none."""
        return self.spec is not None and speaks(self.spec)

    @property
    def cold_start(self) -> int:
        """Number of iterations of cold start in this environment: none outside text tasks."""
        return self.cold if self.text else 0

    @property
    def network(self) -> Decoder | ActorCritic:
        """The decoder, or the network of PPO (whose value is not used)."""
        if not self.text:
            return actor_critic(self.bound, self.encoding, self.hidden, self.recurrent, self.activation)
        action: Any = self.bound.action
        return Decoder(
            action.n, self.bound.horizon, self.layers, self.width, self.heads, self.kv_heads, self.ffn,
            value=self.valued, dtype=self.products,
        )  # fmt: skip

    @property
    def remembers(self) -> bool:
        """Whether the policy has a memory."""
        return self.text or self.recurrent > 0

    def outputs(self, params: Tree, obs: Tree, first: Array) -> tuple[Array, Array]:
        """(the network's outputs [B, T, A], its values [B, T]) at all steps of whole episodes [B, T]."""
        network: Any = self.network
        if self.text:
            return jax.vmap(lambda tokens: network.apply(params, tokens))(obs)
        if not self.recurrent:
            return jax.vmap(jax.vmap(lambda obs: network.apply(params, (), obs)[1:]))(obs)
        opened = network.apply(params, method="open")
        memory = jax.tree.map(lambda x: jnp.broadcast_to(x, (first.shape[0], *x.shape)), opened)
        return replay(network, params, memory, obs, first)

    def init(self, key: Key) -> State:
        """A network with random weights."""
        k_params, k_variant = jax.random.split(key)
        network: Any = self.network
        given = (jnp.zeros(1, jnp.int32),) if self.text else (None, blank(self.bound.obs))
        params = network.init(k_params, *given)
        cold = params if self.kl else ()
        return grpo_data.begin(params, self.optimiser.init(params), cold, self.begin(k_variant))

    def phase(self, state: State) -> Array | int:
        """0 during the cold start, then 1; always 0 if `cold` is."""
        return (state.updates >= self.cold_start).astype(jnp.int32) if self.cold else 0

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Behaviour, Array]:
        """The policy with sampled actions."""
        return Behaviour(state.params, jnp.zeros((), bool)), jnp.ones((), bool)

    def exploit(self, state: State) -> Behaviour:
        """The policy, greedy if the field `greedy` says so."""
        return Behaviour(state.params, jnp.bool_(self.greedy))

    def act(self, behaviour: Behaviour, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Extras]:
        """A sampled action, or the most likely one."""
        network: Any = self.network
        method = {"method": "step"} if self.text else {}
        memory, outputs, _ = network.apply(behaviour.params, memory, inputs.obs, **method)
        policy = self.policy(behaviour.params, outputs)
        choice = jnp.where(behaviour.greedy, policy.mode(), policy.sample(key))
        return self.bounded(choice), memory, Extras(choice, policy.log_prob(choice))

    # --- learning ------------------------------------------------------------------------------------

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam with gradient clipping."""
        return optax.flatten(optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optax.adam(self.learning_rate)))

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, Figures]:
        """Passes over the episodes in minibatches; of the cold start on what the expert says, else on advantages."""
        k_rewards, k_passes = jax.random.split(key)
        cold = self.cold_start > 0 and phase == 0
        reward, variant, figures = self.rewards(state, data, k_rewards)
        rows, loss = self.rows(state, data, reward), self.imitation if cold else self.loss

        def update(learner: tuple[Tree, Tree], rows: Rows) -> tuple[tuple[Tree, Tree], Figures]:
            params, optimiser = learner
            gradient, found = jax.grad(lambda params: loss(params, state.cold, rows), has_aux=True)(params)
            change, optimiser = self.optimiser.update(gradient, optimiser, params)
            return (optax.apply_updates(params, change), optimiser), found

        (params, optimiser), found = passes(
            update, (state.params, state.optimiser), rows, k_passes, epochs=self.epochs,
            minibatches=self.minibatches,
        )  # fmt: skip
        state, groups = self.counted(state, data, reward)
        held = params if cold and self.kl else state.cold
        state = replace(state, params=params, optimiser=optimiser, cold=held, variant=variant)
        return state, figures | found | groups

    def advantages(self, reward: Array) -> Array:
        """The advantages [P, N] of rewards [P, N] within their groups."""
        return group_advantage(reward, by_std=self.norm_adv_by_std)

    def rows(self, state: State, data: Episodes, reward: Array) -> Rows:
        """The steps of all episodes, with the advantages of their rewards [P, N]."""
        return rows_of(data, self.advantages(reward), text=self.text)

    def verdicts(self, data: Episodes) -> Array:
        """Bool [P, N], what the environment's verifier says; the truth where there is no verifier."""
        return self.grouped(data.info.get("verified", data.info["success"]))

    def counted(self, state: State, data: Episodes, reward: Array) -> tuple[State, Figures]:
        """(state after one more iteration, metrics of its groups)."""
        truth, verdicts = self.grouped(data.info["success"]), self.verdicts(data)
        figures = {"groups/length": jnp.mean(data.length)}
        figures |= grpo_data.group_figures(truth, verdicts, reward, self.advantages(reward))
        known = grpo_data.starved(state.starved, figures["groups/wrong"], state.updates)
        figures["groups/until"] = jnp.where(known.until < 0, -1, known.until * reward.size)
        return replace(state, updates=state.updates + 1, starved=known), figures

    def imitation(self, params: Tree, cold: Tree, rows: Rows) -> tuple[Array, Figures]:
        """(cross-entropy [] on the expert's tokens, with the values' loss if there are any; metrics)."""
        outputs, values = self.outputs(params, rows.obs, rows.first)
        policy, zero = Categorical(outputs), jnp.zeros(())
        loss = -self.mean(policy.log_prob(rows.expert), rows)
        figures = losses(loss, self.mean(policy.entropy(), rows), zero, zero)
        return loss + self.loss_of_values(values, rows), figures

    def loss(self, params: Tree, cold: Tree, rows: Rows) -> tuple[Array, Figures]:
        """(loss [], metrics) of a minibatch."""
        outputs, values = self.outputs(params, rows.obs, rows.first)
        policy = self.policy(params, outputs)
        change = policy.log_prob(rows.choice) - rows.log_prob
        change = jnp.where(rows.mine > 0, change, 0.0)  # the probability of what counts for nothing may overflow
        ratio, advantage = jnp.exp(change), rows.advantage
        near = jnp.clip(ratio, 1 - self.clip_low, 1 + self.clip_high)
        loss = -self.mean(jnp.minimum(ratio * advantage, near * advantage), rows)
        entropy = self.mean(policy.entropy(), rows)
        total = loss - self.entropy * entropy + self.loss_of_values(values, rows)
        total += self.loss_of_distance(cold, change, rows)
        clipped = self.mean((near != ratio).astype(jnp.float32), rows)
        return total, losses(loss, entropy, clipped, self.mean(ratio - 1 - change, rows))

    def loss_of_values(self, values: Array, rows: Rows) -> Array | float:
        """What a subclass with a value function adds to the loss; nothing here."""
        return 0.0

    def loss_of_distance(self, cold: Tree, change: Array, rows: Rows) -> Array | float:
        """What keeps the policy near the cold start; its log probabilities changed by `change` [B, T]."""
        if not self.kl:
            return 0.0
        before = self.policy(cold, self.outputs(cold, rows.obs, rows.first)[0]).log_prob(rows.choice)
        away = jnp.where(rows.mine > 0, before - change - rows.log_prob, 0.0)
        return self.kl * self.mean(jnp.exp(away) - away - 1, rows)

    def mean(self, x: Array, rows: Rows) -> Array:
        """The mean [] of x [B, T] over the steps that count."""
        return mean_over(x, rows.mine, self.mean_over)
