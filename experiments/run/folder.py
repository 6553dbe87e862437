"""The folder that a run lives in.

    run.json        configuration, its hash, versions, threads, commit, hashes of banks and data
    metrics.jsonl   one row a seed and a mark; nothing from a clock, so that two runs alike write the same bytes
    timing.jsonl    seconds, speed and date of each checkpoint
    checkpoints/    see `experiments.run.checkpoint`
    report.npz      the agent's arrays and the ledger's, at the end
    exams.json      figures of the finished agent's exams, as far as they have come (where the run declares any)
    result.json     the last rows and the digest of the final state, at the end (one that a callback chose: it says so)
    notices.json    what the user should know, of a run in a sweep that has any
    error.txt       the traceback of a run in a sweep that failed
    lock.json       see `experiments.run.lock`

All but timing.jsonl, notices.json, error.txt and lock.json depend on the configuration and the machine's kind alone. A
run to a smaller budget goes on in its folder: the agent is then that of a run to the larger one, to the bit. So are the
rows, where both have the same marks as far as the first one went; else the first one's rows stay, and run.json names it
under `extends`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
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
    """Hashes of what a run reads besides its configuration: the arrays of its environment, its dataset."""
    return {name: checkpoint.digest(tree)[:16] if tree else None for name, tree in [("bank", banks), ("set", dataset)]}


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
