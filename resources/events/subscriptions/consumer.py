"""A worker of a subscription. Any number of them share its partitions; each stream's events come in order, at least once.

The checkpoint follows the effect, so a worker that dies between the two makes the next one deliver those events again: what a
`deliver` function does must be safe to repeat (the event id is the key). A worker that dies *because of* an event is noticed
too: the partition was claimed again and again and got nowhere, so events are delivered one by one, and the one that keeps
killing becomes a dead letter.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from resources.errors import ConflictError, UnavailableError
from resources.telemetry.correlation import correlated
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.events.subscriptions.model import Lease
    from resources.events.subscriptions.store import PoisonKey, SubscriptionStore

    Deliver = Callable[[RecordedEvent], None]

log = get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Consumer:
    """Delivers the events of one subscription to `deliver`, in the thread that calls `run` or `run_once`."""

    def __init__(
        self,
        name: str,
        *,
        events: EventStore,
        subscriptions: SubscriptionStore,
        deliver: Deliver,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._name = name
        self._events = events
        self._subscriptions = subscriptions
        self._deliver = deliver
        self._now = now

    def run(self, stop: threading.Event, *, poll: float = 1.0) -> None:
        """Deliver until `stop` is set; waits for new events in between."""
        appended = threading.Event()
        cancel = self._events.watch(appended.set)
        try:
            while not stop.is_set():
                appended.clear()
                try:
                    delivered = self.run_once(stop)
                except UnavailableError as error:
                    log.warning("events.consumer_waits", subscription=self._name, error=str(error))
                    stop.wait(poll)
                    continue
                if not delivered:
                    appended.wait(poll)
        finally:
            cancel()

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Deliver what is due in all partitions that are free, and the letters to be tried again; returns how many."""
        delivered = self._retry_letters()
        tenant = self._subscriptions.status(self._name).subscription.tenant
        head = self._events.head(tenant=tenant)
        while (lease := self._subscriptions.claim(self._name, head=head, now=self._now())) is not None:
            try:
                delivered += self._deliver_batch(lease, head, stop)
            except ConflictError as error:  # somebody reset the subscription, or the lease went with its connection
                log.info("events.lease_lost", subscription=self._name, partition=lease.partition, reason=str(error))
                break
            finally:
                self._subscriptions.release(lease)
            if stop is not None and stop.is_set():
                break
        return delivered

    def _deliver_batch(self, lease: Lease, head: int, stop: threading.Event | None) -> int:
        subscription = lease.subscription
        careful = lease.claims > 1
        page = self._events.read_all(
            after_position=lease.position,
            types=subscription.types,
            stream_type=subscription.stream_type,
            limit=subscription.batch,
            tenant=subscription.tenant,
        )
        end = page[-1].position if len(page) == subscription.batch else max(head, page[-1].position if page else 0)
        poisoned = self._subscriptions.poisoned(subscription.name)
        done, delivered = lease.position, 0
        for event in page:
            if subscription.partition_of(event.stream) != lease.partition:
                continue
            if stop is not None and stop.is_set():
                end = done
                break
            error = self._refusal(lease, event, poisoned, careful=careful and delivered == 0)
            poison = error is not None
            if error is None:
                error = self._attempt(event)
            if error is not None:
                lease = self._advance(lease, done)
                if not poison and lease.attempts + 1 < subscription.max_attempts:
                    until = self._now() + timedelta(seconds=subscription.delay(lease.attempts + 1))
                    self._subscriptions.postpone(lease, error=error, not_before=until)
                    return delivered
                log.error("events.dead_letter", subscription=self._name, position=event.position, error=error)
                lease = self._subscriptions.bury(lease, event, error=error, poison=poison)
                poisoned = self._subscriptions.poisoned(subscription.name)
            done, delivered = event.position, delivered + 1
            if careful:
                lease = self._advance(lease, done)
        self._advance(lease, end)
        return delivered

    def _refusal(
        self, lease: Lease, event: RecordedEvent, poisoned: Collection[PoisonKey], *, careful: bool
    ) -> str | None:
        """Why the event is not even tried, or None."""
        if careful and lease.claims > lease.subscription.max_crashes:
            return f"It ended {lease.claims - 1} workers."
        if (event.tenant, event.type, event.stream) in poisoned:
            return "Too many events of this type and stream have failed before."
        return None

    def _attempt(self, event: RecordedEvent) -> str | None:
        """Deliver; the error in words, or None."""
        try:
            with correlated(event.metadata.correlation_id):
                self._deliver(event)
        except Exception as error:  # noqa: BLE001  # whatever the subscriber raises, it is the event that failed
            log.warning("events.delivery_failed", subscription=self._name, position=event.position, error=repr(error))
            return f"{type(error).__name__}: {error}"
        return None

    def _advance(self, lease: Lease, position: int) -> Lease:
        return lease if position <= lease.position else self._subscriptions.advance(lease, position)

    def _retry_letters(self) -> int:
        count = 0
        while (letter := self._subscriptions.claim_letter(self._name)) is not None:
            found = self._events.find([letter.event_id], tenant=letter.tenant)
            self._subscriptions.settle(letter, error=self._attempt(letter.as_delivered(found[0])))
            count += 1
        return count
