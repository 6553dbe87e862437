"""The base of agents whose rows hold states of their episodes, and whose descriptors are features of their pictures.

States are kept, pictures are not: a picture is drawn (`Spec.draw`) whenever it is needed.
Shapes: s states of an episode, n pixels along a side, C channels, F features of a picture, d = s F dimensions of
novelty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax

from prospect_rl.agents.api import Array, Episodes, Key, Nothing, Rollouts, Spec, Tree, hyper
from prospect_rl.agents.evolution.described import Described
from prospect_rl.agents.evolution.rows import Rows, rows_of
from prospect_rl.agents.evolution.stax.state import Learner
from prospect_rl.agents.nn.autoencoder import SHRINK, Autoencoder, Params

FIGURES = ("features/spread", "features/nearness", "features/blank", "features/unexplained", "learn/loss_picture",
           "learn/trainings")  # fmt: skip
"""Metrics that the state keeps."""
LOOKED_AT = 16
"""Children of a generation whose pictures are compared with an empty one."""
NEAREST = 15
"""Number of neighbours in the space of features whose distance in the arena is measured."""


@dataclass(frozen=True, kw_only=True)
class Seeing(Described):
    """Search in features of pictures: the base of STAX and AURORA."""

    space: Literal["autoencoder", "pictures", "descriptor"] = "autoencoder"
    """Where novelty is measured: in features of the autoencoder, in pixels by a random projection, or in the true
    descriptor."""
    frames: int = hyper(1, least=1)
    """Number of states of each episode that are drawn, evenly spaced, the last one included (s in the paper)."""
    features_of: Literal["all", "last"] = "all"
    """Whether novelty and surprise are of all pictures of an episode, or of the last one (training is on all)."""
    size: int = hyper(32, least=SHRINK)
    """Number of pixels along a side of a picture, a multiple of 16 (official: 64)."""
    colour: bool = False
    """Whether pictures are red, green and blue (official), rather than grey."""
    features: int = hyper(10, least=1)
    """Number of features of a picture."""
    width: int = hyper(32, least=2)
    """Number of channels after the first convolution; the others have 2, 1 and 1/2 times as many."""
    input: Literal["centred", "raw"] = "centred"
    """Whether pictures are centred by their mean and scaled by their spread, with a linear last layer; or as they are,
    with a ReLU (official), of which the network may learn no more than the mean picture."""
    training: Literal["schedule", "redrawn", "never"] = "schedule"
    """Whether the autoencoder is trained, draws new weights in place of each training, or keeps its first weights."""
    interval: int = hyper(1, least=1)
    """Number of chunks of exploration before the first training."""
    interval_growth: int = hyper(1, least=0)
    """Number of chunks by which that interval grows after each training: they follow chunks 1, 3, 6, 10, ..."""
    epochs: int = hyper(20, least=2)
    """Largest number of epochs of a training (official: 101)."""
    train_cap: int = hyper(4096, least=0)
    """Largest number of policies whose pictures are trained on, drawn uniformly; 0 takes all (official)."""
    patience: int = hyper(4, least=1)
    """Number of validations in a row with an error above the lowest one that end a training."""
    batch_size: int = hyper(128, least=1)
    """Number of pictures in a minibatch of the training."""
    learning_rate: float = hyper(1e-3, above=0)
    """Learning rate of Adam, whose moments live on from one training to the next."""
    reset: bool = False
    """Whether each training begins with new weights and moments."""

    taught: ClassVar[int]
    """Number of the first of `tables` that a network is trained on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % SHRINK:
            raise ValueError(f"size must be a multiple of {SHRINK}, not {self.size}")
        if self.train_cap == 1:
            raise ValueError("train_cap must be 0 or at least 2, not 1: one policy is held out")

    def misfit(self, spec: Spec) -> str | None:
        """Needs a descriptor, an environment that draws its states, and episodes longer than their pictures."""
        if spec.draw is None:
            return super().misfit(spec) or "it needs a drawing of states (Spec.draw)"
        long = None if self.frames < spec.horizon else f"{self.frames} frames need more than {spec.horizon} steps"
        return super().misfit(spec) or long

    def with_states(self, *wants: Rollouts) -> tuple[Rollouts | Nothing, ...]:
        """Rollouts with states, then training and renewing, which need no experience."""
        rollouts = tuple(replace(want, frames=self.frames) for want in wants)
        return (*rollouts, Nothing(), Nothing()) if self.trains else rollouts

    def tables(self, state: Tree) -> list[tuple[Rows, Array]]:
        """All rows that hold features, with a mask of those that count: first what a network is trained on."""
        raise NotImplementedError

    def with_features(self, state: Tree, features: Array, surprise: Array) -> Tree:
        """The state with other features [rows, d] and surprises [rows] in all rows of `tables`, in its order."""
        raise NotImplementedError

    @property
    def trained_on(self) -> int:
        """Rows of the tables that a network is trained on."""
        raise NotImplementedError

    @property
    def trains(self) -> bool:
        """Whether features ever change."""
        return self.space == "autoencoder" and self.training != "never"

    @property
    def channels(self) -> int:
        """Channels of a picture (C)."""
        return 3 if self.colour else 1

    @property
    def true_dimensions(self) -> int:
        """Dimensions of the environment's own descriptor."""
        return super().dimensions

    @property
    def dimensions(self) -> int:
        """Dimensions in which novelty is measured (d)."""
        if self.space == "descriptor":
            return self.true_dimensions
        return self.features * (self.frames if self.features_of == "all" else 1)

    @property
    def columns(self) -> dict[str, Tree]:
        """The true descriptor, the surprise and the states of an episode (none where nothing is drawn any more)."""
        draw = self.bound.draw
        position = jnp.full(self.true_dimensions, jnp.inf, jnp.float32)
        return {"position": position, "surprise": jnp.zeros(()), "frames": draw.blank(self.frames) if draw else ()}

    @cached_property
    def net(self) -> Autoencoder:
        """The autoencoder."""
        return Autoencoder(self.size, self.channels, self.features, self.width, positive=self.input == "raw")

    @cached_property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam, as PyTorch has it."""
        return optax.adam(self.learning_rate)

    def weights(self, key: Key) -> Params:
        """New parameters of what makes features of pictures."""
        if self.space == "autoencoder":
            return self.net.init(key)
        shape = (self.size * self.size * self.channels, self.features)
        matrix = jax.random.normal(key, shape) / jnp.sqrt(float(self.features))  # keeps distances, on average
        return {"projection": (matrix, jnp.zeros(self.features))} if self.space == "pictures" else {}

    def learner(self, key: Key) -> Learner:
        """An autoencoder before its first training."""
        params, zero = self.weights(key), jnp.int32(0)
        most = min(self.train_cap or self.trained_on, self.trained_on) if self.trains else 0
        return Learner(
            params=params, optimiser=self.optimiser.init(params),
            mean=jnp.zeros((self.size, self.size, self.channels)), spread=jnp.ones(()),
            interval=jnp.int32(self.interval), since=zero, order=jnp.zeros(most * self.frames, jnp.int32), count=zero,
            at=zero, epoch=zero, worse=zero, best=jnp.float32(jnp.inf),
            figures={name: jnp.zeros(()) for name in FIGURES},
        )  # fmt: skip

    # --- from states to features ---

    def look(self, states: Tree) -> Array:
        """Pictures [k, n, n, C] of states [k, ...]."""
        draw = self.bound.draw
        assert draw is not None
        return jax.vmap(lambda state: draw.picture(state, self.size, self.channels))(states)

    def scaled(self, learner: Learner, pictures: Array) -> Array:
        """Pictures as the network gets them."""
        return (pictures - learner.mean) / learner.spread if self.input == "centred" else pictures

    def centred(self, learner: Learner, mean: Array, square: Array) -> Learner:
        """The learner with a mean picture [n, n, C], and the mean square [] of all pixels."""
        variance = square - jnp.mean(jnp.square(mean))
        return replace(learner, mean=mean, spread=jnp.where(variance > 1e-12, jnp.sqrt(jnp.abs(variance)), 1.0))

    def seen(self, learner: Learner, frames: Tree) -> tuple[Array, Array]:
        """(features [k, d], surprise [k]) of the states [k, s, ...] of k episodes."""
        if self.features_of == "last":
            frames = jax.tree.map(lambda x: x[:, -1:], frames)
        count, each = jax.tree.leaves(frames)[0].shape[:2]
        pictures = self.look(jax.tree.map(lambda x: x.reshape(count * each, *x.shape[2:]), frames))
        if self.space == "pictures":
            features = pictures.reshape(count * each, -1) @ learner.params["projection"][0]
            return features.reshape(count, -1), jnp.zeros(count)
        features, errors = self.net.errors(learner.params, self.scaled(learner, pictures))
        return features.reshape(count, -1), jnp.sum(errors.reshape(count, each), axis=1)

    def describe(self, state: Tree, data: Episodes) -> Rows:
        """Rows whose `descriptor` is the features; the true one is their `position`."""
        rows, frames = rows_of(data), jax.tree.map(lambda x: x[:, 0], data.frames)
        features, surprise = rows["descriptor"], jnp.zeros(rows["fitness"].shape)
        if self.space != "descriptor":
            features, surprise = self.seen(state.learner, frames)
        return rows | {
            "descriptor": features, "position": rows["descriptor"], "surprise": surprise, "frames": frames,
        }  # fmt: skip

    def first_centred(self, learner: Learner, data: Episodes) -> Learner:
        """The learner with the mean picture of the first population."""
        if self.space != "autoencoder":
            return learner
        pictures = self.look(jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), data.frames))
        return self.centred(learner, jnp.mean(pictures, axis=0), jnp.mean(jnp.square(pictures)))

    # --- what is told ---

    def told_of(self, learner: Learner, rows: Rows, children: Rows) -> Learner:
        """The learner with figures of rows: spread of the features, how near in the arena neighbours in them are."""
        features, position, count = rows["descriptor"], rows["position"], rows["fitness"].shape[0]
        found = {"features/spread": jnp.sqrt(jnp.mean(jnp.var(features, axis=0)))}
        apart = lambda x: jnp.sqrt(sum((x[:, None, i] - x[None, :, i]) ** 2 for i in range(x.shape[1])))  # noqa: E731
        near = jax.lax.top_k(-apart(features), min(NEAREST + 1, count))[1]  # the first is the row itself
        far = apart(position)
        share = jnp.mean(jnp.take_along_axis(far, near[:, 1:], axis=1)) / jnp.mean(far)
        found["features/nearness"] = share
        if self.space != "descriptor":
            draw = self.bound.draw
            assert draw is not None
            last = jax.tree.map(lambda x: x[:LOOKED_AT, -1], children["frames"])
            change = jnp.abs(self.look(last) - draw.still(self.size, self.channels))
            found["features/blank"] = jnp.mean(jnp.max(change, axis=(1, 2, 3)) < 1 / 255)
        found = {name: jnp.where(jnp.isfinite(x), x, 0.0).astype(jnp.float32) for name, x in found.items()}
        return replace(learner, figures=learner.figures | found)

    def shown(self, rows: Mapping[str, Tree]) -> dict[str, Tree]:
        """Rows for a report: the true descriptor is their `descriptor`, what novelty compares their `features`."""
        kept = {name: x for name, x in rows.items() if name not in ("frames", "position")}
        return kept | {"descriptor": rows["position"], "features": rows["descriptor"]}

    def notices(self, row: Mapping[str, Any]) -> list[str]:
        """Notices of the search, and of features and pictures that tell nothing."""
        found = super().notices(row)
        if row["learn/trainings"] and row["features/spread"] < 1e-6:
            found.append("all states have the same features (features/spread is 0): the autoencoder has collapsed")
        if row["features/blank"] == 1:
            found.append("nothing that moves is in the pictures (features/blank is 1): draw it larger, or raise size")
        return found
