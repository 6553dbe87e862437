"""Lock of a run folder: a file that names the owning process and contains its heartbeat.

The heartbeat is a counter. A process that finds a lock watches the counter by its own monotonic clock: if it changes,
the owner is alive; if it does not change for `EXPIRY` seconds, the owner is dead. Clocks of different machines are
never compared. If the owner ran in the same boot of the same kernel and in the same PID namespace, the process table
answers at once.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BEAT = 5.0
"""Seconds between heartbeats."""
EXPIRY = 60.0
"""Seconds without a heartbeat after which a lock is invalid."""
POLL = 0.5
"""Seconds between two reads of another process's lock."""
Owner = dict[str, Any]


def boot_id() -> str:
    """Identifier of the current boot; empty if the system does not provide one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def namespace() -> str:
    """Identifier of the PID namespace; empty if unknown, or if /proc shows another namespace."""
    try:
        return os.readlink("/proc/self/ns/pid") if os.readlink("/proc/self") == str(os.getpid()) else ""
    except OSError:
        return ""


def started(pid: int) -> str:
    """Start time of a process in clock ticks since boot, to detect a reused pid."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process with this pid exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def this_process() -> Owner:
    """The owner record of the current process."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(), "pid": pid, "started": started(pid), "boot": boot_id(), "namespace": namespace(),
    }  # fmt: skip


def owner_alive(owner: Owner, me: Owner) -> bool | None:
    """Whether the owner is alive according to the process table; None if only the heartbeat can tell."""
    pid, same = owner.get("pid"), all(me[name] and owner.get(name) == me[name] for name in ("boot", "namespace"))
    if not same or not isinstance(pid, int) or not 0 < pid < 2**31:
        return None
    if not alive(pid):
        return False
    begun = started(pid)
    return begun == owner.get("started") if begun else None


def print_error(line: str) -> None:
    """Print a line on standard error, before any other display exists."""
    sys.stderr.write(f"prospect: {line}\n")
    sys.stderr.flush()


class Busy(ValueError):  # noqa: N818 - a state rather than an error; its message is shown unchanged
    """Raised when another process owns the folder."""


class Lock:
    """A context manager that holds `folder/lock.json`. Entering raises `Busy` if another process holds it.

    If only the heartbeat can tell whether the owner is alive, entering may take `EXPIRY` seconds and prints a message.
    """

    def __init__(
        self, folder: Path, *, me: Owner | None = None, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep, tell: Callable[[str], None] = print_error,
    ) -> None:  # fmt: skip
        self.path = folder / "lock.json"
        self.token = secrets.token_hex(8)
        self._me, self._clock, self._sleep, self._tell = me or this_process(), clock, sleep, tell
        self._file, self._count = -1, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prospect-lock", daemon=True)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while not self._claim():
            if (dead := self._wait_for_dead()) is not None:
                self._remove(dead)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._file)
        if self.held:
            self.path.unlink(missing_ok=True)

    @property
    def held(self) -> bool:
        """Whether this process still owns the lock file (a suspended host may have lost it)."""
        return _owner(_read(self.path)).get("token") == self.token

    # --- own lock ------------------------------------------------------------------------------------

    def _claim(self) -> bool:
        """Create the lock file unless it exists. Needs no hard links; a partly written file is not taken for dead.

        The file stays open for heartbeats, so that a late heartbeat cannot overwrite another owner's lock.
        """
        try:
            self._file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        try:
            self.beat()
        except OSError:
            os.close(self._file)
            self.path.unlink()
            raise
        return True

    def beat(self) -> None:
        """Write a heartbeat. The file's length does not change, so that this also works on a full disk."""
        self._count += 1
        owner = self._me | {"beat": f"{self._count:012d}", "token": self.token}
        data = json.dumps(owner).encode()
        if os.pwrite(self._file, data, 0) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        os.fsync(self._file)

    def _run(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                self.beat()
            except OSError:
                continue  # the next heartbeat may succeed, e.g. once a disk is no longer full or missing

    # --- another process's lock ----------------------------------------------------------------------

    def _wait_for_dead(self) -> bytes | None:
        """The contents of an existing lock once its owner is known to be dead. Raises `Busy` if the owner is alive."""
        first, begun, told = _read(self.path), self._clock(), False
        while (now := _read(self.path)) is not None:
            owner = _owner(now)
            lives = owner_alive(owner, self._me)
            if lives or now != first:
                raise Busy(f"{self.path.parent} is in use by {_name(owner)}")
            if lives is False or self._clock() - begun >= EXPIRY:
                return now
            if not told:
                self._tell(f"{self.path.parent}: waiting up to {EXPIRY:g} s to see whether {_name(owner)} is alive")
                told = True
            self._sleep(POLL)
        return None

    def _remove(self, dead: bytes) -> None:
        """Remove a dead owner's lock. Raises `Busy` if another process has just replaced it."""
        aside = self.path.with_name(f".lock.stale.{self.token}")
        if (found := _read(self.path)) == dead:
            try:
                os.rename(self.path, aside)
            except FileNotFoundError:
                return
            found = _read(aside)
            if found != dead and not self.path.exists():  # a new lock was created between the two calls: put it back
                os.rename(aside, self.path)
            else:
                aside.unlink()
        if found is not None and found != dead:
            raise Busy(f"{self.path.parent} is in use by {_name(_owner(found))}")


def _read(path: Path) -> bytes | None:
    """The contents of a lock file; None if it does not exist. Raises ValueError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _owner(data: bytes | None) -> Owner:
    """The owner that a lock names; empty if the lock is not readable."""
    try:
        owner = json.loads(data or b"")
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _name(owner: Owner) -> str:
    return f"process {owner.get('pid')} on {owner.get('host')}" if owner else "another process"
