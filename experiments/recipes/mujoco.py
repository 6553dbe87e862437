"""Data of robots that an agent of ours has learned to move: D4RL's medium, expert and medium-expert sets, made again.

    train     SAC, evaluated every so many steps
    take      the first state whose score enters a band of D4RL's scale
    roll out  its stochastic policy, N streams side by side
    sparse    where asked for: reward 1 at each step whose running return exceeds a quantile of all returns

The training is a run like any other, under $PROSPECT_RUNS/data: interrupted, it goes on when the data is asked for
again. Sources: CDE, arXiv 2401.08819 (sparse tasks); D4RL scripts/generation/mujoco. Versions and agent are others
than D4RL's: its scale is a convention here. Shapes: T steps, N streams, M rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl import agents, envs
from prospect_rl.agents.offline.base import returns_of
from prospect_rl.agents.online.sac import SAC
from prospect_rl.envs.api import Array, Dataset, Env, Key, Tree
from prospect_rl.envs.data import datasets
from prospect_rl.envs.data.scores import d4rl_score
from prospect_rl.envs.rollout import Streams, open_streams, segments
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run
from prospect_rl.experiments.run.hooks import Callback, Moment
from prospect_rl.experiments.run.machine import runs_root
from prospect_rl.experiments.run.result import Result

CHUNK = 500
"""Steps between two visits to the host."""


@dataclass(frozen=True)
class InBand(Callback):
    """Ends a run at the first row whose mean return has a score in the band."""

    env: str
    low: float
    high: float

    def watch(self, now: Moment) -> str | None:
        """The reason, where the last row is that one."""
        if now.rows and self.holds(now.rows[-1]):
            return f"a score of {self.score(now.rows[-1]):.1f} at step {now.rows[-1]['used']}"
        return None

    def score(self, row: dict[str, Any]) -> float:
        """D4RL's, of an evaluation."""
        return d4rl_score(self.env, row["eval/return"])

    def holds(self, row: dict[str, Any]) -> bool:
        """Whether an evaluation is in the band."""
        return self.low <= self.score(row) <= self.high


@dataclass(frozen=True)
class Trained:
    """Rollouts of SAC's stochastic policy, as it was when its greedy one's score first entered a band.

    Rows stand stream after stream; the last trajectory of a stream is cut, `truncated`. Facts on the card: at which
    step of its training the policy was taken and with which score; quantiles of the rollouts' scores; the sparse
    reward's threshold. Raises ValueError where no evaluation within the budget enters the band, and for fields out of
    range.
    """

    env: str
    """A robot with D4RL's references (see `envs.data.scores`)."""
    env_fields: tuple[tuple[str, Any], ...] = (("version", "v4"),)
    """Values of its fields, as pairs."""
    low: float = 40.0
    """The least score, of D4RL's scale."""
    high: float = 55.0
    """The highest one."""
    rows: int = 1_000_000
    """How many."""
    seed: int = 0
    """Of the training and of the rollouts."""
    streams: int = 20
    """Robots side by side in the rollouts."""
    sparse: bool = False
    """Reward 1 at each step whose running return exceeds the threshold, 0 at the others."""
    quantile: float = 0.75
    """Of the trajectories' returns: the threshold."""
    budget: int = 3_000_000
    """Env steps of training at most."""
    every: int = 25_000
    """Steps from one evaluation to the next."""
    eval_episodes: int = 20
    """Of an evaluation."""
    agent: tuple[tuple[str, Any], ...] = ()
    """Values of SAC's fields, as pairs."""

    def __post_init__(self) -> None:
        check_quantile(self.quantile)
        if not 1 <= self.streams <= self.rows or self.low > self.high or self.every < 1 or self.budget % self.every:
            raise ValueError(
                f"streams must be 1 to rows, low at most high, and budget a multiple of every, not {self.streams} of "
                f"{self.rows}, {self.low} to {self.high}, {self.budget} and {self.every}"
            )
        d4rl_score(self.env, 0.0)

    def build(self) -> Dataset:
        """Train as far as it takes, and roll out. Rows: obs, action, reward, terminated, truncated, next_obs."""
        result = self.train()
        env = envs.make(self.env, **dict(self.env_fields))
        data = self.roll_out(env, result)
        scores = [d4rl_score(self.env, x) for x in returns_of(data)]
        facts = {
            "trained steps": result.rows[-1]["used"], "score of the policy": self.band.score(result.rows[-1]),
            "mean score": float(np.mean(scores)),
            **{f"score {q} %": float(np.quantile(scores, q / 100)) for q in (0, 25, 50, 75, 100)},
        }  # fmt: skip
        return made_sparse(data, self.quantile, facts) if self.sparse else replace(data, facts=facts)

    @property
    def band(self) -> InBand:
        """What ends the training."""
        return InBand(self.env, self.low, self.high)

    @property
    def run(self) -> Run:
        """The training."""
        agent = agents.make("sac", **dict(self.agent))
        return Run(
            agent, self.env, self.env_fields, (self.seed,), self.budget, self.budget // self.every, self.eval_episodes
        )

    @property
    def folder(self) -> Path:
        """Where the training lies; one for each band, since a run that goes on to another leaves this one behind."""
        name = f"{self.env.replace('/', '-')}-{self.low:g}-{self.high:g}-{self.run.hash[:8]}"
        return runs_root() / "data" / name

    def train(self) -> Result:
        """The run as it was when it entered the band. Raises ValueError where it did not."""
        result = train_run(self.run, out=self.folder, callbacks=[self.band])
        if not self.band.holds(result.rows[-1]):
            best = max(self.band.score(row) for row in result.rows)
            raise ValueError(
                f"no evaluation of {self.env} scored {self.low:g} to {self.high:g} within {self.budget} steps; "
                f"the best score was {best:.1f}: give a larger budget, another seed or another band (low, high)"
            )
        return result

    def roll_out(self, env: Env, result: Result) -> Dataset:
        """The rows of N streams, from the policy that a run would ship, with its spread."""
        agent, steps = result.agent, -(-self.rows // self.streams)
        assert isinstance(agent, SAC)
        behaviour, chunk = replace(result.behaviour, noise=jnp.float32(agent.noise)), min(CHUNK, steps)
        key = jax.random.key(self.seed)

        @partial(jax.jit, donate_argnums=1)
        def advance(behaviour: Tree, streams: Streams, key: Key) -> tuple[Streams, dict[str, Array]]:
            streams, data = segments(env, agent, behaviour, streams, key, length=chunk)
            seen = data.steps
            return streams, {
                "obs": seen.inputs.obs, "action": seen.action, "reward": seen.reward, "terminated": seen.terminated,
                "truncated": seen.truncated, "next_obs": seen.next_obs,
            }  # fmt: skip

        begin = jax.jit(partial(open_streams, env, agent, num_envs=self.streams))
        streams, parts = begin(behaviour, jax.random.fold_in(key, 0)), []
        for number in range(-(-steps // chunk)):
            streams, rows = advance(behaviour, streams, jax.random.fold_in(key, number + 1))
            parts.append(jax.tree.map(np.asarray, rows))
        rows = jax.tree.map(lambda *xs: np.concatenate(xs)[:steps].swapaxes(0, 1), *parts)  # [N, T, ...]
        rows["truncated"][:, -1] |= ~rows["terminated"][:, -1]
        rows = {name: x.reshape(-1, *x.shape[2:])[: self.rows] for name, x in rows.items()}
        rows["truncated"][-1] |= ~rows["terminated"][-1]
        ends = rows["terminated"] | rows["truncated"]
        firsts = np.append(0, np.flatnonzero(ends)[:-1] + 1)
        return Dataset({name: jnp.asarray(x) for name, x in rows.items()}, jnp.asarray(firsts, jnp.int32))


@dataclass(frozen=True)
class Joined:
    """All trajectories of one dataset, then those of others. Where sparse, the threshold is that of all of them.

    Raises ValueError as the others do.
    """

    env: str
    """What the data is of."""
    parts: tuple[str, ...]
    """Names of the datasets (see `envs.data.recipes`)."""
    env_fields: tuple[tuple[str, Any], ...] = (("version", "v4"),)
    """Values of its fields, as pairs."""
    rows: int = 1_000_000
    """Of each of them."""
    seed: int = 0
    """Of each of them."""
    sparse: bool = False
    """As in `Trained`."""
    quantile: float = 0.75
    """As in `Trained`."""
    others: tuple[tuple[str, Any], ...] = ()
    """Values of their other fields, as pairs."""

    def __post_init__(self) -> None:
        check_quantile(self.quantile)

    def build(self) -> Dataset:
        """Make the parts, or read them where they lie on disk."""
        given = {"env_fields": self.env_fields, "rows": self.rows, "seed": self.seed, **dict(self.others)}
        made = [datasets.make(name, **given) for name in self.parts]
        rows = jax.tree.map(lambda *xs: jnp.concatenate(xs), *(part.rows for part in made))
        before = np.cumsum([0, *(len(part.rows["reward"]) for part in made)])
        firsts = jnp.concatenate([part.firsts + n for part, n in zip(made, before, strict=False)])
        joined = Dataset(rows, firsts.astype(jnp.int32))
        return made_sparse(joined, self.quantile, {}) if self.sparse else joined


def check_quantile(quantile: float) -> None:
    """Raise ValueError for what is none."""
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be 0 to 1, not {quantile}")


def made_sparse(dataset: Dataset, quantile: float, facts: dict[str, Any]) -> Dataset:
    """Reward 1 at each step whose running return, its own reward included, exceeds the threshold; else 0.

    The threshold is a quantile of the trajectories' returns; it joins the facts. The reward is a function of the past,
    not of the observation: that is D4RL's task as CDE has it.
    """
    reward, firsts = np.asarray(dataset.rows["reward"], np.float64), np.asarray(dataset.firsts)
    threshold = float(np.quantile(returns_of(dataset), quantile))
    bounds = np.append(firsts, len(reward))
    running = np.concatenate([np.cumsum(reward[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)])
    paid = jnp.asarray(running > threshold, jnp.float32)
    return replace(dataset, rows={**dataset.rows, "reward": paid}, facts={**facts, "threshold": threshold})
