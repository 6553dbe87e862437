"""Pictures by MuJoCo's own renderer, off screen. $MUJOCO_GL names the way to OpenGL: egl (the default) or osmesa."""

# pyright: reportAttributeAccessIssue=false
# (mujoco's extension module has no types)

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from prospect_rl.envs.api import Array

if TYPE_CHECKING:
    from prospect_rl.envs.memory.tabletop import Tabletop
    from prospect_rl.envs.mujoco.base import Simulation

HEIGHT, WIDTH = 240, 320
GEOMS = 200
"""More than any of the models shows."""


def draw(env: Simulation | Tabletop, row: Array, scenery: Array | None = None) -> Array:
    """The simulation at `row` [W] as uint8 [240, 320, 3]. May be traced; vmapped, the pictures come one by one.

    scenery: where geoms 1 to G stand [G, 3], which are the world's and take no part in the simulation. Raises
    NotImplementedError, in one line, where there is no way to OpenGL.
    """
    if trouble := obstacle():
        raise NotImplementedError(f"{type(env).__name__} draws no pictures here: {trouble}")
    physics = env.physics
    shape = jax.ShapeDtypeStruct((HEIGHT, WIDTH, 3), jnp.uint8)
    scenery = jnp.zeros((0, 3)) if scenery is None else scenery

    def paint(row: Array, scenery: Array) -> np.ndarray:
        data = physics.data(row)
        data.geom_xpos[1 : 1 + len(scenery)] = scenery
        return render(data)

    return jax.pure_callback(paint, shape, row, scenery, vmap_method="sequential")


def _opengl() -> ModuleType:
    return import_module(f"mujoco.{os.environ.get('MUJOCO_GL') or 'egl'}")


@lru_cache(1)
def obstacle() -> str:
    """Why there can be no pictures, "" where there can."""
    try:
        _opengl().GLContext(8, 8).free()
    except Exception as error:  # an import, an attribute, or whatever the OpenGL bindings raise: all say the same
        return f"MuJoCo's renderer needs MUJOCO_GL=egl or osmesa, and its library ({type(error).__name__})"
    return ""


def render(data: mujoco.MjData) -> np.ndarray:
    """A picture of a simulation, uint8 [240, 320, 3].

    Everything is made anew each time, since a context belongs to the thread that uses it and callbacks come from
    any: a few tenths of a second without a GPU, of which the drawing itself is half.
    """
    model = data.model
    context = _opengl().GLContext(WIDTH, HEIGHT)
    context.make_current()
    try:
        buffers = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, buffers)
        camera, scene = mujoco.MjvCamera(), mujoco.MjvScene(model, GEOMS)
        mujoco.mjv_defaultFreeCamera(model, camera)
        if model.ncam:
            camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
        view, image = mujoco.MjrRect(0, 0, WIDTH, HEIGHT), np.empty((HEIGHT, WIDTH, 3), np.uint8)
        mujoco.mjr_render(view, scene, buffers)
        mujoco.mjr_readPixels(image, None, view, buffers)
        buffers.free()
    finally:
        context.free()
    return image[::-1]
