"""The MuJoCo models: gymnasium's own files, read from its installation, and small models in this folder.

`gymnasium.envs.mujoco` itself is never imported, because it needs a window system and more packages.
"""

# pyright: reportAttributeAccessIssue=false
# (mujoco's extension module has no types)

from __future__ import annotations

import copy
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import mujoco

from prospect_rl.envs.native import Physics, Read

OWN = ("ant_maze.xml", "cartpole.xml", "pendulum.xml", "remember_color.xml", "take_it_back.xml")
"""The models in this folder."""


@lru_cache
def load(file: str) -> mujoco.MjModel:
    """Load and compile a model, once per process.

    Args:
        file: File name, in this folder or among gymnasium's models.

    Returns:
        The compiled model.

    Raises:
        ValueError: If the installed gymnasium has no such model.
    """
    if file in OWN:
        return mujoco.MjModel.from_xml_path(str(Path(__file__).with_name(file)))
    spec = find_spec("gymnasium")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "envs" / "mujoco" / "assets" / file
    if not path.is_file():
        raise ValueError(f"the installed gymnasium has no MuJoCo model {file} ({path})")
    # `settotalmass` is deprecated and writes a warning file into the working folder; its effect is applied below
    text, marked = re.subn(r'\ssettotalmass="14"', "", path.read_text(encoding="utf-8"))
    model = mujoco.MjModel.from_xml_string(text)
    if marked:
        mujoco.mj_setTotalmass(model, 14)
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


@lru_cache
def physics(file: str, substeps: int, reads: tuple[Read, ...], contact: bool, integrator: str | None = None) -> Physics:
    """Return one simulator, shared by all environments with the same arguments; by default by the file's integrator."""
    model = load(file)
    if integrator is not None:
        model = copy.copy(model)
        model.opt.integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{integrator.upper()}")
    return Physics(model, substeps=substeps, reads=reads, contact=contact)
