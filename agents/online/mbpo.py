"""MBPO: SAC that learns from short rollouts of a learned model.

Source: Janner et al. 2019, arXiv 1906.08253; conventions (not defaults) of the Hopper runs of MEX's code
(agentification/MEX, MEX_MB/mbrl), which builds on mbrl-lib. Every `model_every` env steps:
    model P(s' - s, r | s, a): Adam on its negative log-likelihood, until the error of held-out rows stops falling
    `rollouts` rollouts of the scheduled length, from states of the replay buffer and with actions of the policy: each
    step is sampled from one of the best members; they end by the environment's own termination rule
Every env step: `updates_per_step` updates of SAC on transitions of these rollouts.

Shapes: B rows of a batch, R rollouts, E members, F elites, O observation, A action components; D = O + A, K = O + 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from prospect_rl.agents.api import Array, Box, DefaultRun, Key, Segment, Spec, Tree, hyper
from prospect_rl.agents.continuous import Figures
from prospect_rl.agents.nn.dynamics import Dynamics, Model, moments, negative_log_likelihood, outcome
from prospect_rl.agents.online import off_policy
from prospect_rl.agents.online.off_policy import Behaviour, experience_of, fold_in, zeros_like
from prospect_rl.agents.online.sac import SAC, Learner
from prospect_rl.agents.ops import fitting
from prospect_rl.agents.ops import replay as replays
from prospect_rl.agents.ops.fitting import FOLD
from prospect_rl.agents.ops.replay import Experience, Replay

EPOCH = 1000
"""Number of environment steps in an epoch of the schedule."""


@struct.dataclass
class State(off_policy.State):
    """SAC's state, the model, and the transitions of its rollouts."""

    model: Model
    """The learned dynamics model (an ensemble)."""
    imagined: Replay
    """Replay buffer of transitions from model rollouts."""


@dataclass(frozen=True, kw_only=True)
class MBPO(SAC):
    """Model-based policy optimisation. A subclass with another training of the model overrides `model_loss`."""

    default_run = DefaultRun("mujoco/reacher", 8_000)
    traces: ClassVar[bool] = False  # a model is trained until it gets no better: all runs would wait for the slowest
    vmap_seeds: ClassVar[bool] = False  # nor could a loop of no or one trip write to the replay of some of them alone

    hidden: tuple[int, ...] = hyper((128, 128), least=1)
    """Number of neurons in each hidden layer of the actor and the critics."""
    learning_starts: int = hyper(1000, least=0)
    """Number of environment steps with actions of the untrained policy before learning begins."""
    updates_per_step: float = hyper(5.0, above=0)
    """Number of gradient steps of SAC for each environment step; N * T times this must be a whole number."""
    alpha: float = hyper(0.2, above=0)
    """Temperature (weight of the entropy): its initial value, or its fixed value where it is not tuned."""
    tune_alpha: bool = True
    """Whether the temperature is tuned so that the policy's entropy approaches minus the number of action
    dimensions."""
    target_every: int = hyper(1, least=1)
    """Number of updates of SAC for each update of its target networks."""
    explore_with_mean: bool = True
    """Whether to explore with the policy's mean action after the warm-up, as the official code does, instead of a
    sample."""
    real_ratio: float = hyper(0.0, least=0, most=1)
    """Share of SAC's batches that comes from the environment (0-1); the rest comes from the model."""
    members: int = hyper(5, least=1)
    """Number of networks in the model's ensemble (E); if several, each learns from its own bootstrap sample."""
    elites: int = hyper(5, least=1)
    """Number of ensemble members used for rollouts, the best on held-out data (F)."""
    model_hidden: tuple[int, ...] = hyper((200, 200), least=1)
    """Number of neurons in each hidden layer of the model."""
    model_learning_rate: float = hyper(1e-3, above=0)
    """Learning rate of the Adam optimiser of the model."""
    weight_decay: float = hyper(1e-5, least=0)
    """Weight decay of the model: this many times its weights are added to their gradient."""
    model_batch_size: int = hyper(256, least=2)
    """Number of transitions in the batch of a gradient step of the model (B)."""
    model_every: int = hyper(250, least=1)
    """Number of environment steps between two trainings of the model."""
    model_epochs: int = hyper(100, least=1)
    """Largest number of passes over the data in a training of the model."""
    patience: int = hyper(5, least=1)
    """Number of epochs without progress (1 % lower error) after which a training of the model ends."""
    rollouts: int = hyper(10_000, least=1)
    """Number of model rollouts after each training of the model (R), a multiple of `elites`; the official setting is
    400 for each environment step."""
    schedule: tuple[int, int, int, int] = hyper((20, 150, 1, 1), least=0)
    """Length of model rollouts as (e0, e1, l0, l1): l0 steps up to epoch e0 (of 1000 environment steps), then changing
    linearly to l1 steps at epoch e1."""
    retain: int = hyper(4, least=1)
    """Number of trainings of the model whose rollouts are kept in the replay buffer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule[0] >= self.schedule[1] or min(self.schedule[2:]) < 1:
            raise ValueError(f"schedule must be two rising epochs and two lengths of at least 1, not {self.schedule}")
        if self.elites > self.members:
            raise ValueError(f"elites must be at most the {self.members} members, not {self.elites}")
        if self.rollouts % self.elites:
            raise ValueError(f"rollouts must be a multiple of the {self.elites} elites, not {self.rollouts}")
        if self.capacity < FOLD:
            raise ValueError(f"capacity must be at least {FOLD}, the rows that a model needs, not {self.capacity}")

    def misfit(self, spec: Spec) -> str | None:
        """As SAC; and it must be known when an imagined episode ends."""
        unknown = "it needs a known rule of termination (spec.termination)"
        return super().misfit(spec) if spec.termination else unknown

    @property
    def least_budget(self) -> int:
        """SAC's least budget, and at least the rows that the first training of the model needs."""
        played = self.num_envs * self.train_every
        return max(super().least_budget, -(-FOLD // played) * played)

    # --- SAC and how it acts -------------------------------------------------------------------------

    def init(self, key: Key) -> State:
        """Random networks and empty replay buffers."""
        k_sac, k_model = jax.random.split(key)
        base = super().init(k_sac)
        imagined = replays.empty(self.rollouts * self.retain * max(self.schedule[2:]), *self.sizes)
        return State(base.learner, base.replay, base.steps, self.begin_model(k_model, base.learner), imagined)

    def explore(self, state: off_policy.State, key: Key, phase: int = 0) -> tuple[Behaviour, Array]:
        """Samples of the untrained policy first, then as `explore_with_mean` says."""
        sampling = (state.steps < self.learning_starts) | (not self.explore_with_mean)
        return replace(self.exploit(state), noise=sampling.astype(jnp.float32)), jnp.ones((), bool)

    def update(self, learner: Learner, batch: Experience, key: Key) -> tuple[Learner, Figures]:
        """SAC's update, with target networks that change at every `target_every`-th update."""
        after, figures = super().update(learner, batch, key)
        if self.target_every > 1:
            moves = optax.tree_utils.tree_get(after.critic_optimiser, "count") % self.target_every == 0
            targets = jax.tree.map(partial(jnp.where, moves), after.target_critics, learner.target_critics)
            after = replace(after, target_critics=targets)
        return after, figures

    def learn(self, state: State, data: Segment, key: Key, phase: int = 0) -> tuple[State, Figures]:
        """Store the segment; after the warm-up train the model and roll it out, where due, and update SAC."""
        k_retrain, k_updates = jax.random.split(key)
        learner, replay = state.learner, replays.add(state.replay, experience_of(data))
        played, since = self.num_envs * self.train_every, state.steps - self.learning_starts
        marked = (-since % self.model_every < played) | (state.imagined.count == 0)

        def retrain(zero: Array, pair: tuple[Model, Replay]) -> tuple[Model, Replay]:
            # everything here depends on the loop index: XLA would hoist the rest and compute it at every step
            data = replace(replay, count=replay.count + zero)
            k_model, k_start, k_imagine = jax.random.split(fold_in(k_retrain, zero), 3)
            model = self.train_model(pair[0], data, learner, k_model)
            starts = replays.sample(data, k_start, self.rollouts).obs
            return model, self.imagine(model, pair[1], learner, starts, self.length(since), k_imagine)

        due = (since >= 0) & (replay.count >= FOLD) & marked
        model, imagined = jax.lax.fori_loop(0, due.astype(jnp.int32), retrain, (state.model, state.imagined))

        count = jnp.where((since >= 0) & (imagined.count > 0), self.updates, 0)
        learner, figures = self.improve(learner, partial(self.mixed, replay, imagined), count, k_updates)
        more = {
            "learn/model_error": jnp.mean(model.error[model.elites]), "learn/model_epochs": model.epochs,
            "replay/size": replay.count, "replay/imagined": imagined.count,
        }  # fmt: skip
        return State(learner, replay, state.steps + played, model, imagined), figures | model.figures | more

    def mixed(self, replay: Replay, imagined: Replay, key: Key) -> Experience:
        """A batch [B] for SAC, mixed as `real_ratio` says."""
        real, (k_real, k_imagined) = round(self.real_ratio * self.batch_size), jax.random.split(key)
        parts = replays.sample(imagined, k_imagined, self.batch_size - real), replays.sample(replay, k_real, real)
        return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)

    # --- the model -----------------------------------------------------------------------------------

    @property
    def network(self) -> Dynamics:
        """The network of one member."""
        return Dynamics(self.model_hidden, self.sizes[0] + 1)

    @property
    def model_optimiser(self) -> optax.GradientTransformation:
        """Adam with weight decay added to the gradient."""
        return optax.chain(optax.add_decayed_weights(self.weight_decay), optax.adam(self.model_learning_rate))

    def begin_model(self, key: Key, learner: Learner) -> Model:
        """Random members, without normalisation of their inputs."""
        inputs = jnp.zeros(sum(self.sizes))
        members = jax.vmap(self.network.init, (0, None))(jax.random.split(key, self.members), inputs)
        optimiser, error = self.model_optimiser.init(members), jnp.zeros(self.members)
        elites = jnp.arange(self.elites)
        model = Model(members, optimiser, inputs, jnp.ones_like(inputs), error, elites, jnp.int32(0), {})
        rows = replays.take(replays.empty(2, *self.sizes), jnp.zeros((self.members, 2), jnp.int32))
        return replace(model, figures=zeros_like(jax.eval_shape(self.update_model, model, rows, learner, key).figures))

    def predict(self, member: Tree, model: Model, obs: Array, action: Array) -> tuple[Array, Array]:
        """(mean, log variance) [B, K] of (s' - s, r) by ONE member, for obs [B, O] and actions [B, A] in [-1, 1]."""
        inputs = (jnp.concatenate([obs, action], axis=-1) - model.centre) / model.scale
        out: Any = self.network.apply(member, inputs)
        return out

    def model_loss(
        self, member: Tree, model: Model, batch: Experience, learner: Learner, key: Key
    ) -> tuple[Array, Figures]:
        """(loss [], metrics) of ONE member on its batch [B]. Subclasses may use the learner and `key`."""
        mean, log_var = self.predict(member, model, batch.obs, batch.action)
        loss = negative_log_likelihood(mean, log_var, outcome(batch.obs, batch.next_obs, batch.reward))
        return loss, {"learn/loss_model": loss}

    def train_model(self, model: Model, replay: Replay, learner: Learner, key: Key) -> Model:
        """The model after a training on the replay buffer; minibatches are drawn with replacement."""
        k_fold, k_bootstrap, k_epochs = jax.random.split(key, 3)
        count, fold = replay.count // FOLD * (FOLD - 1), jax.random.randint(k_fold, (), 0, FOLD)
        resamples = jax.random.split(k_bootstrap, self.members)

        centre, scale = moments(lambda index: replays.pairs(replays.take(replay, index)), replay.count)

        def epoch(number: Array, model: Model) -> Model:
            def minibatch(i: Array, model: Model) -> Model:
                k_slots, k_update = jax.random.split(fold_in(fold_in(k_epochs, number), i))
                slots = jax.random.randint(k_slots, (self.members, self.model_batch_size), 0, count)
                if self.members > 1:
                    slots = jax.vmap(fitting.resampled, (0, 0, None))(resamples, slots, count)
                return self.update_model(
                    model, replays.take(replay, fitting.training_rows(slots, fold)), learner, k_update
                )

            return jax.lax.fori_loop(0, -(-count // self.model_batch_size), minibatch, model)

        last, members, error, epochs = fitting.until_stale(
            epoch, lambda model: model.members, lambda model: self.model_error(model, replay, fold),
            replace(model, centre=centre, scale=scale), most=self.model_epochs, patience=self.patience,
        )  # fmt: skip
        elites = jnp.argsort(error)[: self.elites].astype(jnp.int32)
        return replace(last, members=members, error=error, elites=elites, epochs=epochs)

    def update_model(self, model: Model, batch: Experience, learner: Learner, key: Key) -> Model:
        """One gradient step of all members, each on its own batch [E, B]."""

        def total(members: Tree) -> tuple[Array, Figures]:
            one = jax.vmap(self.model_loss, (0, None, 0, None, 0))
            losses, figures = one(members, model, batch, learner, jax.random.split(key, self.members))
            return jnp.sum(losses), jax.tree.map(jnp.mean, figures)

        gradient, figures = jax.grad(total, has_aux=True)(model.members)
        change, optimiser = self.model_optimiser.update(gradient, model.optimiser, model.members)
        return replace(model, members=optax.apply_updates(model.members, change), optimiser=optimiser, figures=figures)

    def model_error(self, model: Model, replay: Replay, fold: Array) -> Array:
        """Mean squared error [E] of the members' means on the rows that are held out."""

        def squares(index: Array) -> Array:
            rows = replays.take(replay, index)
            mean, _ = jax.vmap(self.predict, (0, None, None, None))(model.members, model, rows.obs, rows.action)
            return jnp.mean(jnp.square(mean - outcome(rows.obs, rows.next_obs, rows.reward)), axis=2)

        return fitting.mean_held_out(squares, self.members, replay.count // FOLD, fold, self.model_batch_size)

    # --- model rollouts ------------------------------------------------------------------------------

    def length(self, since: Array) -> Array:
        """Length [] int32 of model rollouts after `since` environment steps from the end of the warm-up."""
        first, last, short, long = self.schedule
        passed = jnp.clip(since // EPOCH + 1 - first, 0, last - first)
        return short + (long - short) * passed // (last - first)

    def ends(self, obs: Array, action: Array, next_obs: Array) -> Array:
        """Whether ONE transition, its action [A] in [-1, 1], terminates an episode []."""
        space, rule = self.bound.obs, self.bound.termination
        assert isinstance(space, Box) and rule is not None
        return rule(obs.reshape(space.shape), self.within_bounds(action), next_obs.reshape(space.shape))

    def imagine(
        self, model: Model, imagined: Replay, learner: Learner, starts: Array, length: Array, key: Key
    ) -> Replay:
        """The buffer with the transitions of a model rollout from each of `starts` [R, O], up to their ends."""
        elites, limit = jax.tree.map(lambda x: x[model.elites], model.members), self.rollouts * self.retain * length

        def step(t: Array, carry: tuple[Replay, Array, Array]) -> tuple[Replay, Array, Array]:
            imagined, obs, live = carry
            k_mix, k_action, k_model = jax.random.split(fold_in(key, t), 3)
            if self.elites > 1:  # new random elites at every step, each for equally many
                mixed = jax.random.permutation(k_mix, self.rollouts)
                obs, live = obs[mixed], live[mixed]
            action, _ = self.sampled(learner.actor, obs, k_action)
            grouped = (x.reshape(self.elites, -1, x.shape[1]) for x in (obs, action))
            predicted = jax.vmap(self.predict, (0, None, 0, 0))(elites, model, *grouped)
            mean, log_var = (x.reshape(self.rollouts, -1) for x in predicted)
            drawn = mean + jnp.exp(log_var / 2) * jax.random.normal(k_model, mean.shape)
            next_obs = obs + drawn[:, :-1]
            ended = jax.vmap(self.ends)(obs, action, next_obs)
            new = Experience(obs, action, drawn[:, -1], ended.astype(jnp.float32), next_obs)
            return replays.add_live(imagined, new, live, limit), next_obs, live & ~ended

        return jax.lax.fori_loop(0, length, step, (imagined, starts, jnp.ones(self.rollouts, bool)))[0]
