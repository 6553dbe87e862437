"""Where the seeds of an agent are one program: what pays on which device.

On an accelerator a step of one seed takes as long as one of several, so that all seeds that can be one program are one.
On a CPU most are processes of their own, a core each: vectorised, their products are no faster, and loops and
conditions run as often as the slowest seed needs. Agents that learn from the rows of a dataset lose nothing there.
"""

from __future__ import annotations

from prospect_rl.agents.api import Agent, can_share
from prospect_rl.agents.evolution.neuroevolution import Neuroevolution
from prospect_rl.agents.online.off_policy import OffPolicy
from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.sequence.imitation import SequenceBC

APART_ON_CPU = (PPO, OffPolicy, Neuroevolution, SequenceBC)
"""Families whose seeds are runs of their own on a CPU."""


def seeds_together(agent: Agent, device: str) -> bool:
    """Whether all seeds of an agent are one run on a device, "cpu" or "gpu"."""
    return can_share(agent) and (device != "cpu" or not isinstance(agent, APART_ON_CPU))
