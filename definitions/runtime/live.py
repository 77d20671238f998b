"""What this process knows about the runs that it executes, while it executes them.

Steps find it by the id of their run. Where nobody has opened a run (a stock executor's own process, a test), the answer is one
that tells nobody anything: the sensors make up for it when the run has ended.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

KEPT = 64


class Listener(Protocol):
    """Whom the steps of a run tell what happens."""

    def node_started(self, key: str, type: str, *, attempt: int, given: Any) -> None: ...
    def node_completed(
        self, key: str, type: str, *, attempt: int, given: Any, seconds: float, inner: bool = False
    ) -> None: ...
    def node_failed(self, key: str, *, attempt: int, error: str) -> None: ...
    def outputs(self, values: Any) -> None: ...
    def emit(self, key: str, progress: Mapping[str, Any]) -> None: ...


@dataclass(slots=True)
class LiveRun:
    """One run. `cancel` is set when it is to end; `inputs` are kept, by job, once they were checked.

    `told_within` counts the nodes in bodies of loops that were told of, as a loop may have more of them than anybody reads.
    """

    run_id: str
    listener: Listener | None = None
    inputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    told_within: int = 0
    cancel: threading.Event = field(default_factory=threading.Event)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def node_started(self, key: str, type: str, *, attempt: int, given: Any) -> None:
        if self.listener is not None:
            self.listener.node_started(key, type, attempt=attempt, given=given)

    def node_completed(
        self, key: str, type: str, *, attempt: int, given: Any, seconds: float, inner: bool = False
    ) -> None:
        if self.listener is not None:
            self.listener.node_completed(key, type, attempt=attempt, given=given, seconds=seconds, inner=inner)

    def node_failed(self, key: str, *, attempt: int, error: str) -> None:
        if self.listener is not None:
            self.listener.node_failed(key, attempt=attempt, error=error)

    def outputs(self, values: Any) -> None:
        if self.listener is not None:
            self.listener.outputs(values)

    def emitter(self, key: str) -> Callable[[Mapping[str, Any]], None]:
        """The function with which the node `key` tells about output in progress."""
        listener = self.listener
        return _nobody if listener is None else lambda progress: listener.emit(key, progress)


_runs: OrderedDict[str, LiveRun] = OrderedDict()
_lock = threading.Lock()


def live_run(run_id: str) -> LiveRun:
    """The run of this id, now or from now on."""
    run = _runs.get(run_id)
    if run is None:
        with _lock:
            run = _runs.setdefault(run_id, LiveRun(run_id))
            while len(_runs) > KEPT:
                _runs.popitem(last=False)
    return run


@contextmanager
def executing(run_id: str, listener: Listener | None) -> Iterator[LiveRun]:
    """While the block executes the run, its steps tell `listener`. Afterwards, whatever of it still goes on is cancelled."""
    run = LiveRun(run_id, listener)
    with _lock:
        _runs[run_id] = run
    try:
        yield run
    finally:
        run.cancel.set()
        with _lock:
            _runs.pop(run_id, None)


def _nobody(_: Mapping[str, Any]) -> None:
    return
