"""What the tests of players share: players with random weights, and observations for them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents import PPO, Player
from prospect_rl.agents.api import Agent, Box, Dict, Discrete, Spec
from prospect_rl.agents.ship.to_numpy import sample

KEY = jax.random.key(4)
PICTURE = Dict((("image", Box((7, 7, 3), 0, (10, 5, 2), "uint8")), ("direction", Discrete(4)),
                ("mission", Box((5,), 0, 12, "int32")), ("speed", Box((2,)))))  # fmt: skip


def spec(obs, action) -> Spec:
    return Spec("test/spaces", obs, action, horizon=9)


REACH_SPEC = spec(Box((3,)), Box((2,), (-1.0, 0.0), (3.0, 0.5)))


def untrained(agent: Agent, obs, action, seed: int = 0) -> Player:
    """A player with random weights throughout, biases too, as if trained; nothing is compiled for it."""
    bound, generator = agent.bind(spec(obs, action)), np.random.default_rng(1)

    def weight(x):
        drawn = 1.5 * generator.standard_normal(x.shape) / np.sqrt(x.shape[0] if x.shape else 1)
        return jnp.asarray(drawn, x.dtype) if x.dtype == np.float32 else jnp.zeros(x.shape, x.dtype)

    behaviour = jax.tree.map(weight, jax.eval_shape(lambda key: bound.exploit(bound.init(key)), KEY))
    if isinstance(agent, PPO):
        seen = behaviour.seen and replace(behaviour.seen, variance=jnp.square(behaviour.seen.variance))
        behaviour = replace(behaviour, greedy=jnp.bool_(agent.greedy), seen=seen)
    if hasattr(behaviour, "noise"):
        behaviour = replace(behaviour, noise=jnp.float32(0))
    return Player(bound, behaviour, seed=seed)


def recurrent() -> Player:
    return untrained(PPO(recurrent=6, greedy=True, minibatches=1), Box((3,)), Box((2,), -1.0, 3.0))


def observations(space, count: int = 5, seed: int = 0) -> list:
    generator = np.random.default_rng(seed)
    return [sample(space, generator) for _ in range(count)]
