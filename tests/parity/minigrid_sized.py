"""Lists of actions played on maps of one size, for all tasks of a rule by one program. Needs no minigrid."""

import jax
from flax import struct

from prospect_rl.envs.minigrid.env import Bank, MiniGrid
from prospect_rl.envs.minigrid.table import FAMILIES, TASKS, Task

LARGEST = max(max(task.width, task.height) for task in TASKS.values())


@struct.dataclass
class Sized(MiniGrid):
    """Several tasks of one rule at once: the map is as large as it is, the limit is an argument."""

    limit: jax.Array = struct.field(pytree_node=True, default=None)

    @property
    def task(self):
        return Task(TASKS[self.name].family, 0, 0, self.limit)


def rule_of(name):
    family = FAMILIES[TASKS[name].family]
    return family.rule, family.see_through


def roll(rule, limit, start, actions, moved):
    """(first observation, (states, steps)) of a list of actions; `moved`: the world's own moves, by field."""
    template = next(name for name in TASKS if rule_of(name) == rule)
    env = Sized(template, bank=Bank(lambda: start), limit=limit)

    def body(before, inputs):
        action, world = inputs
        after, step = env.resolve(before, before.replace(**world), action)
        return after, (after, step)

    return env.observe(start), jax.lax.scan(body, start, (actions, moved))
