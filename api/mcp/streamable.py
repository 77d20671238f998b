"""Streamable HTTP with as few tasks and streams as an answer takes.

The SDK sets up a stream of events, and four to eight tasks, for each request, before it knows that the answer is one short JSON.
Here a request of the newer era runs in the task that it arrived in; one of a session still goes through the SDK's loop for that
session, which knows how to cancel it and how its tool asks the client back. What is answered here is the plain case alone.
Whatever is out of the ordinary (a wrong header, a wrong envelope, a notification, a stream that can be resumed) is left to the
SDK, which therefore is the only one that says no.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import anyio
import orjson
from mcp.server.connection import Connection
from mcp.server.runner import modern_error_data, serve_one
from mcp.server.streamable_http import (
    REQUEST_STREAM_BUFFER_SIZE,
    EventMessage,
    StreamableHTTPServerTransport,
    check_accept_headers,
)
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    MCP_PROTOCOL_VERSION_HEADER,
    InboundModernRoute,
    classify_inbound_request,
    x_mcp_header_map,
)
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp.types import JSONRPCError, JSONRPCRequest, JSONRPCResponse
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from api.mcp.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
    from mcp.shared.dispatcher import CallOptions
    from mcp.types import ProgressToken, RequestId
    from starlette.types import Receive, Scope, Send

    from api.mcp.server import McpServer

_TYPE: Final = "application/json"
_SESSION: Final = b"mcp-session-id"
_LISTEN: Final = "subscriptions/listen"


class Exchanges:
    """Requests of the newer era (2026-07-28), to one server."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._mirrored: dict[str, bool] = {}

    async def answer(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> bool:
        """False when the SDK has to look at it; nothing is sent then. `receive` gives what comes behind the body."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get(MCP_PROTOCOL_VERSION_HEADER) not in MODERN_PROTOCOL_VERSIONS:
            return False
        request = Request(scope, receive)
        if len(headers) != len(scope["headers"]) or not _is_plain(request):
            return False
        message = from_json(body)
        try:
            asked = JSONRPCRequest.model_validate(message)
        except ValidationError:
            return False
        route = classify_inbound_request(message, headers=headers)
        if asked.method == _LISTEN or not isinstance(route, InboundModernRoute) or self._mirrors(asked):
            return False
        connection = Connection.from_envelope(route.protocol_version, route.client_info, route.client_capabilities)
        with Reply(receive, send) as reply:
            context = _OneExchange(request, asked, reply)
            told: dict[str, Any] = {"jsonrpc": "2.0", "id": asked.id}
            status = 200
            try:
                told["result"] = await serve_one(
                    self._server.sdk, context, asked.method, asked.params, connection=connection, lifespan_state={}
                )
            except Exception as error:  # noqa: BLE001  # the SDK knows what clients are told of each
                found = modern_error_data(error)
                told["error"] = found.model_dump(mode="json", by_alias=True, exclude_none=True)
                status = ERROR_CODE_HTTP_STATUS.get(found.code, status)
            await reply.end(_encoded(told), status=status)
        return True

    def _mirrors(self, asked: JSONRPCRequest) -> bool:
        """Whether it calls a tool some of whose arguments have to be repeated in headers."""
        name = (asked.params or {}).get("name") if asked.method == "tools/call" else None
        tool = self._server.tools.get(name) if isinstance(name, str) else None
        if tool is None:
            return False
        if tool.name not in self._mirrored:
            self._mirrored[tool.name] = bool(x_mcp_header_map(tool.declaration.input_schema))
        return self._mirrored[tool.name]


class _OneExchange:
    """What the SDK's handlers know of a request's way: a `DispatchContext`. Nobody can be asked back in this era."""

    __slots__ = ("_cancelled", "_progress", "_reply", "message_metadata", "request_id", "transport")

    can_send_request: Final = False

    def __init__(self, request: Request, asked: JSONRPCRequest, reply: Reply) -> None:
        self.transport = TransportContext(kind="streamable-http", can_send_request=False, headers=request.headers)
        self.request_id: RequestId = asked.id
        self.message_metadata = ServerMessageMetadata(request_context=request)
        self._progress: ProgressToken | None = progress_token_from_params(asked.params)
        self._reply = reply
        self._cancelled: anyio.Event | None = None

    @property
    def cancel_requested(self) -> anyio.Event:
        """Never set: a client cancels by going away, which cancels the work itself."""
        if self._cancelled is None:
            self._cancelled = anyio.Event()
        return self._cancelled

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        """Raises NoBackChannelError."""
        del params, opts
        raise NoBackChannelError(method)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        """Something that is said before the answer."""
        del opts
        told: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            told["params"] = dict(params)
        await self._reply.say(_encoded(told))

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """How far it is, for a client that wants to know."""
        if self._progress is None:
            return
        known = {"progressToken": self._progress, "progress": progress, "total": total, "message": message}
        await self.notify("notifications/progress", {name: value for name, value in known.items() if value is not None})


class Sessions(StreamableHTTPSessionManager):
    """Sessions of the older era, whose requests are answered by `_Session`. Streams that can be resumed are the SDK's."""

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        admitted = super()._admit_session(requestor)
        if admitted is None or self.event_store is not None:
            return admitted
        assert admitted.mcp_session_id is not None
        session = _Session(
            mcp_session_id=admitted.mcp_session_id,
            security_settings=self.security_settings,
            idle_timeout=self.session_idle_timeout,
        )
        self._server_instances[admitted.mcp_session_id] = session
        return session


class _Session(StreamableHTTPServerTransport):
    async def _handle_post_request(self, scope: Scope, request: Request, receive: Receive, send: Send) -> None:
        asked = await self._plain(request)
        if asked is None:
            await super()._handle_post_request(scope, request, receive, send)
            return
        assert self._read_stream_writer is not None
        assert self.mcp_session_id is not None
        key = str(asked.id)
        self._request_streams[key] = anyio.create_memory_object_stream[EventMessage](REQUEST_STREAM_BUFFER_SIZE)
        said = self._request_streams[key][1]
        headers = [(_SESSION, self.mcp_session_id.encode())]
        try:
            with Reply(receive, send, headers) as reply:
                await self._read_stream_writer.send(
                    self._create_session_message(asked, request, key, protocol_version="")
                )
                try:
                    async for event in said:
                        body = event.message.model_dump_json(by_alias=True, exclude_unset=True).encode()
                        if isinstance(event.message, JSONRPCResponse | JSONRPCError):
                            await reply.end(body)
                            return
                        await reply.say(body)
                except anyio.ClosedResourceError:
                    pass  # the session was ended
                await reply.break_off()
        finally:
            await self._clean_up_memory_streams(key)

    async def _plain(self, request: Request) -> JSONRPCRequest | None:
        """The request, if it is one that has nothing special about it."""
        if not _is_plain(request) or self._get_session_id(request) != self.mcp_session_id:
            return None
        try:
            asked = JSONRPCRequest.model_validate(from_json(await request.body()), by_name=False)
        except ValueError:  # pydantic's, too
            return None
        return None if asked.method == "initialize" else asked


def _is_plain(request: Request) -> bool:
    """Whether it is JSON, and may be answered as it comes."""
    return request.headers.get("content-type") == _TYPE and check_accept_headers(request) == (True, True)


def _encoded(message: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(message)
    except TypeError:  # numbers of more than 64 bits
        return json.dumps(message, separators=(",", ":")).encode()
