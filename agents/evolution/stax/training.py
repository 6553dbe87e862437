"""Training an autoencoder, and new features for all stored rows: both in parts that take seconds.

Source: GPaolo/STAX, core/searcher.py, `_train_ae` and `get_training_data`: a fifth of the pictures is held out for one
whole training; the others are shuffled anew in every epoch, whose last minibatch may be short; the error on those held
out is measured from the second epoch on, and `patience` errors in a row above the lowest one end the training.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import optax

from prospect_rl.agents.api import Array, Key, Tree
from prospect_rl.agents.evolution.rows import join, take
from prospect_rl.agents.evolution.stax.seeing import Seeing
from prospect_rl.agents.evolution.stax.state import Learner

PART = 16
"""Minibatches of training in an iteration: 5 s of the official network on a core."""
RENEWED = 4096
"""Pictures whose features are made anew in an iteration."""
CENTRED_BY = 4096
"""Most pictures that the mean picture is of."""
FOLD = 5
"""One row in so many is held out."""


def rows_to_train_on(agent: Seeing, state: Tree) -> tuple[Tree, Array]:
    """(states [rows s, ...], mask [rows]) of the rows that are trained on."""
    parts = agent.tables(state)[: agent.taught]
    frames = join(*(rows["frames"] for rows, _ in parts))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), frames), jnp.concatenate([mask for _, mask in parts])


def held_out(agent: Seeing, learner: Learner) -> Array:
    """[] the number of pictures that are held out, the first of `Learner.order`."""
    return jnp.maximum(learner.count // agent.frames // FOLD, 1) * agent.frames


def trained(agent: Seeing, state: Tree, key: Key) -> tuple[Tree, Array]:
    """(state, whether the training is over) after a part of an epoch; begins a training if none is under way."""
    k_begin, k_epoch = jax.random.split(key)
    states, mask = rows_to_train_on(agent, state)
    learner = jax.lax.cond(
        state.learner.count == 0, lambda x: begun(agent, x, states, mask, k_begin), lambda x: x, state.learner
    )
    if agent.training == "redrawn":
        return replace(state, learner=ended(agent, learner)), jnp.ones((), bool)
    learner, over = part_of_epoch(agent, learner, states, k_epoch)
    done = over & ((learner.worse >= agent.patience) | (learner.epoch >= agent.epochs))
    after = ended(agent, learner)
    learner = jax.tree.map(lambda new, old: jnp.where(done, new, old), after, learner)
    return replace(state, learner=learner), done


def begun(agent: Seeing, learner: Learner, states: Tree, mask: Array, key: Key) -> Learner:
    """The learner with the pictures of a new training, their mean, and new weights where it starts afresh."""
    k_rows, k_weights = jax.random.split(key)
    most = learner.order.shape[0] // agent.frames
    drawn = jnp.argsort(jnp.where(mask, jax.random.uniform(k_rows, mask.shape), jnp.inf))[:most]
    order = (drawn[:, None] * agent.frames + jnp.arange(agent.frames)).reshape(-1).astype(jnp.int32)
    count = jnp.minimum(jnp.sum(mask, dtype=jnp.int32), most) * agent.frames
    learner = replace(learner, order=order, count=count)
    if agent.reset or agent.training == "redrawn":
        params = agent.weights(k_weights)
        learner = replace(learner, params=params, optimiser=agent.optimiser.init(params))
    first = held_out(agent, learner)
    last = jnp.minimum(count, first + CENTRED_BY)

    def add(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        at, total, square = carry
        pictures, live = shown(agent, learner, states, at, last)
        pictures = jnp.where(live[:, None, None, None], pictures, 0.0)
        return at + agent.batch_size, total + jnp.sum(pictures, 0), square + jnp.sum(jnp.square(pictures))

    start = (first, jnp.zeros_like(learner.mean), jnp.zeros(()))
    _, total, square = jax.lax.while_loop(lambda carry: carry[0] < last, add, start)
    many = (last - first).astype(jnp.float32)
    learner = agent.centred(learner, total / many, square / many / learner.mean.size)
    return replace(learner, at=first, epoch=jnp.int32(0), worse=jnp.int32(0), best=jnp.float32(jnp.inf))


def shown(agent: Seeing, learner: Learner, states: Tree, at: Array, last: Array) -> tuple[Array, Array]:
    """(pictures [B, n, n, C], which count [B]) at the places from `at` on in the order, up to `last`."""
    places = at + jnp.arange(agent.batch_size)
    items = learner.order[jnp.minimum(places, learner.order.shape[0] - 1)]
    return agent.look(take(states, items)), places < last


def part_of_epoch(agent: Seeing, learner: Learner, states: Tree, key: Key) -> tuple[Learner, Array]:
    """(learner, whether an epoch has ended) after some minibatches, and a validation if the epoch has ended."""
    held = held_out(agent, learner)
    places = jnp.arange(learner.order.shape[0])
    rank = jnp.where(places < held, -1.0, jnp.where(places < learner.count, jax.random.uniform(key, places.shape), 2.0))
    order = jnp.where(learner.at == held, learner.order[jnp.argsort(rank, stable=True)], learner.order)
    learner = replace(learner, order=order)

    def error(params: Tree, pictures: Array, live: Array) -> Array:
        errors = agent.net.errors(params, pictures)[1]
        return jnp.sum(jnp.where(live, errors, 0.0)) / jnp.maximum(jnp.sum(live), 1)

    def step(carry: tuple[Array, Tree, Tree]) -> tuple[Array, Tree, Tree]:
        at, params, optimiser = carry
        pictures, live = shown(agent, learner, states, at, learner.count)
        change = jax.grad(error)(params, agent.scaled(learner, pictures), live)
        change, optimiser = agent.optimiser.update(change, optimiser, params)
        return at + agent.batch_size, optax.apply_updates(params, change), optimiser

    end = jnp.minimum(learner.count, learner.at + PART * agent.batch_size)
    start = (learner.at, learner.params, learner.optimiser)
    at, params, optimiser = jax.lax.while_loop(lambda carry: carry[0] < end, step, start)
    over = at >= learner.count
    learner = replace(
        learner, params=params, optimiser=optimiser, at=jnp.where(over, held, at), epoch=learner.epoch + over
    )  # fmt: skip

    def test(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        at, total = carry
        pictures, live = shown(agent, learner, states, at, held)
        return at + agent.batch_size, total + jnp.sum(live) * error(params, agent.scaled(learner, pictures), live)

    tested = over & (learner.epoch >= 2)
    many = jnp.where(tested, held, 0)
    _, total = jax.lax.while_loop(lambda carry: carry[0] < many, test, (jnp.int32(0), jnp.zeros(())))
    found = total / held
    worse = jnp.where(found > learner.best, learner.worse + 1, 0)
    learner = replace(
        learner, worse=jnp.where(tested, worse, learner.worse),
        best=jnp.where(tested, jnp.minimum(found, learner.best), learner.best),
    )  # fmt: skip
    return learner, over


def ended(agent: Seeing, learner: Learner) -> Learner:
    """The learner after a training, with its figures; the next one comes after a longer interval."""
    figures = learner.figures | {"learn/trainings": learner.figures["learn/trainings"] + 1}
    if agent.training == "schedule":
        variance = jnp.ones(()) if agent.input == "centred" else jnp.square(learner.spread)
        figures |= {"learn/loss_picture": learner.best, "features/unexplained": learner.best / variance}
    zero = jnp.int32(0)
    return replace(
        learner, interval=learner.interval + agent.interval_growth, since=zero, count=zero, at=zero, figures=figures
    )  # fmt: skip


def renewed(agent: Seeing, state: Tree) -> tuple[Tree, Array]:
    """(state, whether all are done): new features for some of the rows that hold any, in the order of `tables`."""
    parts, block = agent.tables(state), max(agent.batch_size // agent.frames, 1)
    features, surprise, frames = (
        join(*(rows[name] for rows, _ in parts)) for name in ("descriptor", "surprise", "frames")
    )
    mask = jnp.concatenate([mask for _, mask in parts])
    size, count = mask.shape[0], jnp.sum(mask, dtype=jnp.int32)
    chosen = jnp.nonzero(mask, size=size + block, fill_value=size)[0]

    def some(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        at, features, surprise = carry
        index = jax.lax.dynamic_slice_in_dim(chosen, at, block)
        new, error = agent.seen(state.learner, take(frames, jnp.minimum(index, size - 1)))
        features = features.at[index].set(new, mode="drop")
        return at + block, features, surprise.at[index].set(error, mode="drop")

    at = state.learner.at
    end = jnp.minimum(count, at + max(RENEWED // agent.frames, block))
    at, features, surprise = jax.lax.while_loop(lambda carry: carry[0] < end, some, (at, features, surprise))
    done = at >= count
    state = agent.with_features(state, features, surprise)
    state = replace(state, learner=replace(state.learner, at=jnp.where(done, 0, at)))
    return state, done
