"""An MCP server of the platform, on the official SDK: both eras of the protocol, any transport.

What a client may list and call is what its principal may do: tools carry the scope that their route over HTTP asks for. Every
call of a tool leaves an event. The SDK's tracing middleware is left out: nothing reads it, and it costs a tenth of a small call.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

from mcp.server import NotificationOptions
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    PromptReference,
    ReadResourceRequestParams,
    ReadResourceResult,
    SetLevelRequestParams,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from api.auth import access
from api.auth.principal import principal_of
from api.mcp.call import LEVEL_KEY, LEVELS, Call
from api.mcp.tool import failed
from api.version import VERSION
from resources.errors import LimitExceededError, NotFoundError, PlatformError, UnauthenticatedError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.types import Prompt, Resource, ResourceTemplate

    from api.dependencies import Services
    from api.mcp.changes import Changes
    from api.mcp.tool import BoundTool
    from resources.tenants.model import Principal

    Context = ServerRequestContext[Any, Any]

log = get_logger(__name__)

CONNECTED: ContextVar[Principal | None] = ContextVar("mcp_principal", default=None)
"""Who speaks on this connection, where requests do not come one by one over HTTP."""

PAGE: Final = 50
MAX_CALLS: Final = 64
"""Calls of tools that one tenant may have under way, in one process."""

SUBSCRIBED: Final = "aiw_subscribed"


class Audit(Protocol):
    """Where calls of tools are written down."""

    async def __call__(
        self,
        principal: Principal,
        *,
        server: str,
        tool: BoundTool,
        arguments: Sequence[str],
        outcome: str,
        seconds: float,
    ) -> None:
        """Keep that the call was made. Does not raise."""


class MoreTools(Protocol):
    """Tools that a tenant has besides the server's own."""

    def list(self, principal: Principal) -> Sequence[BoundTool]:
        """All of them, by name."""

    def find(self, name: str, principal: Principal) -> BoundTool | None:
        """One of them."""


class Shelf(Protocol):
    """Resources, as a server offers them. All verbs are synchronous, and asked in threads."""

    def list(self, call: Call, cursor: str | None) -> tuple[Sequence[Resource], str | None]: ...
    def templates(self, call: Call) -> Sequence[ResourceTemplate]: ...
    def read(self, call: Call, uri: str) -> ReadResourceResult: ...
    def complete(self, call: Call, template: str, argument: str, value: str) -> Sequence[str]: ...


class PromptShelf(Protocol):
    """Prompts, as a server offers them."""

    def list(self, call: Call) -> Sequence[Prompt]: ...
    def get(self, call: Call, name: str, arguments: Mapping[str, str]) -> GetPromptResult | InputRequiredResult: ...
    def complete(self, call: Call, name: str, argument: str, value: str) -> Sequence[str]: ...


class McpServer:
    """One named server. `sdk` is the SDK's server, which every transport serves."""

    def __init__(
        self,
        name: str,
        *,
        services: Services,
        title: str,
        instructions: str,
        tools: Mapping[str, BoundTool],
        audit: Audit,
        more: MoreTools | None = None,
        resources: Shelf | None = None,
        prompts: PromptShelf | None = None,
        changes: Changes | None = None,
    ) -> None:
        self.name = name
        self.tools = tools
        self._services = services
        self._audit = audit
        self._more = more
        self._resources = resources
        self._prompts = prompts
        self._changes = changes
        self._under_way: Counter[str] = Counter()
        self.sdk: Server[Any] = Server(
            name,
            version=VERSION,
            title=title,
            instructions=instructions,
            get_tool_input_schema=self._input_schema,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        self.sdk.middleware.clear()
        if resources is not None:
            self.sdk.add_request_handler("resources/list", PaginatedRequestParams, self._list_resources)
            self.sdk.add_request_handler("resources/templates/list", PaginatedRequestParams, self._list_templates)
            self.sdk.add_request_handler("resources/read", ReadResourceRequestParams, self._read_resource)
        if prompts is not None:
            self.sdk.add_request_handler("prompts/list", PaginatedRequestParams, self._list_prompts)
            self.sdk.add_request_handler("prompts/get", GetPromptRequestParams, self._get_prompt)
        if resources is not None or prompts is not None:
            self.sdk.add_request_handler("completion/complete", CompleteRequestParams, self._complete)
        self.sdk.add_request_handler("logging/setLevel", SetLevelRequestParams, self._set_level)
        if changes is not None:
            self.sdk.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
            self.sdk.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)
            self.sdk.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listen)
            self.sdk.middleware.append(self._remember_connection)
        offers = self.sdk.create_initialization_options
        told = NotificationOptions(
            prompts_changed=changes is not None,
            resources_changed=changes is not None,
            tools_changed=changes is not None,
        )
        # The transports ask without options; what the server offers is its own business.
        self.sdk.create_initialization_options = lambda *_, **__: offers(told)  # type: ignore[method-assign]

    @property
    def scopes(self) -> frozenset[str]:
        """All that the server's own tools may ask for."""
        return frozenset(tool.scope for tool in self.tools.values())

    # Tools

    async def _list_tools(self, ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        principal = _principal(ctx)
        tools = [tool for tool in self.tools.values() if principal.allows(tool.scope)]
        if self._more is not None:
            more = self._more
            tools += [tool for tool in await _in_thread(more.list, principal) if principal.allows(tool.scope)]
        page, cursor = _page([tool.declaration for tool in tools], params)
        return ListToolsResult(tools=page, next_cursor=cursor)

    def _input_schema(self, name: str) -> dict[str, Any] | None:
        """For headers that repeat arguments; the SDK would list all tools instead, on every call."""
        found = self.tools.get(name)
        return None if found is None else found.declaration.input_schema

    async def _call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        principal = _principal(ctx)
        tool = self.tools.get(params.name)
        if tool is None and self._more is not None:
            tool = await _in_thread(self._more.find, params.name, principal)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name[:100]!r}. `tools/list` names those there are.")
        given = params.arguments or {}
        call = Call(self._services, principal, ctx, params.input_responses or {}, params.request_state)
        started, outcome = call.started, "cancelled"
        self._under_way[principal.tenant] += 1
        try:
            result = await self._answer(tool, call, given)
            if isinstance(result, InputRequiredResult):
                outcome = "asked"
            else:
                outcome = str((result.meta or {}).get("code", "failed")) if result.is_error else "answered"
        finally:
            self._under_way[principal.tenant] -= 1
            await self._audit(
                principal,
                server=self.name,
                tool=tool,
                arguments=tuple(given),
                outcome=outcome,
                seconds=time.perf_counter() - started,
            )
        return result

    async def _answer(
        self, tool: BoundTool, call: Call, given: Mapping[str, Any]
    ) -> CallToolResult | InputRequiredResult:
        try:
            self._admit(tool, call)
            return await tool.invoke(call, given)
        except PlatformError as error:
            told = failed(error)
            told.meta = {"code": error.code, "retryable": error.retryable}
            return told
        except MCPError:
            raise
        except Exception as error:
            log.exception("mcp.tool_broke", server=self.name, tool=tool.name, error=type(error).__name__)
            told = failed(_InternalError("The tool failed; the cause is in the platform's log."))
            told.meta = {"code": "internal_error", "retryable": False}
            return told

    def _admit(self, tool: BoundTool, call: Call) -> None:
        if not call.principal.allows(tool.scope):
            raise access.refused(tool.scope)
        if self._under_way[call.tenant] > MAX_CALLS:
            raise LimitExceededError(f"{MAX_CALLS} calls of this tenant are under way.", code="busy", retry_after=1.0)

    # Resources

    async def _list_resources(self, ctx: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        assert self._resources is not None
        cursor = params.cursor if params is not None else None
        found, after = await _asked(self._resources.list, self._call(ctx), cursor)
        return ListResourcesResult(resources=list(found), next_cursor=after)

    async def _list_templates(self, ctx: Context, params: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
        assert self._resources is not None
        page, cursor = _page(list(self._resources.templates(self._call(ctx))), params)
        return ListResourceTemplatesResult(resource_templates=page, next_cursor=cursor)

    async def _read_resource(self, ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        assert self._resources is not None
        found: ReadResourceResult = await _asked(self._resources.read, self._call(ctx), str(params.uri))
        return found

    async def _subscribe(self, ctx: Context, params: SubscribeRequestParams) -> EmptyResult:
        _state(ctx).setdefault(SUBSCRIBED, set()).add(str(params.uri))
        return EmptyResult()

    async def _unsubscribe(self, ctx: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        _state(ctx).setdefault(SUBSCRIBED, set()).discard(str(params.uri))
        return EmptyResult()

    async def _listen(self, ctx: Context, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        assert self._changes is not None
        return await self._changes.listen(_principal(ctx).tenant, ctx, params)

    async def _remember_connection(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Clients of the older era are told of changes on their connection's own stream."""
        result = await call_next(ctx)
        if ctx.method == "notifications/initialized":
            assert self._changes is not None
            self._changes.add(_principal(ctx).tenant, _connection(ctx))
        return result

    # Prompts

    async def _list_prompts(self, ctx: Context, params: PaginatedRequestParams | None) -> ListPromptsResult:
        assert self._prompts is not None
        found = await _asked(self._prompts.list, self._call(ctx))
        page, cursor = _page(list(found), params)
        return ListPromptsResult(prompts=page, next_cursor=cursor)

    async def _get_prompt(self, ctx: Context, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
        assert self._prompts is not None
        call = Call(self._services, _principal(ctx), ctx, params.input_responses or {}, params.request_state)
        found: GetPromptResult | InputRequiredResult = await _asked(
            self._prompts.get, call, params.name, dict(params.arguments or {})
        )
        return found

    async def _complete(self, ctx: Context, params: CompleteRequestParams) -> CompleteResult:
        call, argument = self._call(ctx), params.argument
        values: Sequence[str] = ()
        if isinstance(params.ref, PromptReference):
            if self._prompts is not None:
                values = await _asked(self._prompts.complete, call, params.ref.name, argument.name, argument.value)
        elif self._resources is not None:
            values = await _asked(self._resources.complete, call, str(params.ref.uri), argument.name, argument.value)
        most = 100  # of the protocol
        return CompleteResult(
            completion=Completion(values=list(values[:most]), total=len(values), has_more=len(values) > most)
        )

    async def _set_level(self, ctx: Context, params: SetLevelRequestParams) -> EmptyResult:
        if params.level not in LEVELS:
            raise MCPError(INVALID_PARAMS, f"There is no level {params.level!r}.")
        _state(ctx)[LEVEL_KEY] = params.level
        return EmptyResult()

    def _call(self, ctx: Context) -> Call:
        return Call(self._services, _principal(ctx), ctx)


class _InternalError(PlatformError):
    """What nobody foresaw."""


def _principal(ctx: Context) -> Principal:
    found = CONNECTED.get() if ctx.request is None else principal_of(ctx.request.scope)
    if found is None:
        raise as_protocol_error(access.unauthenticated())
    return found


def _connection(ctx: Context) -> Any:
    return ctx.session._connection  # noqa: SLF001  # the SDK gives it to transports alone


def _state(ctx: Context) -> dict[str, Any]:
    state: dict[str, Any] = _connection(ctx).state
    return state


def _page(items: list[Any], params: PaginatedRequestParams | None) -> tuple[list[Any], str | None]:
    cursor = (params.cursor if params is not None else None) or "0"
    if not (cursor.isascii() and cursor.isdigit() and int(cursor) <= len(items)):
        raise MCPError(INVALID_PARAMS, "The cursor is not one of this list's.")
    start = int(cursor)
    end = start + PAGE
    return items[start:end], str(end) if end < len(items) else None


def as_protocol_error(error: PlatformError) -> MCPError:
    """An error of the platform where the protocol has no place for a result that is one."""
    match error:
        case NotFoundError():
            code = INVALID_PARAMS
        case UnauthenticatedError():
            code = -32001
        case _:
            code = INTERNAL_ERROR if error.retryable else INVALID_PARAMS
    return MCPError(code, error.message, {"code": error.code, "retryable": error.retryable, **error.details})


async def _in_thread(function: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


async def _asked(function: Any, *arguments: Any) -> Any:
    try:
        return await asyncio.to_thread(function, *arguments)
    except PlatformError as error:
        raise as_protocol_error(error) from error
