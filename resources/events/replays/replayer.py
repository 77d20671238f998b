"""Replays events to targets: handlers by name, each marked as acting on the world or not.

A replayed event is the stored one with `replay_id` set. Progress is noted after each batch, so a replay that was killed goes on
(`run` again with the same request or id) and delivers at most one batch twice.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from resources.errors import InvalidInputError, Problem
from resources.events.projections.model import Progress
from resources.events.replays.model import ReplayPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from resources.events.model import RecordedEvent
    from resources.events.replays.model import ReplayRequest, ReplayStatus, Selection
    from resources.events.replays.store import ReplayStore
    from resources.events.store import EventStore

_BATCH = 1000


class Target(NamedTuple):
    """Where replayed events may go. `effects`: delivering to it does something beyond read models."""

    deliver: Callable[[RecordedEvent], None]
    effects: bool


class Replayer:
    """Replays to the given targets."""

    def __init__(
        self, events: EventStore, replays: ReplayStore, targets: Mapping[str, Target], *, batch: int = _BATCH
    ) -> None:
        """Progress is noted after `batch` events, and so many at most are delivered twice after a kill."""
        self._batch = batch
        self._events = events
        self._replays = replays
        self._targets = targets

    def plan(self, request: ReplayRequest) -> ReplayPlan:
        """What `run` would do. Delivers nothing. Raises InvalidInputError for unknown targets."""
        chosen = self._chosen(request)
        counts: Counter[str] = Counter()
        for page in self._pages(request.selection, request.selection.after_position, self._end(request.selection)):
            counts.update(event.type for event in page)
        total = counts.total()
        left_out = tuple(name for name in request.targets if name not in chosen)
        seconds = None if request.rate is None else total / request.rate
        return ReplayPlan(total, dict(sorted(counts.items())), tuple(chosen), left_out, seconds)

    def begin(self, request: ReplayRequest) -> ReplayStatus:
        """Note the replay without doing it. Raises InvalidInputError for unknown targets."""
        self._chosen(request)
        return self._replays.begin(request, up_to=self._end(request.selection))

    def run(
        self,
        request: ReplayRequest,
        *,
        progress: Callable[[Progress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> ReplayStatus:
        """Deliver until done, cancelled (`cancel`) or `stop` is set; returns where it stands then.

        Raises InvalidInputError for unknown targets, and what a target raises: the replay is then `failed` and can be
        begun anew, with another id, behind the position that its status tells.
        """
        chosen = self._chosen(request)
        status = self.begin(request)
        if status.state != "running":
            return status
        stop = stop or threading.Event()
        pace, started, delivered = _Pace(request.rate, stop), time.monotonic(), 0
        replay_id = str(request.id)
        for page in self._pages(request.selection, status.position, status.up_to):
            done = 0
            for event in page:
                if not pace.wait():
                    break
                marked = msgspec.structs.replace(event, replay_id=replay_id)
                try:
                    for target in chosen.values():
                        target.deliver(marked)
                except Exception as error:
                    self._replays.advance(request.id, position=_before(page, done, status), events=done)
                    self._replays.finish(request.id, "failed", error=f"{type(error).__name__}: {error}")
                    raise
                done += 1
            delivered += done
            position = _before(page, done, status)
            state = self._replays.advance(request.id, position=position, events=done)
            status = msgspec.structs.replace(status, position=position)
            if progress is not None:
                progress(Progress(position, status.up_to, delivered, time.monotonic() - started))
            if state != "running" or stop.is_set():
                return self._replays.get(request.id)
        self._replays.finish(request.id, "completed")
        return self._replays.get(request.id)

    def cancel(self, request: ReplayRequest) -> None:
        """End it after the batch at hand, wherever it runs."""
        self._replays.finish(request.id, "cancelled")

    def _chosen(self, request: ReplayRequest) -> dict[str, Target]:
        unknown = [name for name in request.targets if name not in self._targets]
        if unknown or not request.targets:
            known = ", ".join(sorted(self._targets)) or "none"
            problems = tuple(Problem("targets", f"unknown target {name!r}", f"known: {known}") for name in unknown)
            raise InvalidInputError(
                f"Cannot replay to {', '.join(unknown) or 'no target at all'}. Known targets: {known}.",
                problems=problems,
            )
        selection = request.selection
        if selection.tenant is None and (selection.stream is not None or selection.correlation_id is not None):
            problem = Problem("selection.tenant", "is missing", "a stream and a story belong to a tenant")
            raise InvalidInputError("Cannot replay a stream or a story of no tenant.", problems=(problem,))
        targets = {name: self._targets[name] for name in request.targets}
        return {name: target for name, target in targets.items() if request.effects or not target.effects}

    def _end(self, selection: Selection) -> int:
        head = self._events.head(tenant=selection.tenant)
        return head if selection.up_to_position is None else min(head, selection.up_to_position)

    def _pages(self, selection: Selection, position: int, up_to: int) -> Iterator[list[RecordedEvent]]:
        for page in self._found(selection, position, up_to):
            wanted = [
                event
                for event in page
                if position < event.position <= up_to
                and (selection.types is None or event.type in selection.types)
                and (selection.stream is None or event.stream == selection.stream)
            ]
            if wanted:
                yield wanted

    def _found(self, selection: Selection, position: int, up_to: int) -> Iterator[Sequence[RecordedEvent]]:
        events, tenant, version = self._events, selection.tenant, 0
        while True:
            if selection.stream is not None and tenant is not None:
                page = events.read_stream(
                    selection.stream, after_version=version, up_to_position=up_to, limit=self._batch, tenant=tenant
                )
            elif selection.correlation_id is not None and tenant is not None:
                story = selection.correlation_id
                page = events.read_correlation(story, after_position=position, limit=self._batch, tenant=tenant)
            else:
                page = events.read_all(
                    after_position=position,
                    up_to_position=up_to,
                    types=selection.types,
                    limit=self._batch,
                    tenant=tenant,
                )
            if not page:
                return
            yield page
            position, version = page[-1].position, page[-1].version


class _Pace:
    """Lets so many events a second pass."""

    def __init__(self, rate: float | None, stop: threading.Event) -> None:
        self._interval = None if rate is None else 1.0 / rate
        self._stop = stop
        self._next = time.monotonic()

    def wait(self) -> bool:
        """Wait for the next event's turn; False when it is time to stop."""
        if self._interval is not None:
            self._stop.wait(max(0.0, self._next - time.monotonic()))
            self._next = max(self._next, time.monotonic() - 1.0) + self._interval
        return not self._stop.is_set()


def _before(page: Sequence[RecordedEvent], done: int, status: ReplayStatus) -> int:
    return page[done - 1].position if done else status.position
