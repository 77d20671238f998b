"""The largest body that is read, by counting what arrives (a declared length can be absent or a lie), and the slowest."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from api import problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


PATIENCE = 30.0
"""Seconds between two parts of a body."""


class BodyLimitMiddleware:
    """Answers 413 to bodies of more than `limit` bytes; `limits` gives single paths one of their own.

    408 to a body of which nothing comes for a while.

    A declared length is refused before anything is read. A body without one is refused as soon as too much of it has
    arrived; the exception travels through whoever was reading.
    """

    def __init__(self, app: ASGIApp, *, limit: int, limits: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], self._limit)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            problem = problems.document(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "CONTENT_TOO_LARGE",
                _message(limit),
                instance=scope["path"],
                details={"limit_bytes": limit, "size_bytes": int(declared)},
            )
            await problems.response(problem)(scope, receive, send)
            return
        read, complete = 0, False

        async def counting_receive() -> Message:
            nonlocal read, complete
            if complete:  # what is awaited now is that the client goes away
                return await receive()
            try:
                async with asyncio.timeout(PATIENCE):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The body does not arrive.") from None
            complete = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _message(limit))
            return message

        await self._app(scope, counting_receive, send)


def _message(limit: int) -> str:
    return f"The body is larger than the {limit} bytes that are accepted here. Send less, or split it."
