"""The register of datasets: the recipe and the field values for each name.

A recipe is defined where its dependencies are: in `experiments` if it needs an agent. It is imported on first use.
"""

from __future__ import annotations

from typing import Any

from prospect_rl.envs.memory.table import TASKS as POPGYM

ORACLE = "prospect_rl.envs.data.demonstrations:Demonstrations"
WAYPOINTS = "prospect_rl.envs.pointmaze.waypoints:Waypoints"
TRAINED, JOINED = "prospect_rl.experiments.recipes.mujoco:Trained", "prospect_rl.experiments.recipes.mujoco:Joined"
MAZE_ROWS = {"umaze": 1_000_000, "medium": 2_000_000, "large": 4_000_000}
TABLETOP = (*(f"memory/remember_color_{k}" for k in (3, 5, 9)), "memory/take_it_back")
GRIDS = tuple(f"minigrid/{name}-v0" for name in ("FourRooms", "DoorKey-5x5", "DoorKey-6x6", "DoorKey-8x8"))
BANDS = {
    "mujoco/half_cheetah": {"medium": (38.0, 46.0), "expert": (85.0, 95.0)},
    "mujoco/hopper": {"medium": (40.0, 55.0), "expert": (100.0, 112.0)},
    "mujoco/walker2d": {"medium": (60.0, 85.0), "expert": (100.0, 110.0)},
}
"""Range of D4RL scores of a medium or expert agent, derived from D4RL's data (no ranges are published)."""

DATASETS: dict[str, tuple[str, dict[str, Any]]] = {
    "memory/tmaze/oracle": (ORACLE, {"env": "memory/tmaze", "env_fields": (("length", 30), ("shortest", 1))}),
    **{f"{env}/oracle": (ORACLE, {"env": env}) for env in TABLETOP},
    **{f"popgym/{name}/oracle": (ORACLE, {"env": f"popgym/{name}"}) for name in POPGYM},
    **{
        f"{env}/{name}": (ORACLE, {"env": env, "env_fields": (("levels", 8192),), "random": share})
        for env in GRIDS
        for name, share in {"oracle": 0.0, "mixed": 0.5, "random": 1.0}.items()
    },
    **{
        f"{family}/{maze}/waypoints": (WAYPOINTS, {"family": family, "maze": maze, "rows": rows})
        for family in ("maze2d", "pointmaze")
        for maze, rows in MAZE_ROWS.items()
    },
    **{
        f"{env}/{level}": (TRAINED, {"env": env, "low": low, "high": high})
        for env, bands in BANDS.items()
        for level, (low, high) in bands.items()
    },
    **{f"{env}/medium-expert": (JOINED, {"env": env, "parts": (f"{env}/medium", f"{env}/expert")}) for env in BANDS},
}
"""Name -> ("module:recipe class", field values)."""
