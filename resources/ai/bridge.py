"""One event loop on a thread of its own, for code that is not asynchronous: Dagster's ops, scripts.

It belongs to the process that started it. A forked child starts another, as threads do not survive a fork.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_Result = TypeVar("_Result")

_starting = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run it on this process's loop and wait. Interrupted (Ctrl-C, a raise in another place), it cancels the work."""
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def start(work: Coroutine[Any, Any, object]) -> None:
    """Run it on this process's loop, and wait for nothing."""
    asyncio.run_coroutine_threadsafe(work, _loop())


def _loop() -> asyncio.AbstractEventLoop:
    pid = os.getpid()
    if (loop := _loops.get(pid)) is not None:
        return loop
    with _starting:
        if pid not in _loops:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="ai-loop", daemon=True).start()
            _loops[pid] = loop
        return _loops[pid]


def _after_fork() -> None:
    global _starting  # noqa: PLW0603  # another thread of the parent may have held it
    _starting = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
