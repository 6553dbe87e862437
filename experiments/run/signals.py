"""Whether somebody has asked the process to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def listening() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGINT or SIGTERM has come; a second one acts as if nobody listened.

    Only the main thread can listen; in another one the function always says no.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    names, seen = (signal.SIGINT, signal.SIGTERM), []
    before = {name: signal.getsignal(name) for name in names}

    def restore() -> None:
        for name in names:
            signal.signal(name, before[name] or signal.SIG_DFL)

    def listen(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        restore()

    for name in names:
        signal.signal(name, listen)
    try:
        yield lambda: bool(seen)
    finally:
        restore()
