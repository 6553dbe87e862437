"""MuJoCo datasets from a trained agent: counterparts of D4RL's medium, expert and medium-expert datasets.

    train     SAC, with evaluations at regular intervals
    select    the first state whose score lies in a band of D4RL's scale
    roll out  its stochastic policy in N parallel streams
    sparse    optionally: reward 1 at each step whose running return exceeds a quantile of all returns

The training is an ordinary run under $PROSPECT_RUNS/data: if it is interrupted, it resumes when the data is requested
again. Sources: CDE, arXiv 2401.08819 (sparse tasks); D4RL scripts/generation/mujoco. Software versions and agent differ
from D4RL's, whose scale of scores is used as a convention. Shapes: T steps, N streams, M rows.
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
from prospect_rl.experiments.run.hooks import Callback, Snapshot
from prospect_rl.experiments.run.machine import runs_root
from prospect_rl.experiments.run.result import Result

CHUNK = 500
"""Steps per compiled call during the rollouts."""


@dataclass(frozen=True)
class InBand(Callback):
    """End a run at the first row whose mean return has a score in the band."""

    env: str
    """Id of the environment, for the scale of scores."""
    low: float
    """Lowest score in the band."""
    high: float
    """Highest score in the band."""

    def watch(self, now: Snapshot) -> str | None:
        """Return the reason to stop if the last row is in the band."""
        if now.rows and self.holds(now.rows[-1]):
            return f"a score of {self.score(now.rows[-1]):.1f} at step {now.rows[-1]['used']}"
        return None

    def score(self, row: dict[str, Any]) -> float:
        """The D4RL score of an evaluation."""
        return d4rl_score(self.env, row["eval/return"])

    def holds(self, row: dict[str, Any]) -> bool:
        """Whether the score of an evaluation is in the band."""
        return self.low <= self.score(row) <= self.high


@dataclass(frozen=True)
class Trained:
    """Rollouts of SAC's stochastic policy, from the first evaluation of its greedy policy that scored within a band.

    Rows are ordered by stream; the last trajectory of each stream is cut off and marked `truncated`. The card states
    the training step and the score of the policy, quantiles of the rollouts' scores, and the threshold of the sparse
    reward. Raises ValueError if no evaluation within the budget is in the band, and for fields out of range.
    """

    env: str
    """Id of a MuJoCo environment with D4RL reference scores (see `envs.data.scores`)."""
    env_fields: tuple[tuple[str, Any], ...] = (("version", "v4"),)
    """Pairs (field, value) for fields of the environment."""
    low: float = 40.0
    """Lowest score of the band on D4RL's scale."""
    high: float = 55.0
    """Highest score of the band on D4RL's scale."""
    rows: int = 1_000_000
    """Number of rows in the dataset."""
    seed: int = 0
    """Seed of the training and of the rollouts."""
    streams: int = 20
    """Number of parallel environments in the rollouts."""
    sparse: bool = False
    """Whether the reward is 1 at each step whose running return exceeds the threshold and 0 elsewhere."""
    quantile: float = 0.75
    """Quantile of the trajectories' returns that is the threshold of the sparse reward."""
    budget: int = 3_000_000
    """Largest number of environment steps of the training."""
    every: int = 25_000
    """Number of environment steps between two evaluations."""
    eval_episodes: int = 20
    """Number of episodes per evaluation."""
    agent: tuple[tuple[str, Any], ...] = ()
    """Pairs (field, value) for fields of SAC."""

    def __post_init__(self) -> None:
        check_quantile(self.quantile)
        if not 1 <= self.streams <= self.rows or self.low > self.high or self.every < 1 or self.budget % self.every:
            raise ValueError(
                f"streams must be 1 to rows, low at most high, and budget a multiple of every, not {self.streams} of "
                f"{self.rows}, {self.low} to {self.high}, {self.budget} and {self.every}"
            )
        d4rl_score(self.env, 0.0)

    def build(self) -> Dataset:
        """Train until the band is reached, then roll out: obs, action, reward, terminated, truncated, next_obs."""
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
        """The callback that ends the training."""
        return InBand(self.env, self.low, self.high)

    @property
    def run(self) -> Run:
        """The configuration of the training."""
        agent = agents.make("sac", **dict(self.agent))
        return Run(
            agent, self.env, self.env_fields, (self.seed,), self.budget, self.budget // self.every, self.eval_episodes
        )

    @property
    def folder(self) -> Path:
        """The folder of the training; each band has its own, because continuing to another band changes the state."""
        name = f"{self.env.replace('/', '-')}-{self.low:g}-{self.high:g}-{self.run.hash[:8]}"
        return runs_root() / "data" / name

    def train(self) -> Result:
        """Train until an evaluation is in the band. Raises ValueError if none is."""
        result = train_run(self.run, out=self.folder, callbacks=[self.band])
        if not self.band.holds(result.rows[-1]):
            best = max(self.band.score(row) for row in result.rows)
            raise ValueError(
                f"no evaluation of {self.env} scored {self.low:g} to {self.high:g} within {self.budget} steps; "
                f"the best score was {best:.1f}: use a larger budget, another seed or another band (low, high)"
            )
        return result

    def roll_out(self, env: Env, result: Result) -> Dataset:
        """Roll out the run's final policy, with its exploration noise, in N streams."""
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
    """Concatenation of several datasets. A sparse reward's threshold is computed over all trajectories together.

    Raises ValueError in the same cases as its parts.
    """

    env: str
    """Id of the environment of the data."""
    parts: tuple[str, ...]
    """Names of the datasets (see `envs.data.recipes`)."""
    env_fields: tuple[tuple[str, Any], ...] = (("version", "v4"),)
    """Pairs (field, value) for fields of the environment."""
    rows: int = 1_000_000
    """Number of rows of each part."""
    seed: int = 0
    """Seed of each of the parts."""
    sparse: bool = False
    """Whether the reward is 1 at each step whose running return exceeds the threshold and 0 elsewhere."""
    quantile: float = 0.75
    """Quantile of the trajectories' returns that is the threshold of the sparse reward."""
    others: tuple[tuple[str, Any], ...] = ()
    """Pairs (field, value) for other fields of the parts."""

    def __post_init__(self) -> None:
        check_quantile(self.quantile)

    def build(self) -> Dataset:
        """Build the parts, or read those that are cached on disk, and concatenate them."""
        given = {"env_fields": self.env_fields, "rows": self.rows, "seed": self.seed, **dict(self.others)}
        made = [datasets.make(name, **given) for name in self.parts]
        rows = jax.tree.map(lambda *xs: jnp.concatenate(xs), *(part.rows for part in made))
        before = np.cumsum([0, *(len(part.rows["reward"]) for part in made)])
        firsts = jnp.concatenate([part.firsts + n for part, n in zip(made, before, strict=False)])
        joined = Dataset(rows, firsts.astype(jnp.int32))
        return made_sparse(joined, self.quantile, {}) if self.sparse else joined


def check_quantile(quantile: float) -> None:
    """Raise ValueError for a quantile outside 0 to 1."""
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be 0 to 1, not {quantile}")


def made_sparse(dataset: Dataset, quantile: float, facts: dict[str, Any]) -> Dataset:
    """Replace the reward: 1 at each step whose running return, including its own reward, exceeds the threshold, else 0.

    The threshold is a quantile of the trajectories' returns and is added to the facts. The reward depends on the past
    and not only on the observation, as in CDE's version of D4RL's tasks.
    """
    reward, firsts = np.asarray(dataset.rows["reward"], np.float64), np.asarray(dataset.firsts)
    threshold = float(np.quantile(returns_of(dataset), quantile))
    bounds = np.append(firsts, len(reward))
    running = np.concatenate([np.cumsum(reward[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)])
    paid = jnp.asarray(running > threshold, jnp.float32)
    return replace(dataset, rows={**dataset.rows, "reward": paid}, facts={**facts, "threshold": threshold})
