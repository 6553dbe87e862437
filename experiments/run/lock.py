"""One process a run folder: a lock file that names its owner and whose heartbeat shows that the owner lives.

The heartbeat is a count. Whoever finds a lock looks at it for a while, by its own monotonic clock: a count that changes
is that of a live owner, one that stands still for `EXPIRY` seconds that of a dead one. The clocks of two machines are
never compared. The process table is asked only where it is certain to speak of the owner: in the same boot of the same
kernel and in the same PID namespace. It then answers at once.
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
"""Seconds without a change after which a lock is void."""
LOOK = 0.5
"""Seconds between two looks at another's lock."""
Owner = dict[str, Any]


def boot_id() -> str:
    """What tells this boot of this kernel from another; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def namespace() -> str:
    """What tells this process table from another; empty where the system does not say, or /proc shows another one."""
    try:
        return os.readlink("/proc/self/ns/pid") if os.readlink("/proc/self") == str(os.getpid()) else ""
    except OSError:
        return ""


def started(pid: int) -> str:
    """When a process began, in clock ticks since boot, so that a reused pid is not taken for its owner."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process of this number exists in this process table."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def this_process() -> Owner:
    """This process as an owner."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(), "pid": pid, "started": started(pid), "boot": boot_id(), "namespace": namespace(),
    }  # fmt: skip


def verdict(owner: Owner, me: Owner) -> bool | None:
    """Whether the owner lives, where the process table is certain to know; None where only its heartbeat can tell."""
    pid, same = owner.get("pid"), all(me[name] and owner.get(name) == me[name] for name in ("boot", "namespace"))
    if not same or not isinstance(pid, int) or not 0 < pid < 2**31:
        return None
    if not alive(pid):
        return False
    begun = started(pid)
    return begun == owner.get("started") if begun else None


def say(line: str) -> None:
    """Tell the user, while nothing else can be shown yet."""
    sys.stderr.write(f"prospect: {line}\n")
    sys.stderr.flush()


class Busy(ValueError):  # noqa: N818 - a state of things, told to the user as it is
    """Another process owns the folder."""


class Lock:
    """A context manager that owns `folder/lock.json`. Entering raises `Busy` where another process does.

    Entering may take `EXPIRY` seconds, and says so, where only the heartbeat can tell whether the owner lives.
    """

    def __init__(
        self, folder: Path, *, me: Owner | None = None, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep, tell: Callable[[str], None] = say,
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
            if (dead := self._dead()) is not None:
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
        """Whether the lock file is still ours (a host that slept may have lost it)."""
        return _owner(_read(self.path)).get("token") == self.token

    # --- our own lock --------------------------------------------------------------------------------

    def _claim(self) -> bool:
        """Make the file where there is none. Needs no hard links, and nobody takes a half written one for a dead one.

        It stays open, and heartbeats are written into it: one that comes late cannot overwrite another owner's lock.
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
        """Show that we live. The length stays the same, so that this needs no room on a disk."""
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
                continue  # a full or absent disk may come back, and the next beat with it

    # --- another's -----------------------------------------------------------------------------------

    def _dead(self) -> bytes | None:
        """The contents of the lock that is in the way, once its owner is dead. Raises `Busy` if the owner lives."""
        first, begun, told = _read(self.path), self._clock(), False
        while (now := _read(self.path)) is not None:
            owner = _owner(now)
            lives = verdict(owner, self._me)
            if lives or now != first:
                raise Busy(f"{self.path.parent} is in use by {_name(owner)}")
            if lives is False or self._clock() - begun >= EXPIRY:
                return now
            if not told:
                self._tell(f"{self.path.parent}: waits up to {EXPIRY:g} s to see whether {_name(owner)} lives")
                told = True
            self._sleep(LOOK)
        return None

    def _remove(self, dead: bytes) -> None:
        """Take a dead owner's lock away. Raises `Busy` where somebody else has just taken its place."""
        aside = self.path.with_name(f".lock.stale.{self.token}")
        if (found := _read(self.path)) == dead:
            try:
                os.rename(self.path, aside)
            except FileNotFoundError:
                return
            found = _read(aside)
            if found != dead and not self.path.exists():  # it came between the two calls, and nobody after it
                os.rename(aside, self.path)
            else:
                aside.unlink()
        if found is not None and found != dead:
            raise Busy(f"{self.path.parent} is in use by {_name(_owner(found))}")


def _read(path: Path) -> bytes | None:
    """The contents of a lock; None where there is none. Raises ValueError where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _owner(data: bytes | None) -> Owner:
    """Who a lock names; nobody where it is not readable."""
    try:
        owner = json.loads(data or b"")
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _name(owner: Owner) -> str:
    return f"process {owner.get('pid')} on {owner.get('host')}" if owner else "another process"
