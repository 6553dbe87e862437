"""Off-screen rendering with MuJoCo. $MUJOCO_GL selects the OpenGL backend: egl (the default) or osmesa."""

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
"""Size of a picture in pixels."""
GEOMS = 200
"""Maximum number of geoms in a scene; no model here has as many."""


def draw(env: Simulation | Tabletop, row: Array, visual_geoms: Array | None = None) -> Array:
    """Render a simulation. May be traced; under `vmap`, pictures are rendered one after another.

    Args:
        env: The environment.
        row: Uint32 [W], the simulation state.
        visual_geoms: Float32 [G, 3], positions in metres of geoms 1 to G, which belong to the world body and are not
            simulated; none by default.

    Returns:
        Uint8 [240, 320, 3].

    Raises:
        NotImplementedError: In one line, if OpenGL is not available.
    """
    if reason := unavailable():
        raise NotImplementedError(f"{type(env).__name__} cannot be rendered here: {reason}")
    physics = env.physics
    shape = jax.ShapeDtypeStruct((HEIGHT, WIDTH, 3), jnp.uint8)
    visual_geoms = jnp.zeros((0, 3)) if visual_geoms is None else visual_geoms

    def paint(row: Array, visual_geoms: Array) -> np.ndarray:
        data = physics.data(row)
        data.geom_xpos[1 : 1 + len(visual_geoms)] = visual_geoms
        return render(data)

    return jax.pure_callback(paint, shape, row, visual_geoms, vmap_method="sequential")


def _opengl() -> ModuleType:
    return import_module(f"mujoco.{os.environ.get('MUJOCO_GL') or 'egl'}")


@lru_cache(1)
def unavailable() -> str:
    """Return why rendering is not possible, or "" if it is."""
    try:
        _opengl().GLContext(8, 8).free()
    except Exception as error:  # import errors, attribute errors and anything the OpenGL bindings raise mean the same
        return f"MuJoCo's renderer needs MUJOCO_GL=egl or osmesa, and its library ({type(error).__name__})"
    return ""


def render(data: mujoco.MjData) -> np.ndarray:
    """Render a simulation, uint8 [240, 320, 3].

    The OpenGL context is created for each picture, because it belongs to one thread and callbacks may come from any.
    Without a GPU a picture takes a few tenths of a second, half of it for the drawing itself.
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
