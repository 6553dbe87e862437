"""Every registered agent makes an iteration on an accelerator, with finite figures and a policy that acts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.envs.rollout import first_inputs
from tests.contract.test_agents import program_of, small
from tests.gpu.places import on

pytestmark = pytest.mark.gpu


def made(id):
    """The environment; MiniGrid's levels are generated, which needs no minigrid."""
    return envs.make(id, **({"source": "generator"} if id.startswith("minigrid/") else {}))


@pytest.mark.parametrize("name", sorted(agents.AGENTS))
def test_an_iteration(name):
    with on("accelerator"):
        program = program_of(small(name), make=made)
        bound, env, run = program.agent, program._env, program.init()
        run, status, figures = program.advance(run, program.phase(run), 10**6, 1)
        assert int(status[0]) == 1 and all(np.isfinite(x).all() for x in jax.device_get(figures).values())
        behaviour, inputs = program.behaviour(run), first_inputs(env.spec, env.reset(jax.random.key(0))[1])
        memory = bound.memory(behaviour, jax.random.key(1))
        action, _, _ = jax.jit(bound.act)(behaviour, memory, inputs, jax.random.key(2))
        assert env.spec.action.contains(np.asarray(action))
        numbers = (x for x in jax.tree.leaves(behaviour) if jnp.issubdtype(x.dtype, jnp.floating))
        assert all(jnp.isfinite(x).all() for x in numbers)
