"""Drawings of states inside programs: as the originals look, at any size, and no part of what identifies a run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.api import Drawing, Spec
from prospect_rl.envs.drawing import disc, shades, taps
from prospect_rl.envs.maze.geometry import bitmap
from prospect_rl.experiments.run.config import Run, env_config

IDS = ("maze/hard", "arm/redundant", "arm/curling", "point/sparse", "mujoco/ant_maze")


def whole(drawing, state):
    """A picture of the canvas's size, painted pixel by pixel."""
    image, side = drawing.canvas.copy(), len(drawing.canvas)
    x, y = jnp.arange(side, dtype=jnp.float32)[None], jnp.arange(side, dtype=jnp.float32)[:, None]
    for mask, colour in drawing.marks(state, x, y):
        image[np.asarray(mask)] = colour
    return image


def sampled(image, size):
    """Bilinear sampling as skimage's `resize(image, order=1, anti_aliasing=False)` computes it, in float64."""
    at = np.clip((np.arange(size) + 0.5) * len(image) / size - 0.5, 0, len(image) - 1)
    weights = np.stack([np.interp(at, range(len(image)), one) for one in np.eye(len(image))], axis=1)
    return np.einsum("ik,jl,klc->ijc", weights, weights, image, optimize=True)


@pytest.mark.parametrize(("id", "size"), [*((id, 16) for id in IDS), ("maze/hard", 64)])
def test_a_picture_is_the_canvas_sampled_bilinearly(id, size):
    env = envs.make(id)
    drawing, (state, _) = env.spec.draw, env.reset(jax.random.key(0))
    expected = sampled(whole(drawing, state) / 255.0, size)
    picture = np.asarray(jax.jit(lambda state: drawing.picture(state, size))(state))
    assert picture.shape == (size, size, 3) and picture.dtype == np.float32
    np.testing.assert_allclose(picture, expected, atol=2e-6)
    grey = jax.jit(lambda state: drawing.picture(state, size, 1))(state)
    np.testing.assert_allclose(grey[..., 0], expected @ [0.2125, 0.7154, 0.0721], atol=2e-6)
    assert size == 16 or abs(picture - drawing.still(size)).max() > 0.1, "what moves is seen"


@pytest.mark.parametrize("id", IDS)
def test_the_shapes_of_a_state_are_those_of_a_state(id):
    env = envs.make(id)
    state = jax.eval_shape(env.reset, jax.random.key(0))[0]
    assert jax.tree.structure(state) == jax.tree.structure(env.spec.draw.state)
    kinds = lambda tree: [(x.shape, x.dtype) for x in jax.tree.leaves(tree)]  # noqa: E731
    assert kinds(state) == kinds(env.spec.draw.state)
    assert kinds(env.spec.draw.blank(4, 2)) == [((4, 2, *shape), dtype) for shape, dtype in kinds(state)]


def test_the_maze_looks_as_the_original():
    env = envs.make("maze/hard")
    image = whole(env.spec.draw, env.reset(jax.random.key(0))[0])
    assert (image[bitmap()] == 0).all() and tuple(image[20, 20]) == (255, 0, 0) and tuple(image[30, 150]) == (255,) * 3
    blue = np.argwhere((image == (0, 0, 255)).all(-1))
    assert {tuple(at) for at in blue} == {(150 + dy, 20 + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}, (
        "nearer than 2 px"
    )
    bare = envs.make("maze/hard", robot_drawn=1 / 30, goals_drawn=False)
    image = whole(bare.spec.draw, bare.reset(jax.random.key(0))[0])
    assert not (image == (255, 0, 0)).all(-1).any() and 120 < (image == (0, 0, 255)).all(-1).sum() < 150


def test_the_arm_looks_as_the_original():
    env = envs.make("arm/redundant")
    state = env.reset(jax.random.key(0))[0]
    image = whole(env.spec.draw, state)
    hand = np.round(np.array([20, 5]) + 360.52 * np.asarray(state.hand)).astype(int)
    assert (image[hand[1], hand[0]] == 0).all() and (image[185, 200] == 0).all(), (
        "the arm runs from its base to its hand"
    )
    assert tuple(image[95, 110]) == (255, 0, 0) and (image[185, 30] == 0).all(), "a goal and a wall"


def test_curling_and_the_ant_look_as_they_lie():
    env = envs.make("arm/curling")
    image = whole(env.spec.draw, env.reset(jax.random.key(0))[0])
    assert image.shape == (300, 300, 3)
    at = lambda x, y: tuple(int(v) for v in image[int((1.5 - y) * 100), int((x + 1.5) * 100)])  # noqa: E731
    assert at(-0.5, 0.2) == (0, 0, 255) and at(0.8, 0.8) == at(0.8, -0.8) == (255, 0, 0)
    assert at(0.01, 0.2) == at(0.01, -1.0) == (100,) * 3 and at(0.01, 0.6) == (255,) * 3 and at(-1.48, 0) == (150,) * 3
    ant = envs.make("mujoco/ant_maze")
    image = whole(ant.spec.draw, ant.reset(jax.random.key(0))[0])
    at = lambda x, y: tuple(int(v) for v in image[int((40 - y) / 70 * 200), int((x + 30) / 70 * 200)])  # noqa: E731
    assert at(-25, -25) == (0, 0, 255) and at(35, -25) == at(-25, 35) == (255, 0, 0) and at(-15, 20) == (150,) * 3


def test_what_lies_on_top_is_seen():
    marks = lambda state, x, y: [(disc(x, y, (4, 4), 3), (255, 0, 0)), (disc(x, y, (4, 4), 2), (0, 255, 0))]  # noqa: E731
    picture = Drawing(np.zeros((9, 9, 3), np.uint8), marks, lambda key: (jnp.zeros(()), ())).picture(jnp.zeros(()), 9)
    assert picture[4, 4].tolist() == [0, 1, 0] and picture[4, 2].tolist() == [1, 0, 0] and not picture[0, 0].any()


def test_taps_share_a_pixel_between_two():
    (first, near), (second, far) = taps(200, 64)
    assert (second == first + 1).all() and first[0] == 1 and near[0] == 0.9375 and (near + far == 1).all()
    (first, near), (second, _) = taps(8, 8)
    assert (first == np.arange(8)).all() and (near == 1).all() and second[-1] == 7
    assert shades(np.uint8([255, 255, 255]), 1) == pytest.approx(1)


def test_a_drawing_is_no_part_of_what_identifies_an_environment():
    spec = envs.make("point/sparse").spec
    without = dataclasses.replace(spec, draw=None)
    assert spec == without and hash(spec) == hash(without) and isinstance(without, Spec) and "draw" not in repr(spec)


def test_fields_of_drawing_leave_hashes_as_they_were():
    plain, other = envs.make("maze/hard"), envs.make("maze/hard", robot_drawn=0.05)
    assert set(env_config(plain)["fields"]) == {"horizon", "start", "goals"}
    assert env_config(other)["fields"]["robot_drawn"] == 0.05
    from prospect_rl.agents import RandomSearch

    assert Run(RandomSearch(), plain, budget=200).hash != Run(RandomSearch(), other, budget=200).hash
