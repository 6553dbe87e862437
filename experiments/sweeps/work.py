"""The worker process: executes one job after another (the parent's side is `experiments.sweeps.child`)."""

from __future__ import annotations

import gc
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from prospect_rl.experiments.run import durable
from prospect_rl.experiments.sweeps.child import INTERRUPTED, last_line
from prospect_rl.experiments.sweeps.job import NOTICES, notices, resolve


def work(message: dict[str, Any]) -> None:
    """Execute one job. If it fails, the traceback is written into the run's folder and the error is raised again.

    Waits for the folder's lock, because an earlier worker that was cut off may still be saving the run.
    """
    from prospect_rl.experiments.run.lock import EXPIRY, Busy
    from prospect_rl.experiments.run.machine import enable_compilation_cache

    if message.get("nice"):
        os.setpriority(os.PRIO_PROCESS, 0, 10)
    outs = [Path(one["out"]) for one in message.get("together", [message])]
    until = time.monotonic() + 1.5 * EXPIRY
    try:
        enable_compilation_cache()
        while True:
            try:
                return _train_together(message, outs) if "together" in message else _train(message, outs[0])
            except Busy:
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)
    except Exception:
        for out in outs:
            _keep_error(out, traceback.format_exc())
        raise


def _train(message: dict[str, Any], out: Path) -> None:
    from prospect_rl.experiments.run.driver import train_run

    train_run(resolve(message), out=out, progress=lambda now: _keep_notices(out, now["notices"]))
    _keep_error(out, None)


def _train_together(message: dict[str, Any], outs: list[Path]) -> None:
    """Several runs in one program. One that breaks is no error of the others'."""
    from prospect_rl.experiments.run.result import Interrupted
    from prospect_rl.experiments.run.together import train_together

    runs = [resolve(one) for one in message["together"]]
    try:
        results = train_together(runs, outs, fields=message["fields"], rows=message["rows"])
    except Interrupted as stop:
        for out, result in zip(outs, stop.results, strict=False):
            _keep_notices(out, result.notices)
        raise
    for out, result in zip(outs, results, strict=True):
        _keep_notices(out, result.notices)
        _keep_error(out, result.stopped)


def _keep_notices(out: Path, told: list[str]) -> None:
    known = notices(out)
    if new := [text for text in told if text not in known]:
        durable.write(out / NOTICES, durable.dumps([*known, *new], indent=1).encode())


def _keep_error(out: Path, text: str | None) -> None:
    """Write error.txt, or remove it where all is well."""
    if text is None:
        (out / "error.txt").unlink(missing_ok=True)
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "error.txt").write_text(text, encoding="utf-8")


def serve() -> int:
    """Execute the jobs read from standard input, one JSON line each, and answer each with a line; the exit code."""
    from prospect_rl.experiments.sweeps.work import work

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit it as ignored
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the output of a job must not mix with the answers
    jobs: queue.Queue[bytes | None] = queue.Queue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(jobs, busy), daemon=True).start()
    try:
        while (line := jobs.get()) is not None:
            busy.set()
            try:
                work(json.loads(line))
            except Exception as error:
                _answer(answers, last_line(f"{type(error).__name__}: {error}"))
                return 1
            _free_memory()
            busy.clear()
            _answer(answers, None)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _listen(jobs: queue.Queue[bytes | None], busy: threading.Event) -> None:
    """Queue the jobs from standard input. Not via sys.stdin: a thread holding its lock would block interpreter exit."""
    rest = b""
    while more := os.read(0, 65536):
        *lines, rest = (rest + more).split(b"\n")
        for line in lines:
            jobs.put(line)
    if busy.is_set():  # the parent has died or closed the pipe
        os.kill(os.getpid(), signal.SIGINT)
    jobs.put(None)


def _answer(answers: Any, error: str | None) -> None:
    try:
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()
    except BrokenPipeError:
        pass  # the parent is gone


def _free_memory() -> None:
    """Free the memory of the last job."""
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    gc.collect()
