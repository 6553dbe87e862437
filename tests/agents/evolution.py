"""A small real environment, and evaluations by a formula, for the tests of agents that evolve policies."""

import functools

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import wants_of
from prospect_rl.envs.api import Box, Env, Episodes, Spec, Step
from prospect_rl.envs.rollout import episodes


@struct.dataclass
class Point(Env):
    """A point in a square moves by its action for 8 steps; at the end it is paid near one of two corners."""

    spec = Spec(
        id="test/point", obs=Box((2,), -1.0, 1.0), action=Box((2,), -1.0, 1.0), horizon=8, areas=2,
        info=("success", "descriptor", "area"), descriptor=Box((2,), -1.0, 1.0), fixed_length=True,
    )  # fmt: skip

    def reset(self, key):
        state = (jnp.full(2, 0.1), jnp.int32(0))
        return state, state[0]

    def step(self, state, action, key):
        at, t = jnp.clip(state[0] + 0.2 * action, -1, 1), state[1] + 1
        distance = jnp.linalg.norm(at[None] - jnp.array([[0.8, 0.8], [-0.8, 0.8]]), axis=1)
        area, end = jnp.argmin(distance), t == 8
        paid = end & (distance[area] < 0.5)
        info = {"success": paid, "descriptor": at, "area": jnp.where(paid, area, -1)}
        reward = jnp.where(paid, 1 - 2 * distance[area], 0.0)
        return (at, t), Step(at, reward, jnp.zeros((), bool), end, info)


def formula(genomes, active):
    """Episodes whose descriptor is (tanh of) the first two genes, and whose return is 10 at genes of 1."""
    returns = 10 - jnp.mean((genomes - 1) ** 2, axis=1)[:, None]
    info = {
        "success": returns > 0,
        "descriptor": jnp.tanh(genomes[:, None, :2]),
        "area": (genomes[:, :1] > 0).astype(jnp.int32),
    }
    return Episodes(genomes, active, returns, jnp.ones(returns.shape, jnp.int32), info)


@functools.lru_cache
def generation(agent, evaluate, phase=0):
    """The jitted program of one iteration: (state, key) -> (state, episodes, metrics)."""

    def run(state, key):
        k_explore, k_learn = jax.random.split(key)
        data = evaluate(*agent.explore(state, k_explore, phase))
        state, metrics = agent.learn(state, data, k_learn, phase)
        return state, data, metrics

    return jax.jit(run)


def evolve(agent, evaluate, generations, seed=0):
    """(state, list of episodes, list of metrics) after so many iterations, each in the phase the state asks for."""
    key = jax.random.key(seed)
    state, record, rows = begin(agent, key), [], []
    for i in range(generations):
        run = generation(agent, evaluate, int(agent.phase(state)))
        state, data, metrics = run(state, jax.random.fold_in(key, i))
        record.append(data)
        rows.append(metrics)
    return state, record, rows


@functools.partial(jax.jit, static_argnums=0)
def begin(agent, key):
    """The agent's first state."""
    return agent.init(key)


def same_structure(a, b):
    """Raise AssertionError unless two states have one structure, with the same shapes and dtypes."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.shape == y.shape and x.dtype == y.dtype and x.weak_type == y.weak_type


def play(agent, generations, seed=0):
    """As `evolve`, in the environment `Point`; checks what each phase is given."""

    def evaluate(genomes, active):
        assert active.shape[0] in [want.population for want in wants_of(agent)]
        return walk(agent, genomes, active)

    return evolve(agent, evaluate, generations, seed)


def walk(agent, genomes, active):
    """One episode in `Point` of each genome [n, G]."""
    key = jax.random.key(9)
    return episodes(Point(), agent, genomes, active, key, key, population=genomes.shape[0])


@functools.partial(jax.jit, static_argnums=0)
def replayed(agent, genomes):
    """(fitness, descriptor, area) of genomes [n, G] in `Point`."""
    data = walk(agent, genomes, jnp.ones(genomes.shape[0], bool))
    return data.fitness, data.descriptor, data.area
