"""Normalised scores: D4RL's scale from random actions (0) to its reference (100), and the share of a controller.

Sources: D4RL d4rl/infos.py; for the mazes' controller `python -m prospect_rl.experiments.bench.floors.pointmaze`.
D4RL's own controller is weak: in its mazes our noise-free controller scores 147, 156 and 207. D4RL's MuJoCo references
were measured with gym's v2 robots; for other versions they are only a common scale.
"""

from __future__ import annotations

from prospect_rl.envs.names import unknown

D4RL: dict[str, tuple[float, float]] = {
    "maze2d/umaze": (23.85, 161.86),
    "maze2d/medium": (13.13, 277.39),
    "maze2d/large": (6.7, 273.99),
    "mujoco/half_cheetah": (-280.178953, 12135.0),
    "mujoco/hopper": (-20.272305, 3234.3),
    "mujoco/walker2d": (1.629008, 4592.3),
}
"""Environment -> mean returns of (random actions, D4RL's reference policy)."""
CONTROLLER = {
    "maze2d/umaze": 226.1,
    "maze2d/medium": 424.8,
    "maze2d/large": 559.8,
    "pointmaze/umaze": 231.1,
    "pointmaze/medium": 460.3,
    "pointmaze/large": 590.0,
}
"""Environment -> mean return of `envs.pointmaze.waypoints.Walker` over 1000 episodes."""


def d4rl_score(env: str, mean_return: float) -> float:
    """Return D4RL's normalised score.

    Args:
        env: Registered id of the environment.
        mean_return: Mean return R over episodes.

    Returns:
        100 (R - random) / (reference - random).

    Raises:
        ValueError: For an environment without D4RL references.
    """
    if env not in D4RL:
        raise unknown("environment with D4RL's references", env, D4RL)
    random, reference = D4RL[env]
    return 100 * (mean_return - random) / (reference - random)


def controller_share(env: str, mean_return: float) -> float:
    """Return the mean return as a share of the noise-free controller's.

    Args:
        env: Registered id of the environment.
        mean_return: Mean return over episodes.

    Returns:
        The ratio of the two mean returns; 1 means as good as the controller.

    Raises:
        ValueError: For an environment without a controller.
    """
    if env not in CONTROLLER:
        raise unknown("environment with a controller", env, CONTROLLER)
    return mean_return / CONTROLLER[env]
