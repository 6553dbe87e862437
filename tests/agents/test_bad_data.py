"""What every agent that learns from single rows must bear: no pay, a constant feature, actions at their bounds."""

import dataclasses

import jax
import numpy as np
import pytest

from prospect_rl.agents import AGENTS
from prospect_rl.agents.api import Batches, wants_of
from prospect_rl.envs.data import files
from prospect_rl.envs.rollout import batches, first_inputs
from tests import toy_envs

SMALL = {"hidden": (8,), "batch_size": 8, "updates": 10, "warm_up": 5}
ROWS = 40
SPEC = toy_envs.Point().spec


def compiled(f):
    """`f` compiled without optimisation: these programs run once."""
    return jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})


def from_rows(cls):
    want = wants_of(cls())[0]
    return isinstance(want, Batches) and want.length == 1 and cls().misfit(SPEC) is None


@pytest.mark.filterwarnings(
    "ignore:the reward is 0 in all rows", "ignore:0 rows belong to successful episodes", "ignore:all returns are 0"
)
@pytest.mark.parametrize("name", [name for name, cls in AGENTS.items() if from_rows(cls)])
def test_data_that_teaches_nothing_breaks_nothing(name):
    """Four episodes, one of them a single row; the second feature never changes; every action is a corner."""
    draw, last = np.random.default_rng(0), np.isin(np.arange(ROWS), (11, 12, 29, ROWS - 1))
    obs = np.stack([draw.normal(size=ROWS + 1), np.full(ROWS + 1, 0.25)], 1).astype(np.float32)
    data = files.as_dataset({
        "obs": obs[:-1], "next_obs": obs[1:], "action": draw.choice(np.float32([-1, 1]), (ROWS, 2)),
        "reward": np.zeros(ROWS, np.float32), "terminated": last & (np.arange(ROWS) < 20),
        "truncated": last & (np.arange(ROWS) > 20),
    })  # fmt: skip
    fields = {f.name for f in dataclasses.fields(AGENTS[name])}
    agent = AGENTS[name](**{field: x for field, x in SMALL.items() if field in fields}).bind(SPEC)
    prepared, want = agent.prepare(data), agent.wants
    batch = batches(prepared, jax.random.key(0), size=want.size, updates=want.updates, starts=want.starts)
    state = compiled(agent.init)(jax.random.key(1))
    state, figures = compiled(agent.learn)(state, batch, jax.random.key(2))
    assert figures and all(np.isfinite(x).all() for x in jax.tree.leaves((state, figures)))
    behave = compiled(lambda state, seen: agent.act(agent.exploit(state), (), seen, jax.random.key(3))[0])
    assert SPEC.action.contains(behave(state, first_inputs(SPEC, obs[0])))
