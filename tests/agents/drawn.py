"""A small environment that draws itself, and runs of agents that learn from its pictures, for their tests."""

import jax
import numpy as np

from prospect_rl.agents.api import Nothing, wants_of
from prospect_rl.envs.api import Drawing
from prospect_rl.envs.drawing import disc
from prospect_rl.envs.rollout import episodes
from tests.agents.evolution import Point, begin

SMALL = {"size": 16, "width": 4, "features": 3, "epochs": 2, "train_cap": 40, "batch_size": 16}


def marks(state, x, y):
    return [(disc(x, y, (20 + 18 * state[0][0], 20 - 18 * state[0][1]), 5), (0, 0, 255))]


class Drawn(Point):
    """The point, which draws itself."""

    spec = Point.spec.__class__(
        **{name: getattr(Point.spec, name) for name in Point.spec.__dataclass_fields__ if name != "draw"},
        draw=Drawing(np.full((40, 40, 3), 255, np.uint8), marks, Point().reset),
    )


def programs(agent):
    """phase -> the jitted iteration, (state, key) -> (state, data, metrics)."""

    def one(phase):
        def run(state, key):
            k_explore, k_learn = jax.random.split(key)
            data = None
            if not isinstance(wants_of(agent)[phase], Nothing):
                behaviour, active = agent.explore(state, k_explore, phase)
                data = episodes(
                    Drawn(), agent, behaviour, active, jax.random.key(9), jax.random.key(9),
                    population=behaviour.shape[0], frames=getattr(agent, "frames", 0),
                )  # fmt: skip
            state, metrics = agent.learn(state, data, k_learn, phase)
            return state, data, metrics

        return jax.jit(run)

    return {phase: one(phase) for phase in range(len(wants_of(agent)))}


def evolve(agent, iterations, seed=0):
    """(state, [(phase, state before, data, metrics)]) after so many iterations."""
    key, run, record = jax.random.key(seed), programs(agent), []
    state = begin(agent, key)
    for i in range(iterations):
        phase = int(agent.phase(state))
        after, data, metrics = run[phase](state, jax.random.fold_in(key, i))
        record.append((phase, state, data, metrics))
        state = after
    return state, record
