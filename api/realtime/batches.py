"""What many connections want of the database, done for all of them at once: the functions of the hub's batchers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from resources.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from resources.realtime.model import DeliveryStatus, Message, NewMessage
    from resources.realtime.presence.model import Device, Joined
    from resources.realtime.publisher import Publisher
    from resources.realtime.store import PresenceStore


class Batches:
    """They run in threads. One answer, or error, for each of what is given."""

    def __init__(self, publisher: Publisher, presence: PresenceStore) -> None:
        self._publisher = publisher
        self._presence = presence

    def publish(self, tenant: str, batch: list[NewMessage]) -> Sequence[Message | Exception]:
        """Store messages; for each what was stored, or why not."""
        answers: list[Any] = []
        prepared: list[NewMessage] = []
        for message in batch:
            try:
                prepared.append(self._publisher.prepare(message, tenant=tenant))
                answers.append(None)
            except PlatformError as error:
                answers.append(error)
        stored = iter(self._publisher.messages.publish(prepared, tenant=tenant))
        return [next(stored) if answer is None else answer for answer in answers]

    def join(self, _: str, devices: list[Device]) -> Sequence[Joined | Exception]:
        """Add devices."""
        return self._presence.join(devices)

    def leave(self, _: str, ids: list[str]) -> Sequence[None]:
        """Remove devices."""
        self._presence.leave(ids)
        return [None] * len(ids)

    def confirm(self, tenant: str, confirmations: list[tuple[UUID, str, DeliveryStatus]]) -> Sequence[None]:
        """Note what became of messages."""
        self._publisher.messages.confirm(confirmations, tenant=tenant)
        return [None] * len(confirmations)

    def mail(self, tenant: str, users: list[str]) -> Sequence[list[Message]]:
        """What was sent to each of the users, and not delivered yet."""
        waiting: dict[str, list[Message]] = {user: [] for user in users}
        for user, message in self._publisher.messages.undelivered(set(users), tenant=tenant, now=datetime.now(UTC)):
            waiting[user].append(message)
        return [waiting[user] for user in users]
