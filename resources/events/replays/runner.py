"""What a replay can be sent to on this platform, and the work itself.

    projection:NAME     the projection is built anew, beside the rows in use, from the first event on. A projection sees each
                        event exactly once, so there is no replaying a part of history to it.
    subscription:NAME   the events are handed to the subscription out of turn. What its workers do with them is an effect.

Whoever asks (`start`) only notes the request; a worker (`run_pending`) does it, goes on after it was killed, and stops when the
replay is cancelled.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from resources.errors import ConflictError, InvalidInputError, PlatformError, Problem
from resources.events.replays.model import ReplayPlan, ReplayRequest, Selection
from resources.events.replays.replayer import Replayer, Target
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.events.model import RecordedEvent
    from resources.events.projections.model import Progress, Projection
    from resources.events.projections.projector import Projector
    from resources.events.projections.store import ProjectionStore
    from resources.events.replays.model import ReplayStatus
    from resources.events.replays.store import ReplayStore
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore

log = get_logger(__name__)

_PROJECTION, _SUBSCRIPTION = "projection:", "subscription:"


class ReplayRunner:
    """Safe to share between threads."""

    def __init__(
        self,
        *,
        events: EventStore,
        replays: ReplayStore,
        subscriptions: SubscriptionStore,
        projector: Projector,
        rows: ProjectionStore,
        projections: Sequence[Projection],
    ) -> None:
        self._events = events
        self._replays = replays
        self._subscriptions = subscriptions
        self._projector = projector
        self._rows = rows
        self._projections = {projection.name: projection for projection in projections}

    def targets(self, *, tenant: str) -> list[str]:
        """The names that a tenant's replay may go to."""
        shared = [
            status.subscription.name
            for status in self._subscriptions.list()
            if status.subscription.tenant in {None, tenant}
        ]
        return [_PROJECTION + name for name in sorted(self._projections)] + [_SUBSCRIPTION + name for name in shared]

    def plan(self, request: ReplayRequest) -> ReplayPlan:
        """What the replay would do. Raises InvalidInputError."""
        projection = self._checked(request)
        if projection is not None:
            everything = Selection(types=tuple(sorted(projection.types)))
            request = msgspec.structs.replace(request, selection=everything)
        return self._replayer(request).plan(request)

    def start(self, request: ReplayRequest) -> ReplayStatus:
        """Note the replay, for a worker to do. Asking again with the same id changes nothing. Raises InvalidInputError."""
        if self._checked(request) is not None:
            return self._replays.begin(request, up_to=self._events.head(tenant=None))
        if not request.effects:
            message = "Handing events to a subscription has effects, and the replay was asked to have none."
            problem = Problem("effects", "is false", "ask for effects, or choose projections as targets")
            raise InvalidInputError(message, code="replay_without_targets", problems=(problem,))
        return self._replayer(request).begin(request)

    def get(self, replay_id: UUID, *, tenant: str) -> ReplayStatus:
        """How far a replay of the tenant is. Raises NotFoundError."""
        return self._replays.get(replay_id, tenant=tenant)

    def list(self, *, tenant: str, limit: int = 100) -> Sequence[ReplayStatus]:
        """The tenant's replays, newest first."""
        return self._replays.list(tenant=tenant, limit=limit)

    def cancel(self, replay_id: UUID, *, tenant: str) -> ReplayStatus:
        """End it after the batch at hand, wherever it runs. One that has ended stays as it is. Raises NotFoundError."""
        self._replays.get(replay_id, tenant=tenant)
        self._replays.finish(replay_id, "cancelled")
        return self._replays.get(replay_id)

    def run(self, replay_id: UUID, *, stop: threading.Event | None = None) -> ReplayStatus:
        """Do one replay, from where it stands; at most one process at a time does."""
        stop = stop or threading.Event()
        with self._replays.hold(replay_id) as mine:
            status = self._replays.get(replay_id)
            if not mine or status.state != "running":
                return status
            projection = self._checked(status.request)
            if projection is None:
                return self._replayer(status.request).run(status.request, stop=stop)
            return self._rebuild(status, projection, stop)

    def run_pending(self, stop: threading.Event, *, poll: float = 1.0, at_once: int = 4) -> None:
        """Do replays as they are asked for, until `stop` is set; up to `at_once` side by side."""
        running: dict[UUID, threading.Thread] = {}
        while not stop.is_set():
            running = {replay_id: thread for replay_id, thread in running.items() if thread.is_alive()}
            try:
                waiting = [status.request.id for status in self._replays.list(state="running")][::-1]
            except PlatformError as error:
                log.warning("events.replays_wait", error=str(error))
                waiting = []
            for replay_id in waiting:
                if replay_id not in running and len(running) < at_once:
                    work = partial(self._run_quietly, replay_id, stop)
                    running[replay_id] = threading.Thread(target=work, name=f"replay-{replay_id}", daemon=True)
                    running[replay_id].start()
            stop.wait(poll)
        for thread in running.values():
            thread.join(timeout=10.0)

    def _run_quietly(self, replay_id: UUID, stop: threading.Event) -> None:
        try:
            status = self.run(replay_id, stop=stop)
            log.info("events.replay_ended", replay=str(replay_id), state=status.state, events=status.events)
        except PlatformError as error:
            log.warning("events.replay_failed", replay=str(replay_id), error=str(error))
            if not error.retryable:
                self._replays.finish(replay_id, "failed", error=str(error))

    def _rebuild(self, status: ReplayStatus, projection: Projection, stop: threading.Event) -> ReplayStatus:
        replay_id, rate, started = status.request.id, status.request.rate, time.monotonic()
        applied = 0

        def follow(progress: Progress) -> None:
            nonlocal applied
            state = self._replays.advance(replay_id, position=progress.position, events=progress.events - applied)
            applied = progress.events
            if state != "running":
                self._rows.cancel_rebuild(projection.name)
            elif rate is not None:
                stop.wait(max(0.0, started + progress.events / rate - time.monotonic()))
            if stop.is_set():
                raise _StoppedError

        try:
            self._projector.rebuild(projection, progress=follow)
        except _StoppedError:
            return self._replays.get(replay_id)
        except ConflictError as error:
            self._replays.finish(replay_id, "cancelled", error=str(error))
        except PlatformError as error:
            if error.retryable:
                raise
            self._replays.finish(replay_id, "failed", error=str(error))
        else:
            self._replays.finish(replay_id, "completed")
        return self._replays.get(replay_id)

    def _checked(self, request: ReplayRequest) -> Projection | None:
        """The projection that the replay is for, if it is for one. Raises InvalidInputError."""
        names = [name for name in request.targets if name.startswith(_PROJECTION)]
        if not names:
            return None
        problems = []
        if len(request.targets) > 1:
            problems.append(Problem("targets", "name a projection and something else", "ask for one replay each"))
        selection = request.selection
        if selection != Selection(tenant=selection.tenant):
            hint = "a projection sees each event exactly once, so only all of history can be replayed to it"
            problems.append(Problem("selection", "is a part of history", hint))
        found = self._projections.get(names[0].removeprefix(_PROJECTION))
        if found is None:
            problems.append(
                Problem("targets", f"unknown target {names[0]!r}", f"known: {', '.join(self._projections)}")
            )
        if problems:
            raise InvalidInputError(
                f"Cannot replay to {names[0]!r}: {'; '.join(map(str, problems))}.", problems=tuple(problems)
            )
        return found

    def _replayer(self, request: ReplayRequest) -> Replayer:
        tenant = request.selection.tenant
        names = self.targets(tenant=tenant or "")
        return Replayer(
            self._events,
            self._replays,
            {
                name: Target(partial(self._hand_over, name.partition(":")[2]), effects=name.startswith(_SUBSCRIPTION))
                for name in names
            },
        )

    def _hand_over(self, name: str, event: RecordedEvent) -> None:
        assert event.replay_id is not None
        reason = f"Asked for by the replay {event.replay_id}."
        self._subscriptions.forward(name, event, reason=reason, replay_id=UUID(event.replay_id))


class _StoppedError(Exception):
    """The process is to end; the replay goes on in the next one."""
