"""MCP in the web process: streamable HTTP at `/mcp` and `/mcp/<server>`, WebSockets at the same with `/ws` behind.

Authentication is that of the whole API: the middleware has found the principal of an HTTP request, sockets show their token in
the handshake. Sessions of the older era belong to the principal that opened them. What comes in is held within the limits of
`resources.mcp.limits` before the SDK sees it, and a page of another site cannot make a browser ask.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.runner import serve_dual_era_loop
from mcp.types import INVALID_REQUEST, PARSE_ERROR
from starlette.responses import Response

from api import problems
from api.auth import access
from api.auth.limiter import Buckets
from api.auth.principal import principal_of
from api.bodies import body_of, given
from api.mcp.server import CONNECTED
from api.mcp.streamable import Exchanges, Sessions
from api.middleware.security import is_loopback
from api.realtime.auth import headers_of, token_of
from resources.errors import (
    InvalidInputError,
    LimitExceededError,
    NotPermittedError,
    PlatformError,
    UnauthenticatedError,
)
from resources.mcp.limits import InFlight, checked
from resources.mcp.transport import SUBPROTOCOL, decode, duplex, encode
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mcp.server.streamable_http import EventStore
    from mcp.shared.message import SessionMessage
    from starlette.types import Receive, Scope, Send

    from api.auth.limiter import Rates
    from api.auth.principal import Authenticate
    from api.mcp.changes import Changes
    from api.mcp.server import McpServer
    from resources.tenants.model import Principal

log = get_logger(__name__)

PATH: Final = "/mcp"
METADATA: Final = "/.well-known/oauth-protected-resource"
SESSION_IDLE: Final = 1800.0
MAX_SESSIONS: Final = 2_000
MAX_SOCKETS: Final = 200
"""Sessions of the older era, and sockets, that one process keeps."""

_SESSION = b"mcp-session-id"
_RATE = -32029
_BROKEN, _REFUSED, _BUSY = 1011, 1008, 1013


class McpFace:
    """The ASGI application below `/mcp`. `running` for the length of the web process."""

    def __init__(
        self,
        servers: Mapping[str, McpServer],
        *,
        default: str,
        authenticate: Authenticate,
        rates: Rates,
        changes: Changes,
        public_url: str | None = None,
        origins: frozenset[str] = frozenset(),
        unlimited: str | None = None,
        store: EventStore | None = None,
        retry_milliseconds: int | None = None,
    ) -> None:
        """`default` is served at `/mcp` itself. `origins`: whose pages may ask, besides our own. `unlimited`: a subject.

        With a `store` clients of the older era may resume a stream that broke, `retry_milliseconds` later.
        """
        self.servers = servers
        self._by_path = {"": servers[default], **{f"/{name}": server for name, server in servers.items()}}
        self._authenticate = authenticate
        self._rates = rates
        self._buckets = Buckets()
        self._changes = changes
        self._public_url = public_url.rstrip("/") if public_url else None
        self._origins = origins
        self._unlimited = unlimited
        self._store = store
        self._retry = retry_milliseconds
        self._in_flight = InFlight()
        self._exchanges = {name: Exchanges(server) for name, server in servers.items()}
        self._sessions: dict[str, Sessions] = {}
        self._sockets: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve for the length of the block; then tell all who listen that it is over."""
        async with AsyncExitStack() as stack:
            for name, server in self.servers.items():
                sessions = Sessions(
                    app=server.sdk,
                    event_store=self._store,
                    retry_interval=self._retry,
                    session_idle_timeout=SESSION_IDLE,
                    max_sessions=MAX_SESSIONS,
                )
                await stack.enter_async_context(sessions.run())
                self._sessions[name] = sessions
            try:
                yield
            finally:
                await self._changes.close()
                for task in tuple(self._sockets):
                    task.cancel()
                await asyncio.gather(*self._sockets, return_exceptions=True)
                self._sessions.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(PATH).rstrip("/")
        if scope["type"] == "websocket":
            await self._socket(path, scope, receive, send)
            return
        try:
            server = self.server_at(path)
            if server is None:
                await _not_found(scope)(scope, receive, send)
                return
            self._check_page(scope)
            principal = principal_of(scope)
            if principal is None:
                raise access.unauthenticated()
        except PlatformError as error:
            await self._refuse(error, scope, receive, send)
            return
        scope["user"] = _user(principal.tenant, principal.subject, principal.key_id)
        # Whitespace around a field's value is no part of it (RFC 9110 §5.5), and not every parser takes it off.
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        await self._http(server.name, scope, receive, send)

    # HTTP

    async def _http(self, server: str, scope: Scope, receive: Receive, send: Send) -> None:
        sessions = self._sessions[server]
        if scope["method"] != "POST":
            await sessions.handle_request(scope, receive, send)
            return
        body = await body_of(receive)
        try:
            message = checked(body)
        except PlatformError as error:
            await _protocol_error(error)(scope, receive, send)
            return
        key = None
        if isinstance(message, dict) and "id" in message and "method" in message:
            session = next((value for name, value in scope["headers"] if name == _SESSION), None)
            if session is not None:  # without a session every request stands alone, and ids mean nothing
                key = (session, message["id"] if isinstance(message["id"], int | str) else None)
        try:
            if key is not None:
                self._in_flight.claim(key)
        except PlatformError as error:
            await _protocol_error(error)(scope, receive, send)
            return
        try:
            if not await self._exchanges[server].answer(body, scope, receive, send):
                await sessions.handle_request(scope, given(body, receive), send)
        finally:
            if key is not None:
                self._in_flight.release(key)

    def _check_page(self, scope: Scope) -> None:
        """Browsers tell which page asks; programs do not. Raises NotPermittedError for pages of others."""
        if not any(name == b"origin" for name, _ in scope["headers"]):
            return
        headers = headers_of(scope)
        origin = headers["origin"]
        if origin in self._origins:
            return
        page, here = urlsplit(origin), urlsplit(f"//{headers.get('host', '')}")
        own = urlsplit(self._public_url) if self._public_url else None
        if own is not None and (page.scheme, page.netloc) == (own.scheme, own.netloc):
            return
        # The name that was asked for may be one that somebody else points here, but for this machine's own.
        if is_loopback(page.hostname) and is_loopback(here.hostname):
            return
        raise NotPermittedError(f"Pages of {origin[:200]!r} may not ask here.", code="origin_not_allowed")

    async def _refuse(self, error: PlatformError, scope: Scope, receive: Receive, send: Send) -> None:
        headers = problems.headers_of(error)
        if isinstance(error, UnauthenticatedError):
            where = f"{self.base_url(scope)}{METADATA}{scope['path'].rstrip('/')}"
            headers["WWW-Authenticate"] = f'Bearer realm="aiw", resource_metadata="{where}"'
        problem = problems.of_error(error, instance=scope["path"])
        await problems.response(problem, headers=headers)(scope, receive, send)

    def base_url(self, scope: Scope) -> str:
        """The address that clients know the platform by."""
        if self._public_url is not None:
            return self._public_url
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        return f"{scheme}://{headers_of(scope).get('host', 'localhost')}"

    @property
    def scopes(self) -> frozenset[str]:
        """All that tools may ask for."""
        return frozenset[str]().union(*(server.scopes for server in self.servers.values()))

    def server_at(self, path: str) -> McpServer | None:
        """The server below `/mcp`: '' is the default one's path, '/platform' the platform's."""
        return self._by_path.get(path.rstrip("/"))

    # WebSockets

    async def _socket(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        try:
            server = self.server_at(path.removesuffix("/ws")) if path.endswith("/ws") else None
            if server is None:
                raise InvalidInputError(f"There is no MCP server at {scope['path']!r}.", code="route_not_found")
            self._check_page(scope)
            token, _ = token_of(scope)
            principal = await self._authenticate(token, headers_of(scope))
            if len(self._sockets) >= MAX_SOCKETS:
                raise LimitExceededError("Too many sockets are open.", code="too_many_sockets", retry_after=5.0)
        except PlatformError as error:
            await _deny(error, scope, send)
            return
        protocol = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": protocol})
        task = asyncio.current_task()
        assert task is not None
        self._sockets.add(task)
        known = CONNECTED.set(principal)
        code = 1000
        try:
            await self._converse(server, principal, receive, send)
        except Exception as error:  # the supervisor of this one connection
            log.exception("mcp.socket_broke", server=server.name, error=type(error).__name__)
            code = _BROKEN
        finally:
            CONNECTED.reset(known)
            self._sockets.discard(task)
        try:
            await send({"type": "websocket.close", "code": code})
        except Exception as error:  # noqa: BLE001  # it is gone already
            log.debug("mcp.farewell_failed", error=type(error).__name__)

    async def _converse(self, server: McpServer, principal: Principal, receive: Receive, send: Send) -> None:
        in_flight = InFlight()

        async def say(text: str) -> None:
            try:
                await send({"type": "websocket.send", "text": text})
            except OSError as error:
                raise ConnectionResetError("The client is gone.") from error

        async def hear() -> SessionMessage | None:
            while True:
                event = await receive()
                if event["type"] == "websocket.disconnect":
                    return None
                raw: Any = None
                try:
                    raw = checked(event.get("text") or event.get("bytes") or b"")
                    self._take_turn(principal)
                    message = decode(raw)
                    if isinstance(raw, dict) and "method" in raw and "id" in raw:
                        in_flight.claim(raw["id"])
                except (PlatformError, ValueError) as error:
                    await say(orjson.dumps(_error_of(error, raw)).decode())
                    continue
                return message

        async def tell(message: SessionMessage) -> None:
            told = message.message
            if not hasattr(told, "method"):
                in_flight.release(told.id)
            await say(encode(message))

        async with duplex(hear, tell) as (incoming, outgoing):
            await serve_dual_era_loop(
                server.sdk,
                incoming,
                outgoing,
                lifespan_state={},
                init_options=server.sdk.create_initialization_options(),
            )

    def _take_turn(self, principal: Principal) -> None:
        """A message counts as a request over HTTP does. Raises LimitExceededError."""
        if principal.subject == self._unlimited:
            return
        wanted = (
            ("principal", principal.key_id or principal.subject, self._rates.principal),
            ("tenant", principal.tenant, self._rates.of_tenant(principal)),
        )
        for name, key, rate in wanted:
            decision = self._buckets.take(name, key, rate)
            if not decision.allowed:
                raise LimitExceededError(
                    f"Too many messages of this {name}: {rate.per_minute} a minute are allowed.",
                    code="rate_limited",
                    retry_after=decision.retry_after,
                )


class ResourceMetadata:
    """What a client has to know to get in (RFC 9728): `/.well-known/oauth-protected-resource/mcp[/<server>]`."""

    def __init__(self, face: McpFace, *, login: bool) -> None:
        """`login`: clients can log somebody in here."""
        self._face = face
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(METADATA).rstrip("/") or PATH
        server = self._face.server_at(path.removeprefix(PATH)) if path.startswith(PATH) else None
        if server is None:
            await _not_found(scope)(scope, receive, send)
            return
        document = {
            "resource": f"{self._face.base_url(scope)}{path}",
            "resource_name": server.sdk.title,
            "scopes_supported": sorted(server.scopes),
            "bearer_methods_supported": ["header"],
        }
        if self._login:
            document["authorization_servers"] = [self._face.base_url(scope)]
        headers = {"Access-Control-Allow-Origin": "*"}
        await Response(orjson.dumps(document), media_type="application/json", headers=headers)(scope, receive, send)


@lru_cache(maxsize=1024)
def _user(tenant: str, subject: str, key_id: str | None) -> AuthenticatedUser:
    """What the SDK holds against the one who opened a session."""
    identity = f"{tenant}/{subject}/{key_id or ''}"
    return AuthenticatedUser(AccessToken(token="", client_id=identity, scopes=[], subject=subject))


def _error_of(error: Exception, raw: Any) -> dict[str, Any]:
    found = raw.get("id") if isinstance(raw, dict) else None
    identity = found if isinstance(found, int | str) else None
    if isinstance(error, PlatformError):
        code = PARSE_ERROR if error.code == "mcp_message_malformed" else INVALID_REQUEST
        code = _RATE if error.code == "rate_limited" else code
        told: dict[str, Any] = {"code": code, "message": error.message, "data": {"code": error.code}}
        if isinstance(error, LimitExceededError) and error.retry_after is not None:
            told["data"]["retry_after"] = round(error.retry_after, 3)
    else:
        told = {"code": INVALID_REQUEST, "message": "This is no message of JSON-RPC."}
    return {"jsonrpc": "2.0", "id": identity, "error": told}


def _protocol_error(error: PlatformError) -> Response:
    status = 413 if error.code == "mcp_message_too_large" else 400
    return Response(orjson.dumps(_error_of(error, None)), status_code=status, media_type="application/json")


def _not_found(scope: Scope) -> Response:
    problem = problems.document(404, "route_not_found", f"There is no MCP server at {scope['path']!r}.")
    return problems.response(problem)


async def _deny(error: PlatformError, scope: Scope, send: Send) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": _BUSY if isinstance(error, LimitExceededError) else _REFUSED})
        return
    answer = problems.response(problems.of_error(error, instance=scope["path"]), headers=problems.headers_of(error))
    headers = answer.raw_headers
    await send({"type": "websocket.http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})
