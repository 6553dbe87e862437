"""A trained agent as a function of observations, NumPy in and NumPy out, for any loop like gymnasium's.

    player = agents.load(folder)
    obs, info = env.reset()
    player.reset()
    ...     obs, reward, terminated, truncated, info = env.step(player(obs))

It acts with the agent's shipped behaviour (`Agent.exploit`): an archive agent's best stored policy; PPO's policy, which
samples its actions unless it was made greedy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Agent, Array, Box, Dict, Discrete, Inputs, Key, Tree
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.agents.ship.to_numpy import compare

fold_in = jax.random.fold_in


@dataclass(frozen=True)
class Carry:
    """The state of a player between two steps of an episode."""

    memory: Tree
    """The agent's memory after the step."""
    action: Array
    """Last action, as the agent returned it."""
    key: Key
    """Random key of the episode."""
    steps: int
    """Number of steps taken so far."""


class Player:
    """A bound agent with a behaviour, for one observation at a time; it keeps its episode's state between calls.

    `Player(result.agent, result.behaviour)` is the player of a run in memory (see `experiments.train`).
    Random numbers: episode e (from 0) has the key `fold_in(key(seed), e)`; its memory takes part 0 of that, its step t
    (from 1) part t.
    """

    def __init__(self, agent: Agent, behaviour: Tree, *, seed: int = 0) -> None:
        self.agent, self.spec, self.behaviour, self.seed = agent, agent.bound, behaviour, check_seed(seed)
        if isinstance(self.spec.action, Dict):
            raise ValueError(f"{self.spec.id}: an action must be a Box or Discrete, not a Dict")
        # as in the kernels, where greedy or drawing is data of the behaviour
        drawn = hasattr(behaviour, "greedy")
        self._likeliest = replace(behaviour, greedy=jnp.ones((), bool)) if drawn else behaviour
        self._memory = jax.jit(lambda behaviour, key: agent.memory(behaviour, fold_in(key, 0)))
        self._act = jax.jit(lambda behaviour, memory, inputs, key, t: self._step(behaviour, memory, inputs, key, t))
        self._carry: Carry | None = None
        self._key, self._episodes = jax.random.key(seed), 0

    def __repr__(self) -> str:
        return f"<Player of {type(self.agent).__name__} for {self.spec.id}>"

    def reset(self, seed: int | None = None) -> None:
        """Start an episode. seed: also restart the random numbers; ValueError for an invalid one."""
        if seed is not None:
            self._key, self._episodes = jax.random.key(check_seed(seed)), 0
        self._carry = None

    def __call__(self, obs: Any, reward: float | None = None, *, deterministic: bool = False) -> Any:
        """The action for the next observation of the current episode; see `predict`."""
        action, self._carry = self.predict(obs, self._carry, deterministic=deterministic, reward=reward)
        return action

    def predict(
        self,
        obs: Any,
        state: Carry | None = None,
        episode_start: Any = None,
        deterministic: bool = False,
        *,
        reward: float | None = None,
    ) -> tuple[Any, Carry]:
        """(action, state) for ONE observation and the state after the previous step (None: an episode starts).

        The action is an int for Discrete (from its `start` on), else an array of the space's type in gymnasium, within
        its bounds.
        episode_start: True where `state` belongs to an episode that has ended. deterministic: the most likely action,
        for
        agents whose policy samples; others act as usual. reward: the last reward, for agents that use it.
        Raises ValueError for an observation of another shape or kind, and where a reward is missing.
        """
        obs = observation(self.spec.obs, obs, self.spec.id)
        behaviour = self._likeliest if deterministic else self.behaviour
        begins = state is None or bool(np.any(episode_start))
        if begins:
            state = self._begin(behaviour)
        elif reward is None and self._looks_at_reward:
            raise ValueError(f"{type(self.agent).__name__} looks at the last reward: give it (reward=...)")
        assert state is not None
        last = np.float32(0 if begins or reward is None else reward)
        inputs = Inputs(obs=obs, action=state.action, reward=last, first=np.bool_(begins))  # type: ignore[arg-type]
        action, memory = self._act(behaviour, state.memory, inputs, state.key, np.int32(state.steps + 1))
        return self._outward(action), Carry(memory, action, state.key, state.steps + 1)

    def to_numpy(self) -> Policy:
        """The same policy in NumPy alone, compared with this. Raises ValueError where there is none."""
        policy = self.agent.to_numpy(self.behaviour)
        compare(policy, self.spec, lambda obs: self.predict(obs, deterministic=True)[0])
        return policy

    # --- inside --------------------------------------------------------------------------------------

    def _begin(self, behaviour: Tree) -> Carry:
        key = fold_in(self._key, self._episodes)
        self._episodes += 1
        space = self.spec.action
        assert isinstance(space, Box | Discrete)
        nothing = jnp.zeros(space.shape, jnp.int32 if isinstance(space, Discrete) else jnp.float32)
        return Carry(self._memory(behaviour, key), nothing, key, 0)

    def _step(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key, t: Array) -> tuple[Array, Tree]:
        return self.agent.act(behaviour, memory, inputs, fold_in(key, t))[:2]

    @cached_property
    def _looks_at_reward(self) -> bool:
        """Whether the agent's action or memory depends on the last reward."""
        carry = self._begin(self.behaviour)
        self._episodes -= 1
        obs = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), blank(self.spec.obs))

        def with_reward(reward: Array) -> Any:
            inputs = Inputs(obs=obs, action=carry.action, reward=reward, first=jnp.zeros((), bool))
            return self.agent.act(self.behaviour, carry.memory, inputs, carry.key)[:2]

        program = jax.make_jaxpr(with_reward)(np.float32(0)).jaxpr
        given = program.invars[0]
        return any(x is given for part in program.eqns for x in part.invars) or any(x is given for x in program.outvars)

    def _outward(self, action: Array) -> Any:
        space = self.spec.action
        if isinstance(space, Discrete):
            return int(action) + space.start
        assert isinstance(space, Box)
        return space.clipped(action, space.outside)


def check_seed(seed: int) -> int:
    """A valid seed. Raises ValueError for one that JAX would wrap around to another."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"a seed must be a whole number between 0 and 2**32 - 1, not {seed!r}")
    return int(seed)


def blank(space: Any) -> Tree:
    """ONE observation of zeros, in NumPy."""
    if isinstance(space, Dict):
        return {name: blank(part) for name, part in space.items}
    return np.zeros(space.shape, np.int32 if isinstance(space, Discrete) else space.dtype)


def observation(space: Any, obs: Any, who: str) -> Tree:
    """A gymnasium environment's observation in the training format. Raises ValueError if it does not fit."""
    if isinstance(space, Dict):
        names = {name for name, _ in space.items}
        if not isinstance(obs, dict) or set(obs) != names:
            raise ValueError(f"{who}: an observation must be a dict with {', '.join(sorted(names))}")
        return {name: observation(part, obs[name], f"{who}, {name}") for name, part in space.items}
    given, like = np.asarray(obs), blank(space)
    if given.shape != like.shape:
        raise ValueError(f"{who}: an observation must have shape {like.shape}, not {given.shape}")
    kinds = "biu" if like.dtype.kind in "biu" else "biuf"
    if given.dtype.kind not in kinds:
        raise ValueError(f"{who}: an observation must be {like.dtype}, not {given.dtype}")
    if isinstance(space, Discrete):
        given = given.astype(np.int64) - space.start
    cast = given.astype(like.dtype)
    beyond = isinstance(space, Discrete) and not space.contains(cast)
    if beyond or (like.dtype.kind in "iu" and np.any(cast != given)):
        raise ValueError(f"{who}: an observation has numbers outside its space")
    return cast
