"""What a subscription is, where it stands, and what it could not digest."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from resources.errors import ConflictError, NotFoundError
from resources.events.model import RecordedEvent, StreamId

LetterStatus = Literal["failed", "retrying", "resolved", "discarded"]


class Subscription(msgspec.Struct, frozen=True, omit_defaults=True):
    """A definition. `tenant` None = all tenants; `types` None = all types.

    An event is tried `max_attempts` times, `backoff` seconds after the first failure, twice that after the second and so
    on up to `backoff_max`; then it becomes a dead letter. When `poison_after` events of one type and stream have become
    dead letters, further ones join them untried. `partitions` bounds how many workers can share the work.
    """

    name: str
    tenant: str | None = None
    types: tuple[str, ...] | None = None
    stream_type: str | None = None
    start_position: int = 0
    partitions: int = 4
    batch: int = 100
    max_attempts: int = 4
    max_crashes: int = 3
    backoff: float = 0.5
    backoff_max: float = 60.0
    poison_after: int = 10

    def partition_of(self, stream: StreamId) -> int:
        """The share that a stream belongs to."""
        return zlib.crc32(f"{stream.type}/{stream.id}".encode()) % self.partitions

    def delay(self, attempts: int) -> float:
        """Seconds to wait after so many failed attempts."""
        return min(self.backoff_max, self.backoff * 2.0 ** (attempts - 1))


class Lease(msgspec.Struct, frozen=True):
    """The right to deliver one partition, for as long as the worker lives.

    `attempts` counts failures of the next event, `claims` how often a worker took the partition without getting anywhere.
    """

    subscription: Subscription
    partition: int
    position: int
    attempts: int
    claims: int
    not_before: datetime | None


class PartitionStatus(msgspec.Struct, frozen=True):
    """Where one partition stands: everything up to `position` is done."""

    partition: int
    position: int
    attempts: int
    error: str | None
    not_before: datetime | None


class SubscriptionStatus(msgspec.Struct, frozen=True):
    """Where a subscription stands."""

    subscription: Subscription
    paused: bool
    partitions: tuple[PartitionStatus, ...]
    dead_letters: int

    @property
    def position(self) -> int:
        """Up to here everything is done."""
        return min(partition.position for partition in self.partitions)


class Lag(msgspec.Struct, frozen=True):
    """How far behind: events still to be delivered, and the age of the oldest in seconds."""

    events: int
    seconds: float


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a subscription gave up on, or that was handed to it out of turn.

    `edited` replaces the data when it is tried again; the fact stays. `replay_id` is that of the replay which asked for it.
    """

    id: int
    subscription: str
    tenant: str
    position: int
    event_id: UUID
    stream: StreamId
    type: str
    attempts: int
    error: str
    poison: bool
    status: LetterStatus
    edited: Mapping[str, Any] | None
    failed_at: datetime
    updated_at: datetime
    replay_id: UUID | None = None

    def as_delivered(self, event: RecordedEvent) -> RecordedEvent:
        """The event as it is tried again."""
        data = event.data if self.edited is None else self.edited
        replay_id = event.replay_id if self.replay_id is None else str(self.replay_id)
        return msgspec.structs.replace(event, data=data, replay_id=replay_id)


def unknown_subscription(name: str) -> NotFoundError:
    """No subscription has this name."""
    return NotFoundError(f"There is no subscription {name!r}.")


def unknown_letter(letter_id: int) -> NotFoundError:
    """No dead letter has this id."""
    return NotFoundError(f"There is no dead letter {letter_id}.")


def letter_settled(letter_id: int, status: str) -> ConflictError:
    """The letter is resolved or discarded."""
    return ConflictError(f"The dead letter {letter_id} is {status} already.", code="dead_letter_settled")


def lease_lost(lease: Lease) -> ConflictError:
    """Another worker has the partition, or it was reset."""
    return ConflictError(
        f"Partition {lease.partition} of {lease.subscription.name!r} has moved on without this worker.",
        code="lease_lost",
    )


def partitions_differ(known: Subscription, wanted: Subscription) -> ConflictError:
    """The number of partitions cannot change."""
    return ConflictError(
        f"The subscription {known.name!r} has {known.partitions} partitions, not {wanted.partitions}: "
        "its streams would move between checkpoints. Use another name.",
        code="subscription_partitions",
    )
