"""The largest body that is read, by counting what arrives (a declared length can be absent or a lie), and the slowest."""

from __future__ import annotations

import asyncio
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from api import problems
from api.middleware.exchange import exchange_of
from resources.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


PATIENCE = 30.0
"""Seconds between two parts of a body, and for all of it before it must have come at `SLOWEST`."""

SLOWEST = 4096
"""Bytes a second. A body that comes a byte at a time holds a connection for as long as its sender likes."""


MAX_DEPTH = 100
"""Levels of JSON. Deeper ones are nobody's data, and more than encoders and databases bear."""
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class BodyLimitMiddleware:
    """Answers 413 to bodies of more than `limit` bytes; `limits` gives single paths one of their own.

    408 to a body of which nothing comes for a while, or too little.

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
        declared, in_parts = b"0", False
        for name, value in scope["headers"]:
            if name == b"content-length":
                declared = value
            elif name == b"transfer-encoding":
                in_parts = True
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
        if b"%00" in scope["query_string"] or "\x00" in scope["path"]:
            problem = problems.document(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "validation_failed",
                "The address holds a NUL character, which nothing here has in its name.",
                instance=scope["path"],
                errors=[
                    Problem("path" if "\x00" in scope["path"] else "query", "holds a NUL character", "leave it out")
                ],
            )
            await problems.response(problem)(scope, receive, send)
            return
        if declared == b"0" and not in_parts and scope["method"] in _BODILESS:
            await self._app(scope, receive, send)
            return
        await self._app(scope, self._counting(scope, receive, limit), send)

    def _counting(self, scope: Scope, receive: Receive, limit: int) -> Receive:
        """Gives the parts of the body, and watches them."""
        read, complete = 0, False
        nesting = Nesting() if _is_json(scope) else None
        exchange = exchange_of(scope)
        begun = time.monotonic()

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
            if not complete and time.monotonic() - begun > PATIENCE + read / SLOWEST:
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The body arrives too slowly.")
            if exchange is not None:
                exchange.prolong()
            if read > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _message(limit))
            if nesting is not None and nesting.too_deep(message.get("body", b"")):
                raise HTTPException(HTTPStatus.BAD_REQUEST, f"The JSON is nested deeper than {MAX_DEPTH} levels.")
            return message

        return counting_receive


class Nesting:
    """Whether JSON is nested too deep, told while it arrives. Looks closer only when there are brackets enough for it."""

    def __init__(self) -> None:
        self._brackets = 0
        self._parts: list[bytes] = []

    def too_deep(self, part: bytes) -> bool:
        self._brackets += part.count(b"[") + part.count(b"{")
        self._parts.append(part)
        return self._brackets > MAX_DEPTH and self._deepest() > MAX_DEPTH

    def _deepest(self) -> int:
        text = b"".join(self._parts)
        self._parts = [text]
        depth = deepest = 0
        for token in _BRACKETS.finditer(text):
            if token[0] in {b"[", b"{"}:
                depth += 1
                deepest = max(deepest, depth)
            elif token[0] in {b"]", b"}"}:
                depth -= 1
        return deepest


def _is_json(scope: Scope) -> bool:
    return any(name == b"content-type" and b"json" in value for name, value in scope["headers"])


def _message(limit: int) -> str:
    return f"The body is larger than the {limit} bytes that are accepted here. Send less, or split it."
