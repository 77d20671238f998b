"""Dagster's UI behind the platform's login: a reverse proxy for `/dagster/`, HTTP and WebSockets.

Dagster's web server knows no users; it listens on loopback and answers whoever asks, about the runs of all tenants. So only
people of the platform's own tenant get through: its admins and operators may do everything, its viewers may look. What they
launch runs on behalf of their tenant. They show a cookie (`api/login_page.py`) or, as for the API, a token.

A page of another site can make a browser send requests here, so what it may not do is refused by `Origin`, and links change
nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import parse_qs, quote, urlsplit

import httpx
from anyio import to_thread
from starlette.responses import RedirectResponse, StreamingResponse
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from api import problems
from api.auth.principal import credential_of
from api.dagster_requests import check_frame, check_query, reviewed
from api.login_page import COOKIE, LOGIN
from api.running import UI_PATH
from resources.errors import (
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    PlatformError,
    UnauthenticatedError,
    UnavailableError,
)
from resources.tenants.permissions import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from starlette.types import Message, Receive, Scope, Send
    from websockets.asyncio.client import ClientConnection
    from websockets.typing import Subprotocol

    from resources.tenants.model import Principal

    Authenticator = Callable[[str | None, Mapping[str, str]], Awaitable[Principal]]

_LOOKERS = frozenset({Role.ADMIN, Role.OPERATOR, Role.VIEWER})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Of one connection only (RFC 9110 §7.6.1), or nobody's business behind the door.
_NOT_SENT_ON = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length", "cookie", "authorization", "x-api-key",
})  # fmt: skip
_NOT_SENT_BACK = _NOT_SENT_ON - {"content-length"} | {"set-cookie", "server", "date"}
_TIMEOUT = httpx.Timeout(120.0, connect=5.0)
_CONNECT_SECONDS = 10.0
_POLICY_VIOLATION = 1008
_GOING_AWAY = 1001


def access_of(principal: Principal, *, home: str) -> Literal["write", "read"]:
    """What somebody may do in Dagster's UI. Raises NotPermittedError for who may do nothing."""
    if principal.role in {Role.ADMIN, Role.OPERATOR} and principal.allows("system_operate:dagster"):
        return "write"
    if principal.tenant == home and principal.role in _LOOKERS and principal.allows("read:dagster"):
        return "read"
    raise NotPermittedError(
        "Dagster's UI shows the runs of all tenants: it is for admins, operators and viewers of the platform's own tenant. "
        "See your runs with GET /api/v1/runs.",
        code="ui_not_permitted",
    )


class DagsterProxy:
    """An ASGI application. `upstream` is the web server's address, with the path that it serves under; None = there is none."""

    def __init__(
        self, upstream: str | None, *, authenticate: Authenticator, home: str, public_url: str | None = None
    ) -> None:
        self._upstream = None if upstream is None else upstream.rstrip("/")
        self._authenticate = authenticate
        self._home = home
        self._public_origin = None if public_url is None else _origin_of(public_url)
        self._http: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold connections to the web server for the length of the block."""
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20)
        plain = {"accept-encoding": "identity"}  # unless the browser asks for another
        async with httpx.AsyncClient(headers=plain, timeout=_TIMEOUT, limits=limits, trust_env=False) as self._http:
            yield
        self._http = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = self._socket if scope["type"] == "websocket" else self._page
        try:
            self._check_origin(scope, headers)
            principal = await self._principal(headers)
            access = access_of(principal, home=self._home)
            await answer(scope, receive, send, headers=headers, principal=principal, may_change=access == "write")
        except PlatformError as error:
            await _refuse(error, scope, receive, send, headers)

    async def _principal(self, headers: Mapping[str, str]) -> Principal:
        cookie = None if credential_of(headers) else _cookie(headers)
        if cookie is not None:
            with suppress(UnauthenticatedError):  # an old one is as good as none
                return await self._authenticate(cookie, headers)
        return await self._authenticate(None, headers)

    async def _page(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        headers: dict[str, str],
        principal: Principal,
        may_change: bool,
    ) -> None:
        if self._http is None:
            raise _down("it is not connected")
        method = scope["method"]
        url = self._url(scope)
        body: bytes | None = None
        if url.path == f"{urlsplit(self._upstream or '').path}/graphql":
            body = await self._graphql(scope, receive, headers, tenant=principal.tenant, may_change=may_change)
        elif method not in _SAFE:
            if not may_change:
                raise NotPermittedError("You may look at everything here, and change nothing.", code="read_only")
            body = await _body(receive)
        request = self._http.build_request(
            method, url, headers=[pair for pair in headers.items() if pair[0] not in _NOT_SENT_ON], content=body
        )
        try:
            answer = await self._http.send(request, stream=True)
        except httpx.TransportError as error:
            raise _down(str(error) or type(error).__name__) from error
        kept = {name: value for name, value in answer.headers.items() if name not in _NOT_SENT_BACK}
        sent = StreamingResponse(_raw(answer), answer.status_code, headers=kept)
        await sent(scope, receive, send)

    async def _graphql(
        self, scope: Scope, receive: Receive, headers: dict[str, str], *, tenant: str, may_change: bool
    ) -> bytes | None:
        if scope["method"] in _SAFE:
            for query in parse_qs(scope["query_string"].decode("latin-1")).get("query", ()):
                check_query(query)
            return None
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise InvalidInputError("GraphQL is asked for in application/json.", code="media_type_unsupported")
        content = await _body(receive)
        # A document of some size takes a while to parse; others are answered meanwhile.
        return await to_thread.run_sync(lambda: reviewed(content, may_change=may_change, tenant=tenant))

    async def _socket(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        headers: dict[str, str],
        principal: Principal,
        may_change: bool,
    ) -> None:
        del headers, principal, may_change  # nothing can be changed over the socket, by nobody
        await receive()  # websocket.connect
        address = str(self._url(scope)).replace("http", "ws", 1)
        offered = cast("list[Subprotocol]", list(scope.get("subprotocols", ())))
        try:
            upstream = await connect(
                address, subprotocols=offered or None, max_size=None, proxy=None, open_timeout=_CONNECT_SECONDS
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            raise _down(str(error) or type(error).__name__) from error
        async with upstream:
            await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol, "headers": []})
            code = await _first(_send_on(receive, upstream), _send_back(upstream, send))
        if code is not None:
            with suppress(RuntimeError):  # the browser has gone meanwhile
                await send({"type": "websocket.close", "code": code})

    def _url(self, scope: Scope) -> httpx.URL:
        if self._upstream is None:
            raise _down("AIW_DAGSTER__URL is not set")
        path: str = scope["path"].removeprefix(UI_PATH)
        if any(part in {".", ".."} for part in path.split("/")):
            raise NotFoundError(f"There is nothing at {scope['path']!r}.", code="route_not_found")
        query = scope["query_string"].decode("latin-1")
        return httpx.URL(f"{self._upstream}{quote(path)}{'?' if query else ''}{query}")

    def _check_origin(self, scope: Scope, headers: Mapping[str, str]) -> None:
        origin = headers.get("origin")
        if origin is None:
            return
        secure = scope["scheme"] in {"https", "wss"}
        ours = {f"{'https' if secure else 'http'}://{headers.get('host', '')}", self._public_origin}
        if origin not in ours:
            raise NotPermittedError(f"Pages of {origin!r} may not use Dagster's UI.", code="origin_not_allowed")


def _cookie(headers: Mapping[str, str]) -> str | None:
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == COOKIE and value), None)


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _down(reason: str) -> UnavailableError:
    return UnavailableError(f"Dagster's web server does not answer: {reason}.", dependency="dagster", code="ui_down")


async def _refuse(error: PlatformError, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.code})  # answered with 403
        return
    page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if page and isinstance(error, UnauthenticatedError | NotPermittedError) and error.code != "origin_not_allowed":
        wanted = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        await RedirectResponse(f"{LOGIN}?next={quote(wanted, safe='/')}", 303)(scope, receive, send)
        return
    answer = problems.response(problems.of_error(error, instance=scope["path"]), headers=problems.headers_of(error))
    await answer(scope, receive, send)


async def _body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _raw(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()


async def _first(*works: Any) -> int | None:
    """What the first of them gives; the others are ended."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        found: int | None = next(iter(done)).result()
        return found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send_on(receive: Receive, upstream: ClientConnection) -> int | None:
    """From the browser; gives the code to close its connection with, None when it has closed it itself."""
    while True:
        message: Message = await receive()
        if message["type"] == "websocket.disconnect":
            return None
        text = message.get("text")
        frame: str | bytes = message.get("bytes") or b"" if text is None else text
        try:
            check_frame(frame)
            await upstream.send(frame)
        except PlatformError:
            return _POLICY_VIOLATION
        except ConnectionClosed:
            return _GOING_AWAY


async def _send_back(upstream: ClientConnection, send: Send) -> int:
    """From Dagster; gives the code to close the browser's connection with."""
    async for frame in upstream:
        kind = "text" if isinstance(frame, str) else "bytes"
        try:
            await send({"type": "websocket.send", kind: frame})
        except (OSError, RuntimeError):
            break
    code = upstream.close_code
    return code if code in {1000, 1001, 1011, 1012} else _GOING_AWAY
