"""Several seeds as one program: every agent that says that its seeds can be one is held to it here."""

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents
from prospect_rl.agents.api import can_share
from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.program import Program
from prospect_rl.experiments.run.seeds import seeds_together
from tests.contract.test_agents import CALLS, program_of, run, shrunk, small

ABLE = [name for name in sorted(agents.AGENTS) if can_share(agents.make(name))]
FAST = {"bc_gru", "count", "iql", "novelty_search", "td3"}
"""One of each family, or of each kind of buffer; the others compile for minutes together."""
BUFFERED = ("bins", "rollouts", "retain")
"""Fields besides large ones that say how large a buffer is."""
PARAMS = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in ABLE]
SEEDS = (0, 1)
LARGE = 2048
"""Tables with an axis of this length or more are buffers: replays, archives, counts of visits."""


def with_buffers(name: str):
    """The agent with small networks, but with replays, archives and tables as large as by default."""
    agent = agents.make(name)
    for f in 2 * dataclasses.fields(agent):
        value = getattr(agent, f.name)
        if f.name not in BUFFERED and not (isinstance(value, int) and value >= LARGE):
            agent = shrunk(agent, f.name)
    return agent


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations of a program, those of its loops and calls included."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                if hasattr(part, "eqns") or hasattr(part, "jaxpr"):
                    yield from equations(part)


def selected(equation: Any) -> list[Any]:
    """What an equation selects: a loop does so with all that it carries if seeds may end at different times."""
    batched = equation.primitive.name == "while" and equation.params["cond_jaxpr"].out_avals[0].shape
    return equation.outvars if batched or equation.primitive.name == "select_n" else []


def selections(name: str, seeds) -> tuple[int, int]:
    """(selections between buffers of the state in all phases of a program, number of buffers)."""
    program = program_of(with_buffers(name), seeds)
    state = program.template()
    buffers = {x.shape for x in jax.tree.leaves(state.agent) if max(x.shape, default=0) >= LARGE}
    found = 0
    for phase in range(len(program.wants)):
        advance = partial(program._advance_of, phase=phase)
        made = jax.make_jaxpr(advance)(state, program.who, program.world, jnp.int32(1), jnp.int32(1))
        found += sum(x.aval.shape in buffers for e in equations(made) for x in selected(e))
    return found, len(buffers)


@pytest.mark.parametrize("name", PARAMS)
def test_seeds_copy_no_buffer(name):
    """A condition becomes a selection where seeds are vectorised: over a replay, that copies it at every step."""
    (alone, count), (together, same) = selections(name, (0,)), selections(name, SEEDS)
    assert together <= alone and count == same
    if hasattr(agents.make(name), "capacity") or hasattr(agents.make(name), "archive_capacity"):
        assert count


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mbpo", "mex_mb"])
def test_those_that_would_are_not_able(name):
    assert selections(name, SEEDS) > selections(name, (0,)) and not can_share(agents.make(name))


@pytest.fixture(scope="module", params=PARAMS)
def together(request) -> Iterator[tuple[str, Program, list[Any]]]:
    """(name, the program of both seeds, copies of its state after each of some calls).

    An agent's programs go with it: those of all agents are more than a process can hold.
    """
    program = program_of(small(request.param), SEEDS)
    yield request.param, program, calls(program, program.init(), CALLS)
    jax.clear_caches()


def calls(program: Program, state: Any, count: int) -> list[Any]:
    states = []
    for _ in range(count):
        state, _, _ = program.advance(state, program.phase(state), 10**6, 2)
        states.append(jax.tree.map(jnp.copy, state))
    return states


def test_seeds_together_are_the_seeds_alone(together):
    """To rounding: nearly all numbers are equal, but Adam makes a whole step of a gradient that is nearly 0."""
    name, _, states = together
    for i, seed in enumerate(SEEDS):
        ours = checkpoint.flatten(jax.tree.map(lambda x, i=i: x[i], states[-1]))
        theirs = checkpoint.flatten(run(name, seed)[0])
        assert ours.keys() == theirs.keys()
        near = [np.isclose(ours[path], x, rtol=1e-5, atol=1e-5, equal_nan=True).ravel() for path, x in theirs.items()]
        assert np.mean(np.concatenate(near)) > 0.99
        for path, x in theirs.items():
            assert np.allclose(ours[path], x, rtol=0.05, atol=0.01, equal_nan=True), path


def test_a_run_of_seeds_that_is_resumed_has_the_same_bits(together, tmp_path):
    _, program, states = together
    checkpoint.save(tmp_path, states[1], {"iteration": 1, "config_hash": "x", "score": None})
    named = checkpoint.last(tmp_path, "x")
    resumed = jax.tree.map(lambda x: jnp.array(x, copy=True), checkpoint.rebuild(named, program.template()))
    last = calls(program, resumed, CALLS - 2)[-1]
    assert checkpoint.digest(last) == checkpoint.digest(states[-1])


def test_what_pays_on_a_device():
    """On a CPU what it always was; on an accelerator all that can."""
    cpu, gpu = ({n for n in agents.AGENTS if seeds_together(agents.make(n), device)} for device in ("cpu", "gpu"))
    offline = {"awac", "bc", "bc_filtered", "cde", "cql", "iql", "optidice", "td3_bc"}
    assert cpu == offline | {"floor", "mex_tabular"}
    alone = {
        "aurora", "drlc", "emitter_study", "grpo", "hero", "hero_ppo", "mbpo", "mex_mb", "ppo_text", "serene", "stax",
        "stax_untrained", "taxons", "tree",
    }  # fmt: skip
    assert gpu == set(ABLE) == set(agents.AGENTS) - alone
