"""What the tests of agents that learn from whole episodes share."""

from functools import cache, partial

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Box, Discrete, Spec

SPEC = Spec(id="test/long", obs=Box((2,)), action=Discrete(3), horizon=100)


@cache
def made(agent, spec=SPEC, seed=0):
    """(the bound agent, random weights)."""
    agent = agent.bind(spec)
    return agent, jax.jit(agent.init)(jax.random.key(seed)).params


def shaken(params):
    """Weights none of which is 0 or 1."""
    return jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape), params)


def stream(steps, seed=1):
    """What is looked at in so many random steps of one episode."""
    keys = jax.random.split(jax.random.key(seed), 3)
    action = jax.random.randint(keys[1], (steps,), 0, 3)
    seen = {"obs": jax.random.normal(keys[0], (steps, 2)), "action": action, "first": jnp.arange(steps) == 0}
    return seen | {"return": jax.random.normal(keys[2], (steps,))}


@partial(jax.jit, static_argnums=0)
def in_segments(agent, params, seen, key):
    """(outputs [T, A], the carry before each segment) as learning has it."""

    def one(carry, part):
        out, after, _ = agent.forward(params, carry, part, None)
        return after, (out, carry)

    start = agent.network.apply(params, key, method="start")
    parts = jax.tree.map(lambda x: x.reshape(-1, agent.context, *x.shape[1:]), seen)
    out, carries = jax.lax.scan(one, start, parts)[1]
    return out.reshape(-1, out.shape[-1]), carries


@partial(jax.jit, static_argnums=0)
def in_steps(agent, params, seen, key):
    """(outputs [T, A], the memory after each step) as acting has it."""

    def one(memory, now):
        out, memory = agent.stepped(params, memory, now)
        return memory, (out, memory)

    return jax.lax.scan(one, agent.network.apply(params, key, method="open"), seen)[1]


@partial(jax.jit, static_argnums=0)
def one_segment(agent, params, carry, tokens, length=None):
    """(features [L, D], carry) of a trunk's segment."""
    return agent.network.apply(params, carry, tokens, length, method="segment")
