"""Publishing: check, route, store. From any process: a worker, a sensor, the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from resources.realtime.model import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.realtime.model import Message, NewMessage
    from resources.realtime.rules.model import Router
    from resources.realtime.store import MessageStore


class Publisher:
    """Safe to share between threads."""

    def __init__(self, messages: MessageStore, router: Router) -> None:
        self.messages = messages
        self.router = router

    def publish(self, message: NewMessage, *, tenant: str) -> Message:
        """Store the message and wake all who wait for it. Storing an id twice is storing it once.

        Raises InvalidInputError, LimitExceededError (too large, or a rule's rate), UnavailableError.
        """
        return self.messages.publish([self.prepare(message, tenant=tenant)], tenant=tenant)[0]

    def publish_all(self, messages: Sequence[NewMessage], *, tenant: str) -> Sequence[Message]:
        """Store several at once: all or none."""
        return self.messages.publish([self.prepare(message, tenant=tenant) for message in messages], tenant=tenant)

    def prepare(self, message: NewMessage, *, tenant: str) -> NewMessage:
        """The message as it is to be stored: checked, and routed by the tenant's rules. Direct messages are not routed."""
        message = checked(message)
        if message.targets:
            return message
        return checked(self.router.route(message, tenant=tenant))


def without_duplicates(messages: Sequence[NewMessage]) -> list[NewMessage]:
    """The first of each id."""
    return list({message.message_id: message for message in reversed(messages)}.values())[::-1]


def as_stored(message: NewMessage, **fields: object) -> dict[str, object]:
    """The fields of a message, with further ones."""
    return {**msgspec.structs.asdict(message), **fields}
