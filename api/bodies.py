"""Bodies of requests that are read by middleware, and then by whoever answers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from anyio import to_thread

from resources.content.spool import IN_MEMORY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import Message, Receive

_PIECE = 256 * 1024


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


@asynccontextmanager
async def held(receive: Receive, told: Callable[[bytes], object]) -> AsyncIterator[Receive]:
    """A body that is read to its end, told part by part, and given again; more than a megabyte of it waits on disk."""
    message = await receive()
    part: bytes = message.get("body", b"")
    told(part)
    if not message.get("more_body", False):
        yield given(part, receive)
        return
    with SpooledTemporaryFile(IN_MEMORY) as file:
        size = len(part)
        file.write(part)
        while message.get("more_body", False):
            message = await receive()
            part = message.get("body", b"")
            told(part)
            size += len(part)
            if size > IN_MEMORY:
                await to_thread.run_sync(file.write, part)
            else:
                file.write(part)
        file.seek(0)
        left = size

        async def again() -> Message:
            nonlocal left
            if left < 0:
                return await receive()
            piece = await to_thread.run_sync(file.read, _PIECE) if size > IN_MEMORY else file.read(_PIECE)
            left -= len(piece)
            if left == 0:
                left = -1
                return {"type": "http.request", "body": piece, "more_body": False}
            return {"type": "http.request", "body": piece, "more_body": True}

        yield again
