"""The compiled programs of a run: its state, one iteration, and the loop over iterations.

    init      agent state, open streams, ledger            from a seed
    advance   iterations of ONE phase, until the phase or the budget mark is over, or `limit` is reached
    evaluate  whole episodes of the exploiting behaviour   with separate keys

The run state is donated and is the carry of a `while_loop`, so that archives and replays are updated in place.
Level banks, datasets and seeds are arguments of the programs: a program is compiled once for all seeds.
Keys are `fold_in(fold_in(fold_in(root, stream), seed), iteration)`; none is stored, which makes resume exact.

Several runs may be one program (`experiments.run.together`), whose arguments are seeds and values of `traced` fields.

Shapes: S seeds where there are more than one (no axis otherwise), those of all runs where there are several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Agent, Batches, Nothing, Rollouts, Segments, Want, cost, wants_of, with_arrays
from prospect_rl.envs import rollout
from prospect_rl.envs.api import Array, Dataset, Env, Episodes, Tree
from prospect_rl.envs.rollout import Streams
from prospect_rl.experiments.run import ledger as ledgers
from prospect_rl.experiments.run.compiler import options
from prospect_rl.experiments.run.keys import INIT, START, TRAIN, evaluation, stream
from prospect_rl.experiments.run.ledger import Ledger

UNITS = {Segments: "steps", Rollouts: "evaluations", Batches: "updates"}
"""Want -> unit of the budget."""
ARCHIVE = "archive/best"
"""The metric [areas] from which the ledger reads the contents of an archive."""
INVALID = "collect/invalid"
"""The metric [] that counts policies whose return or behaviour descriptor was not finite."""


@struct.dataclass
class RunState:
    """The complete state of a run between two iterations; leading [S] if seeds are vmapped."""

    agent: Tree
    """The state of the agent."""
    streams: Streams | None
    """The open episodes, for agents that want `Segments`."""
    ledger: Ledger | None
    """Counts over all evaluations, for agents that want `Rollouts`."""
    iteration: Array
    """int32 [] number of completed iterations."""
    used: Array
    """int32 [] budget used so far."""
    broken: Array
    """bool [] whether a loss has become NaN, which stops the run."""


def check_wants(agent: Agent) -> tuple[Want, ...]:
    """The agent's wants. Raises ValueError if they cannot be combined in one run."""
    wants, name = wants_of(agent), type(agent).__name__
    if isinstance(wants[0], Nothing):
        raise ValueError(f"{name} wants nothing in its first phase: begin with a phase that wants experience")
    if len({type(want) for want in wants} - {Nothing}) > 1:
        raise ValueError(f"{name} wants experience of several kinds; all phases of an agent must want the same kind")
    if len({want.num_envs for want in wants if isinstance(want, Segments)}) > 1:
        raise ValueError(f"{name} wants different numbers of streams in its phases; they must be the same")
    return wants


def split_env(env: Env) -> tuple[Tree, Callable[[Tree], Env]]:
    """(arrays, rebuild): the array leaves of an environment that is a pytree, and a function that reinserts them."""
    leaves, treedef = jax.tree.flatten(env)
    if jax.tree_util.treedef_is_leaf(treedef):
        return [], lambda arrays: env
    return [jnp.asarray(leaf) for leaf in leaves], partial(jax.tree.unflatten, treedef)


class Program:
    """The compiled programs of one agent in one environment. Except for compilation, all methods are pure."""

    def __init__(
        self, agent: Agent, env: Env, seeds: Sequence[int], *, eval_episodes: int, dataset: Dataset | None,
        floats: Mapping[str, Sequence[float]] | None = None,
    ) -> None:  # fmt: skip
        """`floats`: traced field -> its value for each of the seeds; None where the agent's own hold for all."""
        self.agent, self._env, self.spec, self.wants = agent, env, env.spec, check_wants(agent)
        self.several, self.traced = floats is not None, None if floats is None else tuple(sorted(floats))
        self.batched = len(seeds) > 1 or self.several
        self.unit, self.eval_episodes = UNITS[type(self.wants[0])], eval_episodes
        self.banks, self._rebuild = split_env(env)
        self.world = (self.banks, dataset)
        self.seeds = jnp.asarray(seeds, jnp.uint32) if self.batched else jnp.uint32(seeds[0])
        self.who = (self.seeds, {n: jnp.asarray(x, jnp.float32) for n, x in floats.items()}) if floats else self.seeds
        self._step = jax.jit(self._step_of, static_argnames="phase", inline=True)
        self._init = jax.jit(self._over_seeds(self._init_of), compiler_options=options("init"))
        self._evaluate = jax.jit(self._evaluate_of, compiler_options=options("evaluate"))
        self._behaviour = jax.jit(
            self._over_seeds(lambda state, who: self._of(who)[0].exploit(state), 0),
            compiler_options=options("behaviour"),
        )
        self._advance = jax.jit(
            self._advance_of, static_argnames="phase", donate_argnums=0, compiler_options=options("advance")
        )

    @cached_property
    def unseen(self) -> Tree | None:
        """The world of levels that training never meets, where the environment keeps such."""
        unseen = self._env.unseen() if hasattr(self._env, "unseen") else None
        return None if unseen is None else (split_env(unseen)[0], self.world[1])

    # --- called by the driver ------------------------------------------------------------------------

    def init(self) -> RunState:
        """The run state before the first iteration."""
        return self._init(self.who, self.world)

    def template(self) -> RunState:
        """The shapes and types of the run state."""
        return jax.eval_shape(self._init, self.who, self.world)

    def advance(self, run: RunState, phase: int, mark: int, limit: int) -> tuple[RunState, Array, dict[str, Array]]:
        """(run, [iterations, least budget used, next phase, broken] int32, last metrics). `run` is consumed."""
        return self._advance(run, self.who, self.world, jnp.int32(mark), jnp.int32(limit), phase=phase)

    def evaluate(self, run: RunState, mark: int) -> dict[str, Array]:
        """Mean return, length and success of whole episodes, each [] or [S]. Does not change the run.

        `eval/...` uses the training levels; `unseen/...` uses other levels, if the environment has any. Of an agent
        with other readings of its policy, `eval/<reading>/...` are theirs.
        """
        worlds = {"eval": self.world} | ({} if self.unseen is None else {"unseen": self.unseen})
        found = {name: self._evaluate(run.agent, self.who, world, jnp.int32(mark)) for name, world in worlds.items()}
        return {f"{name}/{figure}": x for name, figures in found.items() for figure, x in figures.items()}

    def behaviour(self, run: RunState) -> Tree:
        """Parameters of the policy to deploy now."""
        return self._behaviour(run.agent, self.who)

    def phase(self, run: RunState) -> int:
        """The phase of the next iteration."""
        return int(self._phase_of(run))

    # --- traced --------------------------------------------------------------------------------------

    def _over_seeds(self, f: Callable[..., Any], world_axes: int = 1) -> Callable[..., Any]:
        """Vectorise `f` over seeds: leading arguments per seed, the last `world_axes` ones shared."""
        if not self.batched:
            return f

        def many(*args: Any) -> Any:
            axes = [0] * (len(args) - world_axes) + [None] * world_axes
            return jax.vmap(f, in_axes=axes)(*args)

        return many

    def _of(self, who: Tree) -> tuple[Agent, Array]:
        """(the agent, the seed []) of one row of `self.who`."""
        return (with_arrays(self.agent, who[1]), who[0]) if isinstance(who, tuple) else (self.agent, who)

    def _phase_of(self, run: RunState) -> Array:
        """The phase of the next iteration, int32 []: that of the first seed, for several are in step."""
        if len(self.wants) == 1:
            return jnp.int32(0)
        state = jax.tree.map(lambda x: x[0], run.agent) if self.batched else run.agent
        return jnp.asarray(self.agent.phase(state), jnp.int32)

    def _init_of(self, who: Tree, world: Tree) -> RunState:
        agent, seed = self._of(who)
        k_agent, k_explore, k_streams = jax.random.split(stream(INIT, seed), 3)
        state, streams, want = agent.init(k_agent), None, self.wants[0]
        if isinstance(want, Segments):
            behaviour, _ = agent.explore(state, k_explore, 0)
            env = self._rebuild(world[0])
            streams = rollout.open_streams(env, agent, behaviour, k_streams, num_envs=want.num_envs)
        counter, ledger = jnp.int32(0), None
        figures = self._figures(state, streams, who, counter, world, phase=0)
        if isinstance(want, Rollouts) and self.spec.descriptor is not None:
            ledger = ledgers.open_ledger(self.spec, len(self.wants), archive=ARCHIVE in figures)
        run = RunState(state, streams, ledger, counter, counter, jnp.zeros((), bool))
        # A Python number in a state would be weakly typed before the first iteration but not after it.
        return jax.tree.map(lambda x: jax.lax.convert_element_type(x, jnp.asarray(x).dtype), run)

    def _figures(
        self, state: Tree, streams: Streams | None, who: Tree, iteration: Array, world: Tree, *, phase: int
    ) -> dict[str, Array]:
        """The metrics of a phase before its first iteration: NaN, except for counters.

        Raises ValueError if `learn` changes the structure of the state.
        A phase is traced on first use; the trace is cached and reused in the phase's program.
        """
        after, _, _, _, figures = jax.eval_shape(
            partial(self._step, phase=phase), state, streams, world, who, iteration
        )
        _check_same(state, after, f"{type(self.agent).__name__}.learn (phase {phase})")
        return {n: jnp.full(x.shape, 0.0 if n == INVALID else jnp.nan, jnp.float32) for n, x in figures.items()}

    def _step_of(
        self, state: Tree, streams: Streams | None, world: Tree, who: Tree, iteration: Array, *, phase: int
    ) -> tuple[Tree, Streams | None, Any, Array, dict[str, Array]]:
        """(agent state, streams, data, cost, metrics) of one iteration of one seed."""
        env, want, (agent, seed) = self._rebuild(world[0]), self.wants[phase], self._of(who)
        k_explore, k_data, k_learn = jax.random.split(stream(TRAIN, seed, iteration), 3)
        used, behaviour, active, data = jnp.int32(cost(want)), None, None, None
        if not isinstance(want, Nothing):
            behaviour, active = agent.explore(state, k_explore, phase)
        if isinstance(want, Segments):
            assert streams is not None
            streams, data = rollout.segments(env, agent, behaviour, streams, k_data, length=want.length)
        elif isinstance(want, Rollouts):
            active = jnp.broadcast_to(jnp.asarray(active), (want.population,))
            data = rollout.episodes(
                env, agent, behaviour, active, k_data, stream(START, seed), population=want.population,
                episodes=want.episodes, group=want.group, starts=want.starts, shared=want.shared,
                keep_steps=want.keep_steps, frames=want.frames,
            )  # fmt: skip
            used = jnp.sum(active, dtype=jnp.int32) * want.episodes
        elif isinstance(want, Batches):
            data = rollout.batches(
                world[1], k_data, size=want.size, updates=want.updates, length=want.length, whole=want.whole,
                starts=want.starts,
            )  # fmt: skip
        state, metrics = agent.learn(state, data, k_learn, phase)
        if isinstance(data, Episodes):
            metrics |= {INVALID: invalid(data)}
        return state, streams, data, used, {name: jnp.asarray(x, jnp.float32) for name, x in metrics.items()}

    def _iterate(self, run: RunState, who: Tree, world: Tree, *, phase: int) -> tuple[RunState, dict[str, Array]]:
        state, streams, data, used, metrics = self._step(run.agent, run.streams, world, who, run.iteration, phase=phase)
        ledger, want = run.ledger, self.wants[phase]
        if ledger is not None and isinstance(want, Rollouts):
            ledger = ledgers.update(ledger, self.spec, data, run.used, phase=phase, covers=want.covers)
            if ARCHIVE in metrics:
                ledger = ledgers.update_stored(ledger, metrics[ARCHIVE], run.used + used)
        losses = [jnp.any(jnp.isnan(x)) for name, x in metrics.items() if name.startswith("learn/loss")]
        broken = jnp.any(jnp.stack(losses)) if losses else jnp.zeros((), bool)
        run = RunState(state, streams, ledger, run.iteration + 1, run.used + used, run.broken | broken)
        return run, metrics

    def _advance_of(
        self, run: RunState, who: Tree, world: Tree, mark: Array, limit: Array, *, phase: int
    ) -> tuple[RunState, Array, dict[str, Array]]:
        over = jnp.all if self.several else jnp.any  # of several runs, a broken one goes on unheeded beside the others

        def going(carry: tuple[RunState, Array, dict[str, Array]]) -> Array:
            run, count, _ = carry
            on = (count < limit) & (jnp.min(run.used) < mark) & ~over(run.broken)
            return on & (self._phase_of(run) == phase) if len(self.wants) > 1 else on

        def body(carry: tuple[RunState, Array, dict[str, Array]]) -> tuple[RunState, Array, dict[str, Array]]:
            run, count, before = carry
            run, metrics = self._over_seeds(partial(self._iterate, phase=phase))(run, who, world)
            if INVALID in metrics:
                metrics |= {INVALID: before[INVALID] + metrics[INVALID]}
            return run, count + 1, metrics

        before = self._over_seeds(partial(self._figures, phase=phase))
        figures = before(run.agent, run.streams, who, run.iteration, world)
        run, count, figures = jax.lax.while_loop(going, body, (run, jnp.int32(0), figures))
        status = jnp.stack([count, jnp.min(run.used), self._phase_of(run), over(run.broken).astype(jnp.int32)])
        return run, status, figures

    def _evaluate_of(self, state: Tree, who: Tree, world: Tree, mark: Array) -> dict[str, Array]:
        def one(state: Tree, who: Tree, world: Tree) -> dict[str, Array]:
            agent, seed = self._of(who)
            shipped, figures = agent.exploit(state), {}
            for before, behaviour in {"": shipped, **agent.readings(shipped)}.items():
                data = rollout.episodes(
                    self._rebuild(world[0]), agent, behaviour, jnp.ones(1, bool),
                    population=1, episodes=self.eval_episodes, shared=True, **evaluation(agent, seed, mark),
                )  # fmt: skip
                found = {"return": data.returns, "length": data.length, "success": data.info["success"]}
                figures |= {f"{before}/{name}".lstrip("/"): x for name, x in found.items()}
            return {name: jnp.mean(x.astype(jnp.float32)) for name, x in figures.items()}

        return self._over_seeds(one)(state, who, world)


def invalid(data: Episodes) -> Array:
    """[] float32 number of active policies whose return or behaviour descriptor is not finite."""
    sound = jnp.all(jnp.isfinite(data.returns), axis=1)
    if (descriptor := data.info.get("descriptor")) is not None:
        sound &= jnp.all(jnp.isfinite(descriptor), axis=(1, 2))
    return jnp.sum(data.active & ~sound, dtype=jnp.float32)


def _check_same(before: Tree, after: Tree, who: str) -> None:
    """Raise ValueError, naming the leaf, unless a state keeps its structure, shapes and types."""
    old, new = (
        {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_flatten_with_path(tree)[0]}
        for tree in (before, after)
    )
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new or name not in old:
            raise ValueError(f"{who} {'drops' if name in old else 'adds'} {name} of the state")
        a, b = jnp.asarray(old[name]) if isinstance(old[name], (int, float)) else old[name], new[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            raise ValueError(f"{who} changes {name} from {a.dtype}{list(a.shape)} to {b.dtype}{list(b.shape)}")
