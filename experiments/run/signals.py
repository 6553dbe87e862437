"""Detection of SIGINT and SIGTERM, so that a run can be saved before the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def listening() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT or SIGTERM has arrived; a second signal has its default effect.

    Only the main thread can handle signals; in another thread the function always returns False.
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
