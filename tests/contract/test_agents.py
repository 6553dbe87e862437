"""What every registered agent must keep to. A new line in `agents.AGENTS` is tested here with nothing else written.

One set of compiled programs an agent, shared by all of its tests (which share a worker of xdist).
"""

import contextlib
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from functools import cache, partial
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents import Player
from prospect_rl.agents.api import Agent, Batches, Nothing, Rollouts, Segments, cost, hyper, wants_of
from prospect_rl.agents.online.sac import GaussianActor
from prospect_rl.envs.api import Dataset, Env
from prospect_rl.envs.rollout import episodes, first_inputs, next_inputs
from prospect_rl.experiments.metrics import metric_of
from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run import players as shipping
from prospect_rl.experiments.run.checkpoint import digest
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.program import Program
from tests.contract import bad

ENVS = (
    "point/sparse", "probe/bandit", "probe/memory", "probe/target", "lock/combination", "minigrid/Empty-5x5-v0",
    "text/reverse",
)  # fmt: skip
"""Small environments: an agent is tested in the first that it fits."""
SMALL = 4
"""What counts and widths of an agent come down to, or as near to it as it takes them."""
CALLS = 4
KEY = jax.random.key(8)
NAMES = sorted(agents.AGENTS)
COVERED = (
    "bc_gru", "bc_lstm", "bc_transformer", "dt", "grpo", "hero_ppo", "icm", "latch", "linoss", "mbpo", "ppo_elmur",
    "ppo_text", "rate", "rmt", "rnd", "stax_untrained", "taxons", "trxl",
)  # fmt: skip
"""Among the slow tests, for others run their code here: subclasses (`ride`, `mex_mb`, `noveld`), `stax` for its
variants, and `elmur` for the agents that learn from whole episodes."""


def small(name: str) -> Agent:
    """The agent, as small as it may be: cheap to compile and to run, whatever its fields are called."""
    agent = agents.make(name)
    for f in 2 * dataclasses.fields(agent):  # twice: what a field may be can hang on one that comes after it
        smaller = shrunk(agent, f.name)
        agent = smaller if any(smaller.misfit(spec) is None for spec in specs()) else agent
    return agent


@cache
def specs():
    """Those of the small environments."""
    return [envs.make(id).spec for id in ENVS]


def shrunk(agent: Agent, field: str) -> Agent:
    """The agent with the smallest value of a field, a whole number or several, that it does not refuse."""
    value, limit = getattr(agent, field), SMALL
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(type(number) is int for number in numbers):
        return agent
    while limit < max(numbers, default=0):
        less = tuple(min(number, limit) for number in numbers)
        with contextlib.suppress(ValueError):
            return dataclasses.replace(agent, **{field: less if isinstance(value, tuple) else less[0]})
        limit *= 2
    return agent


def dataset_for(env) -> Dataset:
    """Rows of four episodes of sixteen steps, drawn from the spaces; all but one are paid at the end."""
    keys = jax.random.split(jax.random.key(3), (3, 64))
    last = jnp.arange(64) % 16 == 15
    rows = {
        "obs": jax.vmap(env.spec.obs.sample)(keys[0]), "action": jax.vmap(env.spec.action.sample)(keys[1]),
        "reward": jnp.float32(last & (jnp.arange(64) < 48)), "terminated": last, "truncated": jnp.zeros(64, bool),
        "next_obs": jax.vmap(env.spec.obs.sample)(keys[2]),
    }  # fmt: skip
    return Dataset(rows, jnp.arange(0, 64, 16, dtype=jnp.int32))


@cache
def case(name: str) -> SimpleNamespace:
    agent = small(name)
    program = program_of(agent)
    return SimpleNamespace(agent=agent, bound=program.agent, env=program._env, program=program, runs={})


def program_of(agent: Agent, seeds: Sequence[int] = (0,), make: Callable[[str], Env] = envs.make) -> Program:
    """The programs of an agent in the first small environment that it fits; `make` makes that."""
    env = next((env for env in map(make, ENVS) if agent.misfit(env.spec) is None), None)
    assert env, f"{agent} fits none of {ENVS}: add a small environment that it fits"
    bound = agent.bind(env.spec)
    data = bound.prepare(dataset_for(env)) if isinstance(wants_of(bound)[0], Batches) else None
    return Program(bound, env, seeds, eval_episodes=1, dataset=data)


def run(name: str, seed: int, again: int = 0):
    """(run state, phases, metrics) after some calls; computed once for each seed and `again`."""
    c = case(name)
    if (seed, again) not in c.runs:
        c.program.who = jnp.uint32(seed)
        state, phases, metrics = c.program.init(), [], {}
        for _ in range(CALLS):
            phases.append(c.program.phase(state))
            state, status, figures = c.program.advance(state, phases[-1], 10**6, 2)
            metrics |= jax.device_get(figures)
            assert int(status[0]) > 0
        c.runs[seed, again] = state, phases, metrics
    return c.runs[seed, again]


def marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xdist_group(name), *([pytest.mark.slow] if name in COVERED else [])]


@pytest.fixture(params=[pytest.param(name, marks=marks(name)) for name in NAMES])
def name(request):
    return request.param


def test_an_agent_is_a_frozen_value(name):
    a, b = small(name), small(name)
    assert a == b and hash(a) == hash(b) and a.spec is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.spec = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="bind"):
        _ = a.bound
    assert (type(a).__doc__ or "").strip()


def test_wants_are_readable_before_an_environment_is_known(name):
    for want in wants_of(small(name)):
        assert isinstance(want, Segments | Rollouts | Batches | Nothing)
        assert (cost(want) > 0) != isinstance(want, Nothing)


def test_hyper_parameters_have_bounds_and_help(name):
    from prospect_rl.experiments.options import docs_of

    cls = agents.AGENTS[name]
    help_texts, hints = docs_of(cls), typing.get_type_hints(cls)
    for f in dataclasses.fields(cls):
        assert help_texts.get(f.name), f"{name}.{f.name} has no docstring under it"
        if f.metadata.get("above", -np.inf) > -np.inf or f.metadata.get("least", -np.inf) > -np.inf:
            low = f.metadata["above"] if f.metadata["above"] > -np.inf else f.metadata["least"] - 1
            low = (low,) * max(1, len(f.default)) if isinstance(f.default, tuple) else low
            with pytest.raises(ValueError, match=f.name):
                agents.make(name, **{f.name: low})
        wrong, _ = bad.values(hints[f.name])
        assert wrong or f.name == "spec"
        for value in wrong:
            with pytest.raises(ValueError, match=f"^{f.name} must be .*") as error:
                agents.make(name, **{f.name: value})
            assert "\n" not in str(error.value)


@pytest.mark.slow  # test_metrics.py reads the same names from the source
def test_its_metrics_are_registered(name):
    c = case(name)
    state, _, figures = run(name, 0)
    for phase in range(len(c.program.wants)) if len(c.program.wants) > 1 else ():  # the run may not have reached it
        args = (state.agent, state.streams, c.program.who, state.iteration, c.program.world)
        figures = figures | jax.eval_shape(partial(c.program._figures, phase=phase), *args)
    for metric, value in figures.items():
        metric_of(metric if value.ndim == 0 else f"{metric}_0")


def test_a_misfit_is_one_line_that_says_why(name):
    agent, said = small(name), []
    for id in envs.ENVS:
        spec = envs.make(id).spec
        reason = agent.misfit(spec)
        if reason:
            said.append(reason)
            with pytest.raises(ValueError, match=id) as error:
                agent.bind(spec)
            assert "\n" not in str(error.value)
        else:
            assert agent.bind(spec).bound == spec


RATES = ("/recall", "/precision", "/false_yes")
"""Endings of metrics that have no value before the first case that they are rates of."""


def test_learning_keeps_the_state_and_gives_finite_figures(name):
    state, phases, metrics = run(name, 0)
    template = case(name).program.template()
    assert jax.tree.structure(state) == jax.tree.structure(template)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(template), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
    assert all(0 <= phase < len(wants_of(case(name).bound)) for phase in phases) and metrics
    missing = {key for key, x in metrics.items() if not np.isfinite(x).all()}
    assert all(key.endswith(RATES) for key in missing), missing
    assert all("/" in key for key in metrics)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(name):
    first, second, other = (run(name, *which)[0].agent for which in ((0, 0), (0, 1), (1, 0)))
    assert digest(first) == digest(second) != digest(other)


def test_what_it_ships_acts_within_bounds(name):
    c, (state, *_) = case(name), run(name, 0)
    behaviour = jax.jit(c.bound.exploit)(state.agent)
    shipped = jax.jit(
        lambda env, b, key: episodes(
            env, c.bound, b, jnp.ones(1, bool), key, key, population=1, episodes=2, shared=True, keep_steps=True
        )
    )(c.env, behaviour, jax.random.key(5))
    assert np.isfinite(shipped.returns).all() and (shipped.length > 0).all()
    actions = np.asarray(shipped.steps.action).reshape(-1, *c.env.spec.action.shape)
    assert all(c.env.spec.action.contains(action) for action in actions[:: max(1, len(actions) // 20)])


def acting(name: str, steps: int):
    """(behaviour, a fresh memory, what `steps` steps give from a memory: the memory and all else)."""
    c = case(name)
    behaviour = jax.jit(lambda key: c.bound.exploit(c.bound.init(key)))(KEY)
    obs = jax.vmap(c.env.reset)(jax.random.split(KEY, steps))[1]
    inputs = jax.vmap(lambda o: first_inputs(c.env.spec, o))(obs)
    inputs = dataclasses.replace(inputs, first=jnp.arange(steps) == 0)

    @jax.jit
    def play(memory):
        def one(memory, now):
            action, memory, extras = c.bound.act(behaviour, memory, *now)
            return memory, (action, extras)

        return jax.lax.scan(one, memory, (inputs, jax.random.split(KEY, steps)))

    return behaviour, c.bound.memory(behaviour, KEY), play


def test_an_emptied_memory_is_as_good_as_a_fresh_one(name):
    c, (behaviour, fresh, play) = case(name), acting(name, 7)
    used, _ = play(fresh)
    empty = jax.jit(lambda memory, ended: c.bound.fresh_memory(behaviour, memory, ended, KEY))
    assert jax.tree.structure(used) == jax.tree.structure(fresh)
    jax.tree.map(np.testing.assert_array_equal, empty(used, jnp.bool_(False)), used)
    near = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)  # they are drawn in two programs
    jax.tree.map(near, play(empty(used, jnp.bool_(True)))[1], play(fresh)[1])


def test_extras_hold_no_memory(name):
    """Extras of every step are kept: with a memory among them a segment holds it once a step."""
    c, (behaviour, memory, _) = case(name), acting(name, 1)
    inputs = first_inputs(c.env.spec, c.env.reset(KEY)[1])
    program, shapes = jax.make_jaxpr(c.bound.act, return_shape=True)(behaviour, memory, inputs, KEY)
    _, after, extras = jax.tree.unflatten(jax.tree.structure(shapes), program.jaxpr.outvars)
    remembered = {id(x) for x in jax.tree.leaves(after)} | {id(x) for x in program.jaxpr.invars}
    assert not remembered & {id(x) for x in jax.tree.leaves(extras)}


def finished(name: str, folder) -> None:
    """Write the run of `run(name, 0)` as the driver leaves it."""
    c, (state, *_) = case(name), run(name, 0)
    told, files = Run(c.agent, c.env.spec.id, budget=10**6), Folder(folder)
    folder.mkdir()
    files.open(told, {})
    checkpoint.save(files.checkpoints, state, {"iteration": 1, "config_hash": told.hash, "score": None})
    files.finish({}, {"finished": True, "hash": told.hash})


def test_what_it_ships_can_be_loaded(name, tmp_path):
    c, (state, *_) = case(name), run(name, 0)
    finished(name, tmp_path / "run")
    shipping.write(agents.load(tmp_path / "run"), tmp_path / "player")
    act, behaviour = jax.jit(c.bound.act), c.program.behaviour(state)
    players = [agents.load(tmp_path / kind) for kind in ("run", "player")]
    assert all(digest(player.behaviour) == digest(behaviour) for player in players)
    episode = jax.random.fold_in(jax.random.key(0), 0)
    memory = c.bound.memory(behaviour, jax.random.fold_in(episode, 0))
    env_state, obs = jax.jit(c.env.reset)(jax.random.key(1))
    inputs = first_inputs(c.env.spec, obs)
    for t in range(3):
        action, after, _ = act(behaviour, memory, inputs, jax.random.fold_in(episode, t + 1))
        assert c.bound.remembers or digest(after) == digest(memory)
        memory = after
        for player in players:
            theirs = player(jax.device_get(inputs.obs), float(inputs.reward))
            assert c.env.spec.action.contains(theirs)
            np.testing.assert_allclose(theirs, action, atol=1e-6)
        env_state, step = jax.jit(c.env.step)(env_state, action, episode)
        inputs = next_inputs(step.obs, action, step.reward)


def test_what_it_ships_is_numpy_or_one_line(name):
    c, (state, *_) = case(name), run(name, 0)
    player = Player(c.bound, c.program.behaviour(state))
    try:
        player.to_numpy()  # compared with the player before it is handed out
        assert not c.agent.remembers
    except ValueError as error:
        assert re.fullmatch(f"the policy of {type(c.agent).__name__} cannot be written in NumPy: .+", str(error))
        assert "\n" not in str(error)


def test_a_report_is_a_table(name):
    c, (state, *_) = case(name), run(name, 0)
    report = {key: np.asarray(x) for key, x in c.bound.report(state.agent).items()}
    if "filled" in report:
        filled = report["filled"]
        assert filled.dtype == bool and {"genome", "descriptor", "fitness", "area"} <= set(report)
        assert all(len(x) == len(filled) for x in report.values())
        assert np.isfinite(report["fitness"][filled]).all() and np.isfinite(report["descriptor"][filled]).all()


def test_unknown_names_are_one_line_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'serene'"):
        agents.make("seren")
    with pytest.raises(ValueError, match="did you mean 'sac'"):
        agents.make("SAC")
    with pytest.raises(ValueError, match="of serene .chunks.; did you mean .chunk."):
        agents.make("serene", chunks=3)


# --- an agent of one's own ---------------------------------------------------------------------------


class Experts(nn.Module):
    """[..., O] -> (mean, log std) [..., A]: Gaussian actors, mixed by a gate."""

    hidden: tuple[int, ...]
    size: int
    count: int

    @nn.compact
    def __call__(self, obs):
        gate = nn.softmax(nn.Dense(self.count)(obs))[..., None]
        parts = [GaussianActor(self.hidden, self.size)(obs) for _ in range(self.count)]
        return tuple(jnp.sum(gate * jnp.stack(each, -2), -2) for each in zip(*parts, strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExpertSAC(agents.SAC):
    """SAC whose policy is a mixture of experts."""

    experts: int = hyper(3, least=1)
    """Number of experts."""

    @property
    def actor_network(self) -> Experts:
        """The mixture."""
        return Experts(self.hidden, self.sizes[1], self.experts)


def test_an_agent_of_ones_own_keeps_to_this_by_its_line_in_the_register_alone(monkeypatch, tmp_path):
    monkeypatch.setitem(agents.AGENTS, "sac_experts", ExpertSAC)
    tests = [test for word, test in globals().items() if word.startswith("test_")]
    for test in tests:
        given = {"name": "sac_experts", "tmp_path": tmp_path}
        wanted = inspect.signature(test).parameters
        if "name" in wanted:
            test(**{word: given[word] for word in wanted})
    c, (state, *_) = case("sac_experts"), run("sac_experts", 0)
    line = "the policy of ExpertSAC cannot be written in NumPy: its Experts is not made of dense layers"
    with pytest.raises(ValueError, match=line):
        Player(c.bound, c.program.behaviour(state)).to_numpy()
