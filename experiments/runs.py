"""What a run is, and the folder that it lives in.

    run.json        configuration, its hash, versions, threads, commit, hashes of banks and data
    metrics.jsonl   one row a seed and a mark; nothing from a clock, so that two runs alike write the same bytes
    timing.jsonl    seconds, speed and date of each checkpoint
    checkpoints/    see `experiments.checkpoint`
    report.npz      the agent's arrays and the ledger's, at the end
    exams.json      figures of the finished agent's exams, as far as they have come (where the run declares any)
    result.json     the last rows and the digest of the final state, at the end (one that a callback chose: it says so)
    notices.json    what the user should know, of a run in a sweep that has any
    error.txt       the traceback of a run in a sweep that failed
    lock.json       see `experiments.lock`

All but timing.jsonl, notices.json, error.txt and lock.json depend on the configuration and the machine's kind alone. A
run to a smaller budget goes on in its folder: the agent is then that of a run to the larger one, to the bit. So are the
rows, where both have the same marks as far as the first one went; else the first one's rows stay, and run.json names it
under `extends`.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from prospect_rl import envs
from prospect_rl.agents.api import Agent, Batches, cost
from prospect_rl.envs import cache, identity
from prospect_rl.envs.api import Dataset, Env, Tree
from prospect_rl.envs.threads import threads
from prospect_rl.experiments import checkpoint, durable
from prospect_rl.experiments import ledger as books
from prospect_rl.experiments.api import Data, Exam
from prospect_rl.experiments.durable import Json
from prospect_rl.experiments.ledger import Ledger
from prospect_rl.experiments.program import check_wants

LARGEST = 2**31 - 2**24
"""Counters are int32, with room for the last iteration."""


@dataclass(frozen=True)
class Run:
    """One cell of an experiment with its seed, or with the seeds that run as one program."""

    agent: Agent
    """Not bound."""
    env: str | Env
    """A registered id, or any object with `spec`, `reset` and `step`."""
    env_fields: tuple[tuple[str, Any], ...] = ()
    """Values for fields of a registered environment, as pairs."""
    seeds: tuple[int, ...] = (0,)
    """More than one only for agents with `vmap_seeds`."""
    budget: int = 0
    """Env steps, evaluations of policies or updates, by what the agent wants."""
    evals: int = 20
    """Rows of metrics, at evenly spaced parts of the budget."""
    eval_episodes: int = 1
    """Episodes of each evaluation."""
    name: str = ""
    """A label for people; no part of the hash."""
    dataset: Data | None = None
    """What an agent that wants `Batches` learns from, by name; a dataset of one's own goes to `train`."""
    exams: tuple[Exam, ...] = ()
    """What the finished agent must do besides."""

    def config(self) -> dict[str, Json]:
        """All that decides the result, as JSON. Raises ValueError for a field that JSON cannot hold."""
        return {
            "agent": {"name": type(self.agent).__name__, **durable.fields_of(self.agent, leave_out=("spec",))},
            "env": self._env_config(), "seeds": list(self.seeds), "budget": self.budget, "evals": self.evals,
            "eval_episodes": self.eval_episodes,
            **({"dataset": durable.fields_of(self.dataset.identity)} if self.dataset else {}),
            **({"exams": [durable.fields_of(exam) for exam in self.exams]} if self.exams else {}),
        }  # fmt: skip

    def _env_config(self) -> dict[str, Json]:
        if isinstance(self.env, str):
            return {"id": self.env, "fields": durable.canonical(dict(self.env_fields))}
        return env_config(self.env)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits of the configuration."""
        return durable.hash_of(self.config())

    @property
    def marks(self) -> list[int]:
        """The budget used at which rows of metrics are due."""
        return [-(-self.budget * i // self.evals) for i in range(1, self.evals + 1)]

    def check(self, dataset: Dataset | None) -> None:
        """Raise ValueError, in one line, for what no run can be made of."""
        if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            raise ValueError("JAX's 64-bit mode is on, and all programs here are of 32 bits: unset JAX_ENABLE_X64")
        wants, name = check_wants(self.agent), type(self.agent).__name__
        first = wants[0]
        threads()  # refuses a bad NPROC
        for what, value in [("evals", self.evals), ("eval_episodes", self.eval_episodes), ("seeds", len(self.seeds))]:
            if value < 1:
                raise ValueError(f"{what} must be at least 1, not {value}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ from each other: {list(self.seeds)}")
        if not all(0 <= seed < 2**32 for seed in self.seeds):
            raise ValueError(f"seeds must lie between 0 and 2**32 - 1: {list(self.seeds)}")
        if len(self.seeds) > 1 and (not self.agent.vmap_seeds or len(wants) > 1):
            raise ValueError(f"{name} takes one seed a run, not {len(self.seeds)}: start one run a seed")
        if self.budget < cost(first):
            raise ValueError(f"budget {self.budget} is less than one iteration of {name}, which takes {cost(first)}")
        if self.budget < (least := self.agent.least_budget):
            raise ValueError(f"budget {self.budget} ends before {name} begins to learn: give at least {least}")
        if self.budget > LARGEST or self.evals > self.budget:
            raise ValueError(f"budget {self.budget} must lie between evals ({self.evals}) and {LARGEST}")
        given = dataset is not None or self.dataset is not None
        if isinstance(first, Batches) and not given:
            raise ValueError(f"{name} learns from a dataset: give one")
        if not isinstance(first, Batches) and given:
            raise ValueError(f"{name} learns from its own experience and takes no dataset")

    def make_env(self, **others: Any) -> Env:
        """The environment, with `others` for some of its fields. Raises ValueError for an unknown id or field."""
        if isinstance(self.env, str):
            return envs.make(self.env, **dict(self.env_fields) | others)
        if self.env_fields or others:
            raise ValueError("env_fields are for registered ids; set the fields of an environment object itself")
        return self.env


def env_config(env: Any) -> dict[str, Json]:
    """All that decides an environment object, and those within it, but for the arrays (see `data_hashes`)."""
    about = {"id": env.spec.id, "class": type(env).__qualname__}
    known = dataclasses.is_dataclass(env)
    fields = [f for f in dataclasses.fields(env) if f.name != "spec"] if known else []
    held = {f.name: getattr(env, f.name) for f in fields} if known else getattr(env, "__dict__", {})
    within = {name: env_config(x) for name, x in held.items() if isinstance(x, Env)}
    if known:
        static = {f.name for f in fields if not f.metadata.get("pytree_node", False)} - set(within)
        said = {name: durable.canonical(held[name]) for name in held if name in static}
    else:  # its attributes, as far as they are numbers, words and arrays
        plain = {name: x for name, x in held.items() if identity.plain(x)}
        said = identity.facts({"obs": env.spec.obs, "action": env.spec.action, "horizon": env.spec.horizon} | plain)
    return {**about, "fields": said | within}


# --- where a run happens -----------------------------------------------------------------------------


def runs_root() -> Path:
    """Where runs live: $PROSPECT_RUNS, or results/runs under the current folder."""
    return cache.place("PROSPECT_RUNS", Path("results") / "runs")


def enable_compilation_cache() -> Path:
    """Keep compiled programs in $PROSPECT_CACHE (default ~/.cache/prospect); gives the folder."""
    folder = cache.folder()
    make_folder(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def make_folder(path: Path) -> None:
    """Make sure that a folder is there. Raises ValueError where nothing can be written into it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be written to: {error.strerror}") from None


def versions() -> dict[str, str]:
    """Versions of what the bits depend on."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()}-{platform.machine()}"}
    for package in ("jax", "jaxlib", "numpy", "flax", "mujoco"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**found, "device": jax.default_backend()}


def git_commit() -> str | None:
    """The commit of this code, where it runs from a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def data_hashes(banks: Tree, dataset: Dataset | None) -> dict[str, str | None]:
    """Hashes of what a run reads besides its configuration: the arrays of its environment, its dataset."""
    return {name: checkpoint.digest(tree)[:16] if tree else None for name, tree in [("bank", banks), ("set", dataset)]}


# --- the folder --------------------------------------------------------------------------------------


class Folder:
    """The files of one run but for its checkpoints. Used under its `Lock`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"

    def open(self, run: Run, data: dict[str, str | None]) -> list[str]:
        """Write run.json, or compare with the one that is there; gives notices about what may change the bits.

        A run to a smaller budget that is there becomes this one. Raises ValueError, with every differing key, where
        the folder belongs to another configuration or data.
        """
        where = {"versions": versions() | getattr(run.env, "versions", {}), "threads": threads()}
        claims = {"config": run.config(), "data": data}
        path = self.path / "run.json"
        if not path.exists():
            facts = {"hash": run.hash, "name": run.name, **claims, **where, "commit": git_commit()}
            facts |= {"dataset": run.dataset.name} if run.dataset else {}
            durable.write(path, durable.dumps(facts, indent=1).encode())
            return []
        try:
            known = json.loads(path.read_bytes())
            before = {name: known[name] for name in (*claims, *where)}
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is not readable; move the folder away to begin anew") from None
        changed = durable.differences({n: before[n] for n in claims}, json.loads(durable.dumps(claims)))
        notices = []
        if changed:
            lines = {line.partition(":")[0].removeprefix("config."): line.removeprefix("config.") for line in changed}
            if not lines.keys() <= {"budget", "evals"} or "budget" not in lines:
                raise ValueError(f"{self.path} holds a run with another configuration: {', '.join(lines.values())}")
            notices.append(self._extend(known, run))
        for earlier in known.get("extends", ()):
            for folder in (self.checkpoints, *(self.path / "best").glob("*")):
                checkpoint.hand_over(folder, earlier["hash"], run.hash)
        moved = durable.differences({n: before[n] for n in where}, where)
        return [*notices, *([f"the bits may differ from an uninterrupted run: {', '.join(moved)}"] if moved else [])]

    def _extend(self, known: dict[str, Any], run: Run) -> str:
        """Make the folder that of a run to a larger budget, into `known` too; gives a notice on its rows.

        Nothing is lost where a crash comes between: until run.json is written it is the old run, without a result.
        """
        config = known["config"]
        old = dataclasses.replace(run, budget=config["budget"], evals=config["evals"])
        if run.budget < old.budget:
            raise ValueError(
                f"{self.path} holds a run to budget {old.budget}, which does not go back to {run.budget}: "
                "give another folder"
            )
        for name in ("result.json", "exams.json", "report.npz"):  # what the old run left at its end
            (self.path / name).unlink(missing_ok=True)
        earlier = {"hash": known["hash"], "budget": old.budget, "evals": old.evals}
        known |= {"hash": run.hash, "config": run.config(), "extends": [*known.get("extends", ()), earlier]}
        durable.write(self.path / "run.json", durable.dumps(known, indent=1).encode())
        line = f"goes on from a run to budget {old.budget}"
        if run.marks[: old.evals] == old.marks:
            return line
        return f"{line}, whose rows stay: those of a run to {run.budget} lie at other marks (the agent is the same)"

    def mend(self, length: int) -> list[str]:
        """Write the last rows of an ended run anew, from result.json, where they alone are lost; gives a notice."""
        self.metrics.touch()
        if (result := self.result) is None or self.metrics.stat().st_size >= length:
            return []
        rows = ({name: x for name, x in row.items() if not name.startswith("exam")} for row in result["rows"])
        whole = self.metrics.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1] + b"".join(durable.dumps(row).encode() + b"\n" for row in rows)
        if len(whole) != length:
            return []
        durable.write(self.metrics, whole)
        return [f"the last rows of {self.metrics} were lost, and are written anew from result.json"]

    def cut(self, length: int) -> list[dict[str, Any]]:
        """Bring metrics.jsonl back to a length in bytes and give its rows. Raises ValueError if it is shorter."""
        self.metrics.touch()
        if (size := self.metrics.stat().st_size) < length:
            raise ValueError(
                f"{self.metrics} has {size} bytes where the checkpoint counts {length}: rows are lost; "
                f"move {self.path} away, and the same command begins anew"
            )
        os.truncate(self.metrics, length)
        return durable.read_lines(self.metrics)

    def append(self, rows: list[dict[str, Any]]) -> int:
        """Add rows of metrics, synced to the disk; gives the length of the file in bytes."""
        with self.metrics.open("ab") as f:
            f.writelines(durable.dumps(row).encode() + b"\n" for row in rows)
            f.flush()
            os.fsync(f.fileno())
        return self.metrics.stat().st_size

    def time(self, row: dict[str, Any]) -> None:
        """Add a row and its date to timing.jsonl; what a crash or a full disk has left of a row goes."""
        with (self.path / "timing.jsonl").open("ab+") as f:
            f.seek(0)
            f.truncate(f.read().rfind(b"\n") + 1)
            f.write(durable.dumps(row | {"date": datetime.now(UTC).date().isoformat()}).encode() + b"\n")

    def finish(self, arrays: dict[str, np.ndarray], result: dict[str, Any]) -> None:
        """Write report.npz and result.json."""
        for name, array in arrays.items():
            if array.dtype == object:
                raise ValueError(f"the report's {name} is no array of numbers")
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        durable.write(self.path / "report.npz", buffer.getvalue())
        durable.write(self.path / "result.json", durable.dumps(result, indent=1).encode())

    def reopen(self) -> None:
        """Take away what says that the run has ended: it goes on."""
        (self.path / "result.json").unlink(missing_ok=True)

    @property
    def exams(self) -> dict[str, list[dict[str, float]]]:
        """Exam -> its figures, one mapping a seed. Raises ValueError if the file is damaged."""
        path = self.path / "exams.json"
        try:
            return durable.read_object(path) if path.exists() else {}
        except ValueError:
            raise ValueError(f"{path} is not readable; remove it to sit the exams anew") from None

    def keep_exams(self, figures: dict[str, list[dict[str, float]]]) -> None:
        """Write what the exams have come to."""
        durable.write(self.path / "exams.json", durable.dumps(figures, indent=1).encode())

    @property
    def result(self) -> dict[str, Any] | None:
        """What `finish` has written; None for a run that has not ended. Raises ValueError if it is damaged."""
        path = self.path / "result.json"
        if not path.exists():
            return None
        try:
            found = durable.read_object(path)
            return {"finished": found["finished"], "hash": found["hash"], **found}
        except (ValueError, KeyError):
            raise ValueError(f"{path} is not readable; remove it to write it anew") from None


def has_ended(path: Path, run: Run) -> bool:
    """Whether `path` holds this very run, finished or ended early by a callback. Opens no checkpoint, takes no lock."""
    result = Folder(path).result
    return result is not None and result["hash"] == run.hash


def row_of(
    seed: int, mark: int, unit: str, facts: Tree, figures: dict[str, Any], ended: dict[str, Any], ledger: Ledger | None
) -> dict[str, Any]:
    """The row of ONE seed: who and when, then evaluation, collection, learning, ledger."""
    row: dict[str, Any] = {"seed": seed, "mark": mark, "unit": unit, **{k: int(x) for k, x in facts.items()}}
    if ended:
        count = float(ended["count"])
        row["collect/episodes"] = int(count)
        for name in ("return", "length", "success"):
            row[f"collect/{name}"] = float(ended[name]) / count if count else float("nan")
        if "failed" in ended:
            row["collect/failed"] = int(ended["failed"])
    for name, x in figures.items():
        if x.ndim == 0:
            row[name] = float(x)
        else:
            row |= {f"{name}_{k}": value for k, value in enumerate(x.ravel().tolist())}
    return row | (books.summary(ledger) if ledger is not None else {})
