"""The models: gymnasium's own files, read where it is installed, and small ones of this folder.

`gymnasium.envs.mujoco` itself is never imported (it wants a window system and more packages).
"""

# pyright: reportAttributeAccessIssue=false
# (mujoco's extension module has no types)

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import mujoco

from prospect_rl.envs.native import Physics, Read

OWN = ("cartpole.xml", "pendulum.xml", "remember_color.xml", "take_it_back.xml")


@lru_cache
def load(file: str) -> mujoco.MjModel:
    """The model of `file`, compiled once a process. Raises ValueError where gymnasium has no such model."""
    if file in OWN:
        return mujoco.MjModel.from_xml_path(str(Path(__file__).with_name(file)))
    spec = find_spec("gymnasium")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "envs" / "mujoco" / "assets" / file
    if not path.is_file():
        raise ValueError(f"the installed gymnasium has no MuJoCo model {file} ({path})")
    # `settotalmass` is deprecated and warns into a file in the working folder; what it does is done by hand below
    text, marked = re.subn(r'\ssettotalmass="14"', "", path.read_text(encoding="utf-8"))
    model = mujoco.MjModel.from_xml_string(text)
    if marked:
        mujoco.mj_setTotalmass(model, 14)
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


@lru_cache
def physics(file: str, substeps: int, reads: tuple[Read, ...], contact: bool) -> Physics:
    """One physics for all environments that simulate and read alike."""
    return Physics(load(file), substeps=substeps, reads=reads, contact=contact)
