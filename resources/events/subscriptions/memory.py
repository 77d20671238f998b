"""Subscriptions in this process's memory. Workers of one process share a `MemorySubscriptions` through `worker()`."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from resources.events.subscriptions.model import (
    DeadLetter,
    Lag,
    Lease,
    LetterStatus,
    PartitionStatus,
    Subscription,
    SubscriptionStatus,
    lease_lost,
    letter_settled,
    partitions_differ,
    unknown_letter,
    unknown_subscription,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import PoisonKey

_OPEN = {"failed", "retrying"}


class _Partition(msgspec.Struct):
    position: int
    attempts: int = 0
    claims: int = 0
    not_before: datetime | None = None
    error: str | None = None
    held: bool = False


class MemorySubscriptions:
    """All promises of the port but durability."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._lock = threading.RLock()
        self._defined: dict[str, Subscription] = {}
        self._paused: set[str] = set()
        self._partitions: dict[str, list[_Partition]] = {}
        self._letters: dict[int, DeadLetter] = {}
        self._tried: set[int] = set()

    def define(self, subscription: Subscription) -> None:
        with self._lock:
            known = self._defined.get(subscription.name)
            if known is not None and known.partitions != subscription.partitions:
                raise partitions_differ(known, subscription)
            self._defined[subscription.name] = subscription
            fresh = [_Partition(subscription.start_position) for _ in range(subscription.partitions)]
            self._partitions.setdefault(subscription.name, fresh)

    def status(self, name: str) -> SubscriptionStatus:
        with self._lock:
            subscription = self._get(name)
            partitions = tuple(
                PartitionStatus(number, part.position, part.attempts, part.error, part.not_before)
                for number, part in enumerate(self._partitions[name])
            )
            dead = sum(letter.subscription == name and letter.status in _OPEN for letter in self._letters.values())
            return SubscriptionStatus(subscription, name in self._paused, partitions, dead)

    def list(self) -> Sequence[SubscriptionStatus]:
        with self._lock:
            return [self.status(name) for name in sorted(self._defined)]

    def lag(self, name: str, *, now: datetime) -> Lag:
        status = self.status(name)
        subscription = status.subscription
        count, oldest, position = 0, None, status.position
        while page := self._events.read_all(
            after_position=position,
            types=subscription.types,
            stream_type=subscription.stream_type,
            tenant=subscription.tenant,
        ):
            for event in page:
                if event.position > status.partitions[subscription.partition_of(event.stream)].position:
                    count += 1
                    oldest = oldest or event.recorded_at
            position = page[-1].position
        return Lag(count, 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()))

    def pause(self, name: str) -> None:
        with self._lock:
            self._get(name)
            self._paused.add(name)

    def resume(self, name: str) -> None:
        with self._lock:
            self._get(name)
            self._paused.discard(name)

    def reset(self, name: str, *, position: int) -> None:
        with self._lock:
            self._get(name)
            for part in self._partitions[name]:
                part.position, part.attempts, part.claims, part.not_before, part.error = position, 0, 0, None, None

    def remove(self, name: str) -> None:
        with self._lock:
            self._defined.pop(name, None)
            self._partitions.pop(name, None)
            self._paused.discard(name)
            self._letters = {key: letter for key, letter in self._letters.items() if letter.subscription != name}

    def claim(self, name: str, *, head: int, now: datetime) -> Lease | None:
        with self._lock:
            subscription = self._get(name)
            if name in self._paused:
                return None
            for number, part in enumerate(self._partitions[name]):
                due = part.not_before is None or part.not_before <= now
                if not part.held and due and part.position < head:
                    part.held = True
                    part.claims += 1
                    return Lease(subscription, number, part.position, part.attempts, part.claims, part.not_before)
            return None

    def release(self, lease: Lease) -> None:
        with self._lock:
            parts = self._partitions.get(lease.subscription.name)
            if parts is not None:
                parts[lease.partition].held, parts[lease.partition].claims = False, 0

    def advance(self, lease: Lease, position: int) -> Lease:
        with self._lock:
            part = self._held(lease)
            part.position, part.attempts, part.claims, part.not_before, part.error = position, 0, 0, None, None
            return msgspec.structs.replace(lease, position=position, attempts=0, claims=0, not_before=None)

    def postpone(self, lease: Lease, *, error: str, not_before: datetime) -> Lease:
        with self._lock:
            part = self._held(lease)
            part.attempts, part.claims, part.not_before, part.error = lease.attempts + 1, 0, not_before, error
            return msgspec.structs.replace(lease, attempts=part.attempts, claims=0, not_before=not_before)

    def bury(self, lease: Lease, event: RecordedEvent, *, error: str, poison: bool) -> Lease:
        with self._lock:
            self._held(lease)
            now = datetime.now(UTC)
            known = [
                letter.id
                for letter in self._letters.values()
                if letter.subscription == lease.subscription.name and letter.position == event.position
            ]
            letter = DeadLetter(
                id=known[0] if known else len(self._letters) + 1,
                subscription=lease.subscription.name,
                tenant=event.tenant,
                position=event.position,
                event_id=event.event_id,
                stream=event.stream,
                type=event.type,
                attempts=lease.attempts + (not poison),
                error=error,
                poison=poison,
                status="failed",
                edited=None,
                failed_at=now,
                updated_at=now,
            )
            self._letters[letter.id] = letter
            return self.advance(lease, event.position)

    def forward(self, name: str, event: RecordedEvent, *, reason: str, replay_id: UUID | None = None) -> None:
        with self._lock:
            self._get(name)
            now = datetime.now(UTC)
            known = [
                letter
                for letter in self._letters.values()
                if letter.subscription == name and letter.position == event.position
            ]
            if known:
                if replay_id is not None:
                    self._letters[known[0].id] = msgspec.structs.replace(
                        known[0], status="retrying", error=reason, replay_id=replay_id, updated_at=now
                    )
                return
            number = len(self._letters) + 1
            self._letters[number] = DeadLetter(
                id=number,
                subscription=name,
                tenant=event.tenant,
                position=event.position,
                event_id=event.event_id,
                stream=event.stream,
                type=event.type,
                attempts=0,
                error=reason,
                poison=False,
                status="retrying",
                edited=None,
                failed_at=now,
                updated_at=now,
                replay_id=replay_id,
            )

    def poisoned(self, name: str) -> Collection[PoisonKey]:
        with self._lock:
            threshold = self._get(name).poison_after
            counts = Counter(
                (letter.tenant, letter.type, letter.stream)
                for letter in self._letters.values()
                if letter.subscription == name and letter.status in _OPEN
            )
            return {key for key, count in counts.items() if count >= threshold}

    def dead_letters(
        self,
        name: str,
        *,
        status: LetterStatus | None = None,
        after: int = 0,
        limit: int = 100,
        tenant: str | None = None,
    ) -> Sequence[DeadLetter]:
        with self._lock:
            found = [
                letter
                for letter in self._letters.values()
                if letter.subscription == name
                and letter.id > after
                and status in {None, letter.status}
                and tenant in {None, letter.tenant}
            ]
            return found[:limit]

    def retry(self, letter_id: int, *, data: Mapping[str, Any] | None = None) -> None:
        with self._lock:
            letter = self._open_letter(letter_id)
            edited = letter.edited if data is None else dict(data)
            self._letters[letter_id] = msgspec.structs.replace(letter, status="retrying", edited=edited)

    def discard(self, letter_id: int) -> None:
        with self._lock:
            letter = self._open_letter(letter_id)
            self._letters[letter_id] = msgspec.structs.replace(letter, status="discarded", updated_at=datetime.now(UTC))

    def claim_letter(self, name: str) -> DeadLetter | None:
        with self._lock:
            waiting = (
                found for found in self._letters.values() if (found.subscription, found.status) == (name, "retrying")
            )
            streams = set()
            for letter in sorted(waiting, key=lambda found: found.position):
                stream = (letter.tenant, letter.stream)
                if stream not in streams and letter.id not in self._tried:
                    self._tried.add(letter.id)
                    return letter
                streams.add(stream)
            return None

    def prune_letters(self, *, before: datetime) -> int:
        with self._lock:
            old = [
                found.id
                for found in self._letters.values()
                if found.status in {"resolved", "discarded"} and found.updated_at < before
            ]
            for letter_id in old:
                del self._letters[letter_id]
            return len(old)

    def settle(self, letter: DeadLetter, *, error: str | None) -> None:
        with self._lock:
            self._tried.discard(letter.id)
            self._letters[letter.id] = msgspec.structs.replace(
                letter,
                status="resolved" if error is None else "failed",
                error=letter.error if error is None else error,
                attempts=letter.attempts + 1,
                updated_at=datetime.now(UTC),
            )

    def _get(self, name: str) -> Subscription:
        if name not in self._defined:
            raise unknown_subscription(name)
        return self._defined[name]

    def _held(self, lease: Lease) -> _Partition:
        part = self._partitions[lease.subscription.name][lease.partition]
        if not part.held or part.position != lease.position:
            raise lease_lost(lease)
        return part

    def _open_letter(self, letter_id: int) -> DeadLetter:
        letter = self._letters.get(letter_id)
        if letter is None:
            raise unknown_letter(letter_id)
        if letter.status not in _OPEN:
            raise letter_settled(letter_id, letter.status)
        return letter
