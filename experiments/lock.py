"""One process a run folder: a lock file that names its owner and shows that the owner lives.

On the owner's own host the process table says whether it lives; on another host only its heartbeat can.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from experiments import durable

BEAT = 5.0
"""Seconds between heartbeats."""
EXPIRY = 60.0
"""Seconds without a heartbeat after which the lock of another host is void."""


def boot_id() -> str:
    """What tells this boot of this kernel from another; empty where the system does not say."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def started(pid: int) -> str:
    """When a process began, in clock ticks since boot, so that a reused pid is not taken for its owner."""
    path = Path(f"/proc/{pid}/stat")
    try:
        return path.read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process of this number exists on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Busy(ValueError):  # noqa: N818 - a state of things, told to the user as it is
    """Another process owns the folder."""


class Lock:
    """A context manager that owns `folder/lock.json`. Entering raises `Busy` where another process does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock.json"
        self.token = secrets.token_hex(8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="prospect-lock", daemon=True)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._claim():
            self._remove_stale()
            if not self._claim():
                raise Busy(self._refusal(self._read()))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if self.held:
            self.path.unlink()

    @property
    def held(self) -> bool:
        """Whether the lock file is still ours (a host that slept may have lost it)."""
        owner = self._read()
        return owner is not None and owner.get("token") == self.token

    def _content(self) -> bytes:
        owner = {
            "host": socket.gethostname(), "pid": os.getpid(), "started": started(os.getpid()), "boot": boot_id(),
            "heartbeat": time.time(), "token": self.token,
        }  # fmt: skip
        return json.dumps(owner).encode()

    def _claim(self) -> bool:
        """A hard link appears with its contents and only where nothing is: nobody can see half a lock."""
        beside = self.path.with_name(f".lock.{self.token}")
        beside.write_bytes(self._content())
        try:
            os.link(beside, self.path)
        except FileExistsError:
            return False
        finally:
            beside.unlink()
        return True

    def _read(self) -> dict[str, Any] | None:
        try:
            owner = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return None
        return owner if isinstance(owner, dict) else None

    def _remove_stale(self) -> None:
        """Take the lock of a dead owner away. Raises `Busy` if the owner may live."""
        owner = self._read()
        if owner is not None and self._lives(owner):
            raise Busy(self._refusal(owner))
        aside = self.path.with_name(f".lock.stale.{self.token}")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return
        if owner is not None and json.loads(aside.read_bytes()).get("token") != owner.get("token"):
            os.rename(aside, self.path)  # somebody took the stale lock over between our look and our rename
            raise Busy(self._refusal(self._read()))
        aside.unlink()

    def _lives(self, owner: dict[str, Any]) -> bool:
        if owner.get("host") == socket.gethostname():
            pid = int(owner.get("pid", 0))
            return owner.get("boot") == boot_id() and alive(pid) and owner.get("started") == started(pid)
        return time.time() - float(owner.get("heartbeat", 0)) < EXPIRY

    def _refusal(self, owner: dict[str, Any] | None) -> str:
        who = f"process {owner.get('pid')} on {owner.get('host')}" if owner else "another process"
        return f"{self.path.parent} is in use by {who}"

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            if self.held:
                durable.write(self.path, self._content())
