"""Server-sent events with LF alone. Both line ends are right (HTML Standard, 9.2.6); urql and the gateway know only this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message, Send


def with_plain_lines(send: Send) -> Send:
    """What sends an answer, and ends the lines of events so."""
    events = False

    async def plain(message: Message) -> None:
        nonlocal events
        if message["type"] == "http.response.start":
            events = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in message["headers"]
            )
        elif events and message["type"] == "http.response.body":
            message = {**message, "body": message.get("body", b"").replace(b"\r\n", b"\n")}
        await send(message)

    return plain
