"""The graph over HTTP and sockets: GraphQL over HTTP (draft of the foundation), SSE and multipart streams, graphql-transport-ws.

Whoever accepts `application/graphql-response+json` gets a status that tells whether the operation was executed. An operation
that was sent once can be sent again by its hash alone (Apollo's automatic persisted queries): what the hash names is its text, so
nothing of one caller can reach another by it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import orjson
from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from api.auth import access
from api.auth.principal import principal_of
from api.graphql import errors
from api.graphql.access import INTROSPECTION
from api.graphql.caching import ResponseCache, key_of, seconds_of
from api.graphql.context import GraphContext
from api.graphql.lines import with_plain_lines
from api.realtime.auth import headers_of, token_of
from resources.errors import InvalidInputError, LimitExceededError, NotFoundError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket
    from strawberry.http import GraphQLHTTPResponse
    from strawberry.types import SubscriptionExecutionResult

    from api.auth.principal import Authenticate
    from api.dependencies import Services
    from api.graphql.allowances import Allowances
    from api.graphql.guards import Limits
    from api.graphql.schema import GraphSchema

PATH: Final = "/graphql"
SCHEMA_PATH: Final = "/_service/schema"
ASSETS: Final = "/graphql/assets"
RESPONSE: Final = "application/graphql-response+json"

_SOCKETS: Final = 20
"""Of one principal at the same time."""
_KEPT_OPERATIONS: Final = 1000
_LONGEST_OPERATION: Final = 100_000
_NOT_FOUND: Final = "PERSISTED_QUERY_NOT_FOUND"


class GraphFace(GraphQL[GraphContext, None]):
    """The ASGI application of the graph. HTTP requests were authenticated on their way here, sockets are here."""

    def __init__(
        self,
        schema: GraphSchema,
        services: Services,
        *,
        authenticate: Authenticate,
        dagster_url: str | None,
        closing: Callable[[], bool],
        allowances: Allowances,
        limits: Limits,
    ) -> None:
        super().__init__(
            schema,
            subscription_protocols=("graphql-transport-ws", "graphql-sse", "multipart-subscription"),
            max_subscriptions_per_connection=allowances.followed,
        )
        self.graph = schema
        self._services = services
        self._authenticate = authenticate
        self._dagster_url = dagster_url
        self._closing = closing
        self._allowances = allowances
        self._limits = limits
        self._operations: OrderedDict[str, str] = OrderedDict()
        self._answers = ResponseCache()
        self._sockets: dict[tuple[str, str], int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self.run(request)
        except HTTPException as error:
            found = InvalidInputError(error.reason, code=errors.INVALID)
            response = self._refused(found, request, error.status_code)
        except PlatformError as error:
            from api import problems

            response = self._refused(error, request, int(problems.status_of(error)))
        await response(scope, receive, with_plain_lines(send))

    async def schema_text(self, request: Request) -> Response:
        """`GET /_service/schema`."""
        context = await self.get_context(request, Response())
        try:
            context.check(INTROSPECTION)
        except PlatformError as error:
            from api import problems

            return problems.response(problems.of_error(error, instance=SCHEMA_PATH))
        return PlainTextResponse(self.graph.as_str())

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> GraphContext:
        """Who asks, found once."""
        del response
        principal = principal_of(request.scope)
        if principal is None:
            raise access.unauthenticated()
        streams = request.scope["type"] == "websocket" or "event-stream" in request.headers.get("accept", "")
        return GraphContext(
            self._services,
            principal,
            keeps=not streams,
            dagster_url=self._dagster_url,
            closing=self._closing,
            allowances=self._allowances,
            limits=self._limits,
        )

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """Carries to the answer in which form it is wanted."""
        response = await super().get_sub_response(request)
        response.media_type = _negotiated(request.headers.get("accept", ""))
        return response

    async def parse_http_body(self, request: Any) -> GraphQLRequestData | list[GraphQLRequestData]:
        """With the text of an operation that was sent by its hash."""
        found = await super().parse_http_body(request)
        if isinstance(found, GraphQLRequestData):
            found.query = self._persisted(found)
        return found

    async def execute_operation(
        self, *arguments: Any, **named: Any
    ) -> ExecutionResult | list[ExecutionResult] | SubscriptionExecutionResult:
        """Within its time."""
        asked = named["request_data"]
        query = "" if isinstance(asked, list) else asked.query or ""
        seconds = self._limits.mutation_seconds if "mutation" in query else self._limits.query_seconds
        try:
            async with asyncio.timeout(seconds):
                return await super().execute_operation(*arguments, **named)
        except TimeoutError:
            error = errors.of(
                LimitExceededError(f"The operation took longer than {seconds:g} s.", code="TIMEOUT"), service="graph"
            )
            return PreExecutionError(data=None, errors=[error])

    async def execute_single(self, *arguments: Any, **named: Any) -> ExecutionResult:
        """As it was answered before, where nothing has happened since; also of one of several in a request."""
        asked, context = named["request_data"], named["context"]
        key, seconds = None, 0
        # What else a client may have sent there, the library refuses.
        if isinstance(asked.query, str) and isinstance(asked.operation_name, str | None):
            seconds = seconds_of(self.graph, asked.query, asked.operation_name)
        if seconds:
            key = key_of(context.principal, asked.query, asked.operation_name, asked.variables)
        if key is None or not self._answers.asked_before(key):
            return await super().execute_single(*arguments, **named)
        position = await context.run(self._services.events.head, tenant=context.tenant)
        known = self._answers.find(key, position)
        if known is not None:
            return ExecutionResult(data=known, errors=None)
        result = await super().execute_single(*arguments, **named)
        if result.data is not None and not result.errors:
            self._answers.keep(key, result.data, position=position, seconds=seconds)
        return result

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """What was not executed has no data."""
        told = await super().process_result(request, result)
        if isinstance(result, PreExecutionError):
            told.pop("data", None)
        return told

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        """In the form that was negotiated."""
        media_type = sub_response.media_type or "application/json"
        executed = isinstance(response_data, list) or "data" in response_data
        status = 200 if executed or media_type != RESPONSE else 400
        return Response(orjson.dumps(response_data, default=str), status_code=status, media_type=media_type)

    async def render_graphql_ide(self, request: Request) -> Response:
        """GraphiQL, from an installed package: nothing is fetched from elsewhere."""
        del request
        return HTMLResponse(_PAGE)

    def _persisted(self, asked: GraphQLRequestData) -> str | None:
        said = (asked.extensions or {}).get("persistedQuery")
        sha256 = said.get("sha256Hash") if isinstance(said, dict) else None
        if not isinstance(sha256, str):
            return asked.query
        if asked.query is None:
            known = self._operations.get(sha256)
            if known is None:
                raise NotFoundError("PersistedQueryNotFound", code=_NOT_FOUND)
            self._operations.move_to_end(sha256)
            return known
        if hashlib.sha256(asked.query.encode()).hexdigest() != sha256:
            raise InvalidInputError("The hash is not that of the operation.", code="persisted_query_hash")
        if len(asked.query) <= _LONGEST_OPERATION:
            self._operations[sha256] = asked.query
            while len(self._operations) > _KEPT_OPERATIONS:
                self._operations.popitem(last=False)
        return asked.query

    def _refused(self, error: PlatformError, request: Request, status: int) -> Response:
        told = errors.of(error, service="graph")
        media_type = _negotiated(request.headers.get("accept", ""))
        # Clients of persisted operations read the error of one that is not known in an answer that went well.
        code = 200 if error.code == _NOT_FOUND else status
        return Response(orjson.dumps({"errors": [told.formatted]}), status_code=code, media_type=media_type)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        from api.auth.principal import remember

        token, _ = token_of(scope)
        try:
            principal = await self._authenticate(token, headers_of(scope))
        except PlatformError:
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 4401, "reason": "Unauthorized"})
            return
        key = principal.tenant, principal.subject
        if self._sockets.get(key, 0) >= _SOCKETS:
            await receive()
            await send({"type": "websocket.close", "code": 1013, "reason": "Too many sockets"})
            return
        remember(scope, principal)
        self._sockets[key] = self._sockets.get(key, 0) + 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._sockets[key] -= 1
            if not self._sockets[key]:
                del self._sockets[key]


def assets() -> StaticFiles:
    """The files of GraphiQL."""
    return StaticFiles(directory=str(files("dagster_webserver").joinpath("graphiql")))


def _negotiated(accept: str) -> str:
    """The form of the answer. Whoever does not say, or takes anything, gets JSON as it always was."""
    for wanted in accept.split(","):
        media_type = wanted.partition(";")[0].strip().lower()
        if media_type == RESPONSE:
            return RESPONSE
        if media_type in {"application/json", "*/*", "application/*"}:
            return "application/json"
    return "application/json"


_PAGE: Final = f"""<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>GraphiQL</title>
    <style>body {{ margin: 0; }} #graphiql {{ height: 100vh; }}</style>
    <script src="{ASSETS}/react.production.min.js"></script>
    <script src="{ASSETS}/react-dom.production.min.js"></script>
    <script src="{ASSETS}/graphiql.min.js"></script>
    <link rel="stylesheet" href="{ASSETS}/graphiql.min.css">
    <script src="{ASSETS}/graphiql-plugin-explorer.umd.js"></script>
    <link rel="stylesheet" href="{ASSETS}/graphiql-plugin-explorer-style.css">
  </head>
  <body>
    <div id="graphiql">Loading...</div>
    <script>
      const here = `//${{location.host}}{PATH}`
      const fetcher = GraphiQL.createFetcher({{
        url: location.protocol + here,
        subscriptionUrl: (location.protocol === 'https:' ? 'wss:' : 'ws:') + here,
      }})
      ReactDOM.createRoot(document.getElementById('graphiql')).render(
        React.createElement(GraphiQL, {{
          fetcher,
          defaultEditorToolsVisibility: true,
          plugins: [GraphiQLPluginExplorer.explorerPlugin()],
        }}),
      )
    </script>
  </body>
</html>
"""
