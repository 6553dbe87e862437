"""The registered sparse tasks: the robots with other values of their fields.

    *_vel_sparse   MEX's model-free tasks: they never terminate
    *_sparse       MEX's model-based tasks: gymnasium's termination
    *_far          1 per step beyond a distance, as in the diversity actor-critic and other work

Source: agentification/MEX, MEX_MF/envs/*_vel.py and MEX_MB/mujoco/*_sparse.py. MEX ran on gym's v2, whose models and
rules are those of gymnasium's v4.
"""

from functools import partial

from prospect_rl.envs.mujoco.ant import Ant
from prospect_rl.envs.mujoco.locomotion import HalfCheetah, Hopper, Walker2d

cheetah_vel_sparse = partial(
    HalfCheetah, id="mujoco/cheetah_vel_sparse", version="v4", reward="velocity", target=1.5, band=0.6,
    control_weight=0.05, observe_torso=True,
)  # fmt: skip
hopper_vel_sparse = partial(
    Hopper, id="mujoco/hopper_vel_sparse", version="v4", reward="velocity", target=1.5, band=0.6,
    control_weight=0.05, terminates=False,
)  # fmt: skip
walker_vel_sparse = partial(
    Walker2d, id="mujoco/walker_vel_sparse", version="v4", reward="velocity", target=1.0, band=0.5,
    control_weight=0.001, terminates=False,
)  # fmt: skip

half_cheetah_sparse = partial(
    HalfCheetah, id="mujoco/half_cheetah_sparse", version="v4", reward="velocity", target=1.5, band=0.6,
    control_weight=0.1,
)  # fmt: skip
hopper_sparse = partial(
    Hopper, id="mujoco/hopper_sparse", version="v4", reward="velocity", target=1.5, band=0.6, control_weight=0.05
)
walker2d_sparse = partial(
    Walker2d, id="mujoco/walker2d_sparse", version="v4", reward="velocity", target=1.0, band=0.5, control_weight=0.001
)
ant_sparse = partial(
    Ant, id="mujoco/ant_sparse", version="v4", reward="velocity", target=1.0, band=0.7, control_weight=0.5
)

half_cheetah_far = partial(HalfCheetah, id="mujoco/half_cheetah_far", reward="far", distance=5.0)
hopper_far = partial(Hopper, id="mujoco/hopper_far", reward="far", distance=1.0)
walker2d_far = partial(Walker2d, id="mujoco/walker2d_far", reward="far", distance=1.0)
ant_far = partial(Ant, id="mujoco/ant_far", reward="far", distance=1.0, observe_contacts=False)
