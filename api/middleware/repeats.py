"""Requests that come again: a POST with the same `Idempotency-Key` is done once, a GET of what has not changed is told so.

What creates things takes a key, for a day. Runs of workflows have keys of their own, for as long as there are runs; what answers
with secrets takes none, because answers are kept.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.exceptions import HTTPException

from api import problems
from api.auth.principal import principal_of
from api.bodies import held
from resources.errors import InvalidInputError, PlatformError, UnavailableError
from resources.idempotency.store import Answer, Key
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from resources.idempotency.store import Answers

log = get_logger(__name__)

KEYED = re.compile(
    r"/api/v1/(events(/data)?|concepts|documents|analyze/batch|prompts|workflows|runs/[^/]+/rerun|replays|backfills|projections/[^/]+/rebuild|users|tenants"
    r"|prices|learning-paths|graph/merges|registry/agents|topics/[^/]+/messages)"
)
_HEADER = b"idempotency-key"
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_KEPT_HEADERS = frozenset({b"content-type", b"location", b"etag"})
_LARGEST = 1024 * 1024
_OK, _SERVER_ERROR = 200, 500


class RepeatsMiddleware:
    """Stands behind authentication: a key belongs to whoever sends it."""

    def __init__(self, app: ASGIApp, *, answers: Answers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["method"] == "GET" and scope["path"].startswith("/api/v1/"):
                await self._app(scope, receive, _Tagged(scope, send))
                return
            if scope["method"] == "POST" and KEYED.fullmatch(scope["path"]):
                key = next((value for name, value in scope["headers"] if name == _HEADER), None)
                if key is not None:
                    await self._once(key.decode("latin-1"), scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _once(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        principal = principal_of(scope)
        if principal is None:
            await self._app(scope, receive, send)  # it is refused there
            return
        key = Key(principal.tenant, principal.key_id or principal.subject, name)
        digest = hashlib.sha256(b"\n".join((scope["path"].encode(), scope["query_string"], b"")))
        async with AsyncExitStack() as stack:
            try:
                if not _KEY.fullmatch(name):
                    raise InvalidInputError(
                        "An Idempotency-Key is 1 to 200 visible ASCII characters.", code="validation_failed"
                    )
                again = await stack.enter_async_context(held(receive, digest.update))
                kept = await to_thread.run_sync(
                    lambda: self._answers.claim(key, digest.digest(), now=datetime.now(UTC))
                )
            except PlatformError as error:
                refused = problems.of_error(error, instance=scope["path"])
                await problems.response(refused, headers=problems.headers_of(error))(scope, receive, send)
                return
            except HTTPException as error:  # the body is too large or too slow
                await problems.of_http(error, path=scope["path"])(scope, receive, send)
                return
            if kept is None:
                await self._answered(key, scope, again, send)
            else:
                await _answer_again(kept, send)

    async def _answered(self, key: Key, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the request answered, and keep that."""
        recorded = _Recorded(send)
        try:
            await self._app(scope, receive, recorded)
        finally:
            answer = recorded.answer()
            settle = (
                (lambda: self._answers.release(key)) if answer is None else (lambda: self._answers.settle(key, answer))
            )
            try:
                await to_thread.run_sync(settle)
            except UnavailableError as error:  # the claim ends by itself, in a minute
                log.warning("idempotency.not_settled", reason=error.message)
            await recorded.finish()


async def _answer_again(kept: Answer, send: Send) -> None:
    headers = [(kind.encode(), value.encode("latin-1")) for kind, value in kept.headers.items()]
    headers += [(b"content-length", b"%d" % len(kept.body)), (b"idempotency-replayed", b"true")]
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": kept.body})


def etag_of(body: bytes) -> bytes:
    """The tag of an answer: of its content alone."""
    return b'W/"%s"' % hashlib.blake2b(body, digest_size=12).hexdigest().encode()


class _Recorded:
    """Sends on, and remembers. The end is held back until the answer is kept: who has it may ask again at once."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._parts: list[bytes] = []
        self._last: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                self._last = message
                return
        await self._send(message)

    async def finish(self) -> None:
        """Send what was held back."""
        if self._last is not None:
            await self._send(self._last)

    def answer(self) -> Answer | None:
        """What is worth keeping: a complete answer that is not too large, and that would be the same again."""
        body = b"".join(self._parts)
        start = self._start
        if start is None or self._last is None or start["status"] >= _SERVER_ERROR or len(body) > _LARGEST:
            return None
        kept = {name: value for name, value in start.get("headers", ()) if name.lower() in _KEPT_HEADERS}
        return Answer(start["status"], {name.decode(): value.decode("latin-1") for name, value in kept.items()}, body)


class _Tagged:
    """Gives an answer in one piece its ETag, and leaves it out when the client has it (RFC 9110 §13.1.2)."""

    __slots__ = ("_scope", "_send", "_start")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._start: Any = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == _OK and _is_json(message):
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            if not message.get("more_body", False):
                message = self._tag(start, message)
            await self._send(start)
        await self._send(message)

    def _tag(self, start: Any, message: Message) -> Message:
        headers = start.get("headers", ())
        own = next((value for name, value in headers if name == b"etag"), None)
        etag = own or etag_of(message.get("body", b""))
        if own is None:
            start["headers"] = [*headers, (b"etag", etag)]
        known = next((value for name, value in self._scope["headers"] if name == b"if-none-match"), None)
        if known is None or not _matches(known, etag):
            return message
        start["status"] = 304
        start["headers"] = [pair for pair in start["headers"] if pair[0] not in {b"content-length", b"content-type"}]
        return {**message, "body": b""}


def _is_json(start: Message) -> bool:
    """Streams are not waited for."""
    return (b"content-type", b"application/json") in start.get("headers", ())


def _matches(known: bytes, etag: bytes) -> bool:
    plain = etag.removeprefix(b"W/")
    return known.strip() == b"*" or any(each.strip().removeprefix(b"W/") == plain for each in known.split(b","))
