"""Bodies of requests that are read by middleware, and then by whoever answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message, Receive


async def body_of(receive: Receive) -> bytes:
    """All of it."""
    message = await receive()
    if not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        return whole
    parts = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


def given(body: bytes, receive: Receive) -> Receive:
    """A body that was read already; then whatever comes."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
