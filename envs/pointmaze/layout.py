"""The mazes: maps, positions of cells, shortest paths and MuJoCo models.

Shapes: R rows and C columns of a map, K free cells (numbered row by row).
"""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without stubs

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import mujoco
import numpy as np

from prospect_rl.envs.native import Physics, Read

MAPS: dict[str, tuple[str, ...]] = {
    "umaze": ("#####", "#   #", "### #", "#   #", "#####"),
    "medium": ("########", "#  ##  #", "#  #   #", "##   ###", "#  #   #", "# #  # #", "#   #  #", "########"),
    "large": (
        "############", "#    #     #", "# ## # # # #", "#      #   #", "# #### ### #", "#  # #     #", "## # # # ###",
        "#  #   #   #", "############",
    ),
}  # fmt: skip
GOALS = {"umaze": (1, 1), "medium": (6, 6), "large": (7, 9)}
"""The cells (row, column) of the fixed goals."""
HORIZONS = {"umaze": 300, "medium": 600, "large": 800}
"""Length of an episode in steps."""
SHIFT = 0.2
"""Offset (m) along both axes of the position (row, column) from that cell's centre in maze2d: D4RL puts the centres of
walls at whole numbers and the point's origin at 1.2."""
RADIUS = 0.1
"""Radius of the point (m); a cell is 1 m wide."""


@dataclass(frozen=True)
class Layout:
    """A maze in the coordinate frame of a family.

    maze2d (D4RL): x increases with the row, y with the column, and the cell (1, 1) has its centre at (0.8, 0.8).
    pointmaze (gymnasium-robotics): x increases with the column, y decreases with the row, and (0, 0) is the centre of
    the map.
    """

    family: str
    maze: str

    @cached_property
    def free(self) -> np.ndarray:
        """Whether each cell is free (no wall), bool [R, C]."""
        return np.array([[tile != "#" for tile in line] for line in MAPS[self.maze]])

    @cached_property
    def cells(self) -> np.ndarray:
        """The (row, column) of the free cells, int [K, 2]."""
        return np.argwhere(self.free)

    def centres(self, cells: Any) -> np.ndarray:
        """Return the centres, float32 [..., 2] (m), of cells [..., 2], which may be walls."""
        row, column = np.moveaxis(np.asarray(cells), -1, 0)
        height, width = self.free.shape
        xy = (
            (row - SHIFT, column - SHIFT)
            if self.family == "maze2d"
            else (column + (1 - width) / 2, (height - 1) / 2 - row)
        )
        return np.stack(xy, -1).astype(np.float32)

    def positions(self, cells: Any) -> np.ndarray:
        """Return the positions of starts and goals in cells [..., 2], before noise, float32 [..., 2] (m)."""
        return (self.centres(cells) + (SHIFT if self.family == "maze2d" else 0)).astype(np.float32)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The (lower, upper) corners [2] of the map including its walls (m)."""
        corners = self.centres([(0, 0), np.array(self.free.shape) - 1])
        return corners.min(0) - 0.5, corners.max(0) + 0.5

    def number(self, position: Any) -> Any:
        """Return the number [...] of the free cell whose centre is nearest to a position [..., 2] (m)."""
        return ((position[..., None, :] - self.centres(self.cells)) ** 2).sum(-1).argmin(-1)

    @cached_property
    def next_cells(self) -> np.ndarray:
        """The next cell on a shortest path, int32 [K, K] indexed [goal, cell]; the goal itself at the goal."""
        number = {(int(row), int(column)): k for k, (row, column) in enumerate(self.cells)}
        next_cells = np.tile(np.arange(len(number))[:, None], (1, len(number)))
        for goal in number:
            queue, seen = deque([goal]), {goal}
            while queue:
                row, column = here = queue.popleft()
                for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                    if cell in number and cell not in seen:
                        next_cells[number[goal], number[cell]] = number[here]
                        seen.add(cell)
                        queue.append(cell)
        return next_cells.astype(np.int32)

    @property
    def xml(self) -> str:
        """The MuJoCo model: a sphere of 4.18879 kg on two slide joints, motors of up to 100 N, and a box per wall."""
        walls = "\n".join(
            f'    <geom type="box" size=".5 .5 .2" pos="{x:.1f} {y:.1f} 0"/>'
            for x, y in self.centres(np.argwhere(~self.free))
        )
        return f"""<mujoco model="{self.family} {self.maze}">
  <option timestep=".01" gravity="0 0 0" iterations="20" integrator="Euler"/>
  <default>
    <joint type="slide" damping="1"/>
    <geom density="1000" margin=".002" condim="1"/>
    <motor gear="100" ctrllimited="true" ctrlrange="-1 1"/>
  </default>
  <worldbody>
{walls}
    <body name="point">
      <joint name="x" axis="1 0 0"/>
      <joint name="y" axis="0 1 0"/>
      <geom type="sphere" size="{RADIUS}"/>
    </body>
  </worldbody>
  <actuator><motor joint="x"/><motor joint="y"/></actuator>
</mujoco>
"""


@lru_cache
def layout(family: str, maze: str) -> Layout:
    """Return the layout, shared by all equal environments of the process."""
    return Layout(family, maze)


@lru_cache
def physics(family: str, maze: str) -> Physics:
    """Return the simulator, which reads x, y and their velocities."""
    model = mujoco.MjModel.from_xml_string(layout(family, maze).xml)
    return Physics(model, substeps=1, reads=(Read("qpos", 0, 2), Read("qvel", 0, 2)))
