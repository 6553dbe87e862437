"""The folder of a run.

    run.json        configuration, its hash, versions, threads, commit, hashes of level banks and data; for a run
                    that was one of several in a program, `together` lists the fields in which these may differ
    metrics.jsonl   one row per seed and mark; no times or dates, so that equal runs write equal bytes
    timing.jsonl    seconds, speed and date of each checkpoint
    checkpoints/    see `experiments.run.checkpoint`
    report.npz      the arrays of the agent and the ledger, written at the end
    exams.json      metrics of the finished agent's exams so far (if the run declares any)
    result.json     the last rows and the digest of the final state, written at the end (also if a callback ended it)
    notices.json    messages for the user, if a run in a sweep has any
    error.txt       the traceback of a failed run in a sweep
    lock.json       see `experiments.run.lock`

All files except timing.jsonl, notices.json, error.txt and lock.json depend only on the configuration and the type of
machine. A run to a smaller budget can be continued to a larger one in the same folder: the agent is then bit for bit
that of a single run to the larger budget. The rows are too, if the marks of the smaller run are among those of the
larger one; otherwise the earlier rows stay, and run.json lists the smaller run under `extends`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from prospect_rl.envs.api import Dataset, Tree
from prospect_rl.envs.threads import threads
from prospect_rl.experiments.run import checkpoint, durable
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.machine import git_commit, versions


def data_hashes(banks: Tree, dataset: Dataset | None) -> dict[str, str | None]:
    """Hashes of a run's inputs besides its configuration: the arrays of its environment and its dataset."""
    return {name: checkpoint.digest(tree)[:16] if tree else None for name, tree in [("bank", banks), ("set", dataset)]}


class Folder:
    """The files of one run except its checkpoints. Only to be used while holding its `Lock`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"

    def open(self, run: Run, data: dict[str, str | None], together: Sequence[str] | None = None) -> list[str]:
        """Write run.json, or compare it with the existing one; returns notices about changes that may affect bits.

        together: the fields in which the runs of a program of several may differ, if this is one of them.

        An existing run to a smaller budget is extended. Raises ValueError, listing every differing key, if the folder
        belongs to another configuration or other data.
        """
        where = {"versions": versions() | getattr(run.env, "versions", {}), "threads": threads()}
        claims = {"config": run.config(), "data": data}
        path = self.path / "run.json"
        if not path.exists():
            facts = {"hash": run.hash, "name": run.name, **claims, **where, "commit": git_commit()}
            facts |= {"dataset": run.dataset.name} if run.dataset else {}
            facts |= {"together": list(together)} if together is not None else {}
            durable.write(path, durable.dumps(facts, indent=1).encode())
            return []
        try:
            known = json.loads(path.read_bytes())
            before = {name: known[name] for name in (*claims, *where)}
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is not readable; move the folder away to start again") from None
        kind = {"device": "cpu"}  # what a configuration that names no device means
        before["config"], stated = kind | before["config"], {**claims, "config": kind | claims["config"]}
        changed = durable.differences({n: before[n] for n in claims}, json.loads(durable.dumps(stated)))
        notices = []
        if changed:
            lines = {line.partition(":")[0].removeprefix("config."): line.removeprefix("config.") for line in changed}
            if not lines.keys() <= {"budget", "evals"} or "budget" not in lines:
                raise ValueError(f"{self.path} contains a run with another configuration: {', '.join(lines.values())}")
            notices.append(self._extend(known, run))
        for earlier in known.get("extends", ()):
            for folder in (self.checkpoints, *(self.path / "best").glob("*")):
                checkpoint.reassign(folder, earlier["hash"], run.hash)
        moved = durable.differences({n: before[n] for n in where}, where)
        if together is not None and "together" not in known:
            durable.write(path, durable.dumps(known | {"together": list(together)}, indent=1).encode())
        if (together is None) == ("together" in known) and self.result is None:
            moved.append("it is one of several in a program for a part of its way")
        return [*notices, *([f"the bits may differ from an uninterrupted run: {', '.join(moved)}"] if moved else [])]

    def _extend(self, known: dict[str, Any], run: Run) -> str:
        """Turn the folder (and `known`) into that of a run to a larger budget; returns a notice about its rows.

        A crash in between loses nothing: until run.json is written the folder is the old run without a result.
        """
        config = known["config"]
        old = dataclasses.replace(run, budget=config["budget"], evals=config["evals"])
        if run.budget < old.budget:
            raise ValueError(
                f"{self.path} contains a run to budget {old.budget}, which cannot be reduced to {run.budget}: "
                "choose another folder"
            )
        for name in ("result.json", "exams.json", "report.npz"):  # the final files of the old run
            (self.path / name).unlink(missing_ok=True)
        earlier = {"hash": known["hash"], "budget": old.budget, "evals": old.evals}
        known |= {"hash": run.hash, "config": run.config(), "extends": [*known.get("extends", ()), earlier]}
        durable.write(self.path / "run.json", durable.dumps(known, indent=1).encode())
        line = f"continues a run to budget {old.budget}"
        if run.marks[: old.evals] == old.marks:
            return line
        return f"{line}, whose rows are kept: a single run to {run.budget} has other marks (the agent is the same)"

    def restore_rows(self, length: int) -> list[str]:
        """Restore the last rows of an ended run from result.json if only these are lost; returns a notice."""
        self.metrics.touch()
        if (result := self.result) is None or self.metrics.stat().st_size >= length:
            return []
        rows = ({name: x for name, x in row.items() if not name.startswith("exam")} for row in result["rows"])
        whole = self.metrics.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1] + b"".join(durable.dumps(row).encode() + b"\n" for row in rows)
        if len(whole) != length:
            return []
        durable.write(self.metrics, whole)
        return [f"the last rows of {self.metrics} were lost and have been restored from result.json"]

    def truncate(self, length: int) -> list[dict[str, Any]]:
        """Truncate metrics.jsonl to a length in bytes and return its rows. Raises ValueError if it is shorter."""
        self.metrics.touch()
        if (size := self.metrics.stat().st_size) < length:
            raise ValueError(
                f"{self.metrics} has {size} bytes, but the checkpoint counts {length}: rows are lost; "
                f"move {self.path} away to start the run again"
            )
        os.truncate(self.metrics, length)
        return durable.read_lines(self.metrics)

    def append(self, rows: list[dict[str, Any]]) -> int:
        """Append metrics rows and sync them to disk; returns the length of the file in bytes."""
        with self.metrics.open("ab") as f:
            f.writelines(durable.dumps(row).encode() + b"\n" for row in rows)
            f.flush()
            os.fsync(f.fileno())
        return self.metrics.stat().st_size

    def log_timing(self, row: dict[str, Any]) -> None:
        """Append a row with its date to timing.jsonl; an incomplete last row (crash, full disk) is removed first."""
        with (self.path / "timing.jsonl").open("ab+") as f:
            f.seek(0)
            f.truncate(f.read().rfind(b"\n") + 1)
            f.write(durable.dumps(row | {"date": datetime.now(UTC).date().isoformat()}).encode() + b"\n")

    def finish(self, arrays: dict[str, np.ndarray], result: dict[str, Any]) -> None:
        """Write report.npz and result.json."""
        for name, array in arrays.items():
            if array.dtype == object:
                raise ValueError(f"the report's {name} is not an array of numbers")
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        durable.write(self.path / "report.npz", buffer.getvalue())
        durable.write(self.path / "result.json", durable.dumps(result, indent=1).encode())

    def reopen(self) -> None:
        """Delete result.json, because the run continues."""
        (self.path / "result.json").unlink(missing_ok=True)

    @property
    def exams(self) -> dict[str, list[dict[str, float]]]:
        """Exam -> its metrics, one mapping per seed. Raises ValueError if the file is damaged."""
        path = self.path / "exams.json"
        try:
            return durable.read_object(path) if path.exists() else {}
        except ValueError:
            raise ValueError(f"{path} is not readable; delete it to run the exams again") from None

    def save_exams(self, figures: dict[str, list[dict[str, float]]]) -> None:
        """Write the exams' metrics so far."""
        durable.write(self.path / "exams.json", durable.dumps(figures, indent=1).encode())

    @property
    def result(self) -> dict[str, Any] | None:
        """The contents of result.json; None for a run that has not ended. Raises ValueError if it is damaged."""
        path = self.path / "result.json"
        if not path.exists():
            return None
        try:
            found = durable.read_object(path)
            return {"finished": found["finished"], "hash": found["hash"], **found}
        except (ValueError, KeyError):
            raise ValueError(f"{path} is not readable; delete it, and the same run rewrites it") from None


def has_ended(path: Path, run: Run) -> bool:
    """Whether `path` contains this run, finished or ended by a callback. Reads no checkpoint and takes no lock."""
    result = Folder(path).result
    return result is not None and result["hash"] == run.hash
