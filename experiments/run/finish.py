"""The last step of a run: its exams, report.npz and result.json.

A run that was killed just before this step performs it when it is started again.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.exams import run_exams
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.program import Program, RunState
from prospect_rl.experiments.run.result import Interrupted, Result


def finish(
    run: Run, program: Program, state: RunState, folder: Folder, result: Result, stopped: Callable[[], bool]
) -> Result:
    """Run the exams and write the final files; returns the result with the exams' metrics in its last rows.

    Raises Interrupted if a signal arrives during an exam. A run that a callback ended takes no exams.
    """
    if run.exams and not result.stopped:
        if not run_exams(run, program, state, folder, stopped):
            raise Interrupted(replace(result, interrupted=True))
        first = len(result.rows) - len(run.seeds)
        figures = [dict(ChainMap(*each)) for each in zip(*folder.exams.values(), strict=True)]
        last = [row | exam for row, exam in zip(result.rows[first:], figures, strict=True)]
        result = replace(result, rows=[*result.rows[:first], *last])
    arrays = report_of(program, state)
    if state.ledger is not None:
        named = checkpoint.flatten(state.ledger)
        arrays |= {f"ledger/{name.strip('.').replace('.', '/')}": x for name, x in named.items()}
    facts: dict[str, Any] = {
        "finished": True, "hash": run.hash, "digest": result.digest, "rows": result.rows[-len(run.seeds) :],
    }  # fmt: skip
    folder.finish(arrays, facts | ({"finished": False, "stopped": result.stopped} if result.stopped else {}))
    return result


def report_of(program: Program, state: RunState) -> dict[str, np.ndarray]:
    """The arrays that the agent provides for figures and exports, leading [S] if a run has several seeds."""
    agent = program.agent
    if not program.batched:
        return {name: np.asarray(x) for name, x in agent.report(state.agent).items()}
    seeds = range(len(np.asarray(program.seeds)))
    each = [agent.report(jax.tree.map(lambda x, s=s: x[s], state.agent)) for s in seeds]
    return {name: np.stack([np.asarray(report[name]) for report in each]) for name in each[0]}
