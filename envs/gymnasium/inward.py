"""Any gymnasium environment as an `Env` of Prospect: an ordered callback steps a whole batch on the host.

    env = envs.from_gymnasium("Pendulum-v1", num_envs=8)
    train(agent, env, budget=20_000)

The functions of `envs.rollout` `vmap` an environment over streams. Here a custom batching rule adds an axis to the
callback's arguments instead of repeating the callback, so that one call steps all live streams.

Shapes: B = all axes of a batch merged; [*batch] is () for one environment, [N] for the streams of `segments`, and
[P, E] for the episodes of `episodes`. Every batch shape has its own environments, so that evaluation never disturbs
the streams.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnasium.envs.registration import EnvSpec
from jax.experimental import io_callback

from prospect_rl.envs.api import Array, Dict, Discrete, Env, Key, Space, Spec, Step, Tree
from prospect_rl.envs.gymnasium import spaces
from prospect_rl.envs.gymnasium.host import Host
from prospect_rl.envs.identity import facts, name_of
from prospect_rl.envs.register import ENVS

# --- in the program ----------------------------------------------------------------------------------


@struct.dataclass
class HostState:
    """The state of one stream; the true state is on the host, and `clock` identifies it."""

    clock: Array
    """uint32 [] number of calls so far."""
    obs: Tree
    """The last observation of the episode."""


def widened(f: Callable[..., Tree]) -> Callable[..., Tree]:
    """Wrap `f`, written for arguments [*batch, ...], so that `vmap` calls it once with an additional leading axis."""
    call = jax.custom_batching.custom_vmap(f)

    def rule(size: int, batched: Any, *args: Any) -> tuple[Tree, Tree]:
        widen = lambda x, b: x if b else jnp.broadcast_to(x, (size, *x.shape))  # noqa: E731
        out = call(*jax.tree.map(widen, args, tuple(batched)))
        return out, jax.tree.map(lambda _: True, out)

    call.def_vmap(rule)
    return call


def shapes(space: Space, batch: tuple[int, ...]) -> Tree:
    """Return the shapes and dtypes of a batch of observations [*batch, ...]."""
    if isinstance(space, Dict):
        return {name: shapes(part, batch) for name, part in space.items}
    dtype = "int32" if isinstance(space, Discrete) else space.dtype
    return jax.ShapeDtypeStruct(batch + space.shape, dtype)


@dataclass(frozen=True, eq=False)
class HostEnv(Env):
    """A gymnasium environment (see `envs.from_gymnasium`), for agents that want `Segments`, and for evaluation.

    Observations keep their dtype where programs support it: real numbers are float32, choices int32 from 0 on; dicts
    stay dicts. Actions are passed in the environment's own dtype, within its bounds. `success` is the entry `success`
    or `is_success` of the environment's info; False if there is none. Every reset is seeded from its key, so that a run
    is determined by its seed if the environment is.

    Limitations: it cannot be resumed bit for bit from a checkpoint (open episodes are truncated, with a warning), be
    branched from or shared by two runs at a time (an error), run several seeds in one program (ValueError), be stored
    in JAX's persistent compilation cache, or be rendered.
    """

    id: str
    """Name of the environment: `gymnasium/<id>`."""
    num_envs: int
    """Number of environments that are stepped together."""
    horizon: int
    """Maximum length of an episode in steps."""
    made: dict[str, Any] = field(repr=False)
    """How the environment was made (see `identity`): part of a run's configuration."""
    versions: dict[str, str] = field(repr=False, metadata={"pytree_node": True})  # noted beside the configuration
    """Versions of gymnasium and of the packages of the environment and its wrappers."""
    spec: Spec = field(repr=False)
    """Spaces and time limit of the environment."""
    host: Host = field(repr=False, metadata={"pytree_node": True})  # not part of the configuration
    """The simulators on the host."""

    @cached_property
    def _open(self) -> Callable[..., Tree]:
        def call(needed: Array, seed: Array) -> Tree:
            self._check_batch(needed.shape)
            return self._reset_all(needed, seed)

        return widened(call)

    @cached_property
    def _renew(self) -> Callable[..., Tree]:
        return widened(self._reset_all)

    @cached_property
    def _go_on(self) -> Callable[..., Tree]:
        def call(live: Array, clock: Array, obs: Tree, action: Array) -> Tree:
            flags = dict.fromkeys(("terminated", "truncated", "success"), jax.ShapeDtypeStruct(live.shape, bool))
            given = {"reward": jax.ShapeDtypeStruct(live.shape, jnp.float32), **flags}
            like = (shapes(self.spec.obs, live.shape), jax.ShapeDtypeStruct(live.shape, jnp.uint32), given)
            return io_callback(self.host.step, like, live, clock, obs, action, ordered=True)

        return widened(call)

    def _reset_all(self, needed: Array, seed: Array) -> Tree:
        like = (shapes(self.spec.obs, needed.shape), jax.ShapeDtypeStruct(needed.shape, jnp.uint32))
        return io_callback(self.host.reset, like, needed, seed, ordered=True)

    def _check_batch(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError for streams that this environment was not made for."""
        if len(shape) > 1:
            raise ValueError(f"{self.id} runs one seed at a time: its simulators cannot be vmapped over seeds")
        if shape and shape[0] != self.num_envs:
            raise ValueError(f"{self.id} was made for num_envs={self.num_envs} streams, not {shape[0]}")

    def reset(self, key: Key) -> tuple[HostState, Tree]:
        """Start an episode and return (state, obs); raise ValueError if there are not `num_envs` streams."""
        return self._begun(self._open(jnp.ones((), bool), jax.random.bits(key)))

    def reset_if(self, needed: Array, key: Key) -> tuple[HostState, Tree]:
        """Do as `reset` where `needed` [] is True; elsewhere do nothing."""
        return self._begun(self._renew(needed, jax.random.bits(key)))

    def step(self, state: HostState, action: Array, key: Key) -> tuple[HostState, Step]:
        """Make a step and return (state, Step); `state` must be the latest one."""
        return self.step_if(jnp.ones((), bool), state, action, key)

    def step_if(self, live: Array, state: HostState, action: Array, key: Key) -> tuple[HostState, Step]:
        """Do as `step` where `live` [] is True; elsewhere do nothing."""
        obs, clock, given = self._go_on(live, state.clock, state.obs, action)
        info = {"success": given.pop("success")}
        return HostState(clock, obs), Step(obs=obs, info=info, **given)

    def close(self) -> None:
        """Close the simulators; the next call makes new ones."""
        self.host.close()

    def _begun(self, made: tuple[Tree, Array]) -> tuple[HostState, Tree]:
        obs, clock = made
        return HostState(clock, obs), obs


# --- identity ----------------------------------------------------------------------------------------

SILENT = ("OrderEnforcing", "PassiveEnvChecker")
"""Wrappers of gymnasium that only check for misuse."""
BESIDE = {"env", "render_mode", "spec", "_cached_spec"}
"""Attributes that do not affect an agent's experience, or are recorded elsewhere."""


def layers(env: gymnasium.Env) -> list[gymnasium.Env]:
    """Return the unwrapped environment, then its wrappers from the innermost to the outermost."""
    found = [env]
    while isinstance(found[-1], gymnasium.Wrapper):
        found.append(found[-1].env)
    return [layer for layer in reversed(found) if type(layer).__name__ not in SILENT]


def recorded(layer: gymnasium.Env) -> dict[str, Any] | None:
    """Return the arguments that gymnasium recorded for an environment or a wrapper; None if it recorded none."""
    if not isinstance(layer, gymnasium.Wrapper):
        if (spec := layer.spec) is None:
            return None
        kwargs = {name: x for name, x in spec.kwargs.items() if name not in BESIDE - {"env"}}
        return {"id": spec.id, "entry_point": spec.entry_point, "kwargs": kwargs}
    return getattr(layer, "_saved_kwargs", None)


def seen(layer: gymnasium.Env) -> dict[str, Any]:
    """Return the attributes and spaces of an environment or a wrapper."""
    return {**vars(layer), "observation_space": layer.observation_space, "action_space": layer.action_space}


def identity(made: list[gymnasium.Env]) -> dict[str, Any]:
    """Describe how an environment was made: its spec in gymnasium, and its wrappers with their arguments.

    Layers without recorded arguments are described by class, spaces, and the attributes that are equal in all of the
    new environments `made`. Raises ValueError, in one line, if these do not have the same wrappers.
    """
    found: dict[str, Any] = {}
    stacks = [layers(env) for env in made]
    kinds = list(dict.fromkeys(", ".join(name_of(type(layer)) for layer in stack) for stack in stacks))
    if len(kinds) > 1:
        raise ValueError(f"the function must make the same environment each time, not once {' and once '.join(kinds)}")
    for place, alike in enumerate(zip(*stacks, strict=True)):
        known = [seen(layer) if (held := recorded(layer)) is None else held for layer in alike]
        first, *others = ({x: facts(held[x]) for x in held if x not in BESIDE} for held in known)
        kind = type(alike[0])
        found[f"{place} {kind.__name__}"] = {
            "class": name_of(kind), **{x: fact for x, fact in first.items() if all(o.get(x) == fact for o in others)},
        }  # fmt: skip
    return found


def packages(env: gymnasium.Env) -> dict[str, str]:
    """Return the versions of gymnasium and of the packages of an environment and its wrappers."""
    names = {"gymnasium", *(type(layer).__module__.partition(".")[0] for layer in layers(env))}
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(names)}
    return {name: str(version) for name, version in found.items() if version}


def number(name: str, value: Any) -> int:
    """Return `value` as an int; raise ValueError, naming it, unless it is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value < 2**31:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    return int(value)


def maker(id_or_fn: Any) -> tuple[Callable[[], Any], str]:
    """Return (function that makes one environment, the same as Python code); raise ValueError for anything else."""
    if isinstance(id_or_fn, gymnasium.Env):
        code = "env.spec" if id_or_fn.spec else f"lambda: {type(id_or_fn).__name__}(...)"
        raise ValueError(f"give an id, spec or function, not an environment: envs.from_gymnasium({code}, num_envs=...)")
    if isinstance(id_or_fn, str | EnvSpec):
        if isinstance(id_or_fn, str) and id_or_fn in ENVS:
            raise ValueError(f"{id_or_fn} is Prospect's own: train in {id_or_fn!r}, without from_gymnasium")
        code = f"gymnasium.make({id_or_fn!r})" if isinstance(id_or_fn, str) else "gymnasium.make(spec)"
        return lambda: gymnasium.make(id_or_fn, disable_env_checker=True), code  # it costs time at every step
    if not callable(id_or_fn):
        raise ValueError(f"give a gymnasium id, a spec, or a function that makes an environment, not {id_or_fn!r}")
    name = getattr(id_or_fn, "__name__", "")
    return id_or_fn, f"{name}()" if name.isidentifier() else "env"


def from_gymnasium(id_or_fn: Any, num_envs: int | None = None, *, horizon: int | None = None) -> HostEnv:
    """See `envs.from_gymnasium`."""
    make, code = maker(id_or_fn)
    if num_envs is None:
        raise ValueError("num_envs is missing: envs.from_gymnasium(..., num_envs=agent.num_envs)")
    num_envs = number("num_envs", num_envs)
    horizon = None if horizon is None else number("horizon", horizon)
    try:
        probe = make()
    except (gymnasium.error.Error, ImportError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    if not isinstance(probe, gymnasium.Env):
        raise ValueError(f"{code} must return a gymnasium.Env, not {type(probe).__name__}")
    parts = layers(probe)
    name = f"gymnasium/{probe.spec.id if probe.spec else type(probe.unwrapped).__name__}"
    limits = [x.spec.max_episode_steps for x in (probe,) if x.spec and x.spec.max_episode_steps]
    limits += [x._max_episode_steps for x in parts if isinstance(x, gymnasium.wrappers.TimeLimit)]
    if horizon is None and not limits:
        raise ValueError(f"{name} has no time limit in gymnasium: give a horizon")
    horizon = horizon or min(limits)
    obs = spaces.inward(probe.observation_space, name, code)
    action = spaces.inward_action_space(probe.action_space, name)
    made = [probe] if all(recorded(x) is not None for x in parts) else [probe, make()]
    spec = Spec(name, obs, action, horizon=horizon)
    return HostEnv(name, num_envs, horizon, identity(made), packages(probe), spec, Host(make, made, spec))
