"""The base of tasks with a verifier: a task of another family, shorter, whose successes are judged.

    success    the truth: the task has been solved
    verified   what the verifier says: a success is missed with probability `false_no`, a failure never accepted
    progress   from 0 to 1, how much has been done, for judges of reward models
    proxy      from 0 to 1, a rating that can be high without progress

A verdict is given when the episode ends. A subclass has an `inner` task, and says how it starts and what is to be
remembered of that (`start`), and how a step is judged (`judge`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Env, Key, Spec, Step, Tree, static


@struct.dataclass
class State:
    """The state of an episode."""

    task: Tree
    """State of the task."""
    time: Array
    """[] int32 steps taken so far."""
    memory: Tree
    """What the task's judge remembers."""


@struct.dataclass
class Verified(Env):
    """A task whose successes a verifier judges. Observations, actions and rewards are the task's.

    `success` and `verified` are False before an episode ends, and `proxy` and `progress` are those of its state.
    """

    horizon: int = static(60, least=1, most=200)
    """Maximum length of an episode in steps; then it is truncated."""
    false_no: float = static(0.3, least=0, most=1)
    """Probability with which the verifier rejects an episode that has succeeded."""

    # --- what a subclass defines ---------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The registered id."""
        raise NotImplementedError

    @property
    def inner(self) -> Any:
        """The task."""
        raise NotImplementedError

    def start(self, needed: Array, key: Key) -> tuple[Tree, Tree, Tree]:
        """(state of the task, observation, memory) where an episode begins, if it is `needed` []."""
        raise NotImplementedError

    def judge(self, memory: Tree, state: Tree, step: Step, last: Array) -> tuple[Tree, Array, Array, Array]:
        """(memory, success, progress, proxy), each [], after a step of the task; `last`: of the episode."""
        raise NotImplementedError

    # --- the environment -----------------------------------------------------------------------------

    @property
    def spec(self) -> Spec:
        """The task's, with the verifier's names in `info`, and without what else the task measures."""
        task = self.inner.spec
        return Spec(
            id=self.id, obs=task.obs, action=task.action, horizon=self.horizon, fixed_length=task.fixed_length,
            info=("success", "verified", "progress", "proxy", *({"failed"} & {*task.info})),
        )  # fmt: skip

    def reset(self, key: Key) -> tuple[State, Tree]:
        """Start an episode of the task."""
        return self.reset_if(jnp.ones((), bool), key)

    def reset_if(self, needed: Array, key: Key) -> tuple[State, Tree]:
        """Do as `reset` where `needed` [] is True."""
        state, obs, memory = self.start(needed, key)
        return State(state, jnp.int32(0), memory), obs

    def step(self, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """A step of the task, and the verdict if it is the last one."""
        return self.step_if(jnp.ones((), bool), state, action, key)

    def step_if(self, live: Array, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """Do as `step` where `live` [] is True."""
        k_task, k_verdict = jax.random.split(key)
        after, step = self.inner.step_if(live, state.task, action, k_task)
        time = state.time + 1
        last = step.terminated | step.truncated | (time >= self.horizon)
        memory, success, progress, proxy = self.judge(state.memory, after, step, last)
        success &= last
        verified = success & (jax.random.uniform(k_verdict) >= self.false_no)
        failed = {name: x for name, x in step.info.items() if name == "failed"}
        info = {"success": success, "verified": verified, "progress": progress, "proxy": proxy, **failed}
        step = replace(step, reward=self.reward(step, success), truncated=last & ~step.terminated, info=info)
        return State(after, time, memory), step

    def reward(self, step: Step, success: Array) -> Array:
        """The reward [] of a step: the task's own."""
        return step.reward

    def frame(self, state: State) -> Array:
        """The task's picture."""
        return self.inner.frame(state.task)

    def failure(self) -> str:
        """The task's message about the last failed simulation."""
        return self.inner.failure()
