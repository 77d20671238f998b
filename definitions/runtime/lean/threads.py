"""Threads that execute steps, and what becomes of them when nobody waits for their step any more.

A thread that executes user code cannot be ended. A step that exceeds its time, or whose run is cancelled, is abandoned: what it
still does is not recorded, and the worker process retires after the run, which ends the thread with it.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_abandoned: list[threading.Thread] = []


def has_abandoned_threads() -> bool:
    """Whether a thread of this process still executes a step that nobody waits for."""
    _abandoned[:] = [thread for thread in _abandoned if thread.is_alive()]
    return bool(_abandoned)


def call_within(seconds: float, function: Callable[[], T]) -> T:
    """What `function` gives, called in a thread of its own. After `seconds` the thread is abandoned, and TimeoutError raised."""
    answer: Future[T] = Future()
    context = copy_context()

    def work() -> None:
        try:
            answer.set_result(context.run(function))
        except BaseException as error:  # noqa: BLE001  # raised again where the answer is waited for
            answer.set_exception(error)

    thread = threading.Thread(target=work, name="step-within", daemon=True)
    thread.start()
    try:
        return answer.result(seconds)
    except BaseException:
        if not answer.done():  # its time is up, or whoever waits was interrupted
            _abandoned.append(thread)
        raise


class Permit:
    """Who may end a step: its thread, with a result, or the one who waits, without. The first to take it may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def take(self) -> bool:
        return self._lock.acquire(blocking=False)

    @property
    def taken(self) -> bool:
        return self._lock.locked()


class StepThreads:
    """Daemon threads, started when needed: a process does not wait for them when it ends."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def run(self, work: Callable[[], None]) -> None:
        """Have a thread call `work`, which must not raise."""
        if not self._idle.acquire(blocking=False):
            thread = threading.Thread(target=self._serve, name=f"step-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._work.put(work)

    def abandon(self, thread: threading.Thread) -> None:
        """Do not wait for what `thread` does. It ends when that does."""
        _abandoned.append(thread)

    def close(self) -> None:
        """Let the threads end when they have nothing to do."""
        for _ in self._threads:
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            self._idle.release()
