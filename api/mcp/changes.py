"""What has changed for a tenant, told to its clients: lists of tools, prompts and resources, and resources that somebody watches.

The event store is where changes come from, so a change that was made over HTTP, at the shell or by another process is told as
well. One reader a process, and only while somebody listens.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from anyio import move_on_after
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.subscriptions import PromptsListChanged, ResourcesListChanged, ResourceUpdated, ToolsListChanged

from api.mcp.server import SUBSCRIBED
from resources.errors import UnavailableError
from resources.events.catalog import (
    DefinitionArchived,
    DefinitionPublished,
    DefinitionRestored,
    DocumentReady,
    DocumentReceived,
    DocumentRejected,
    DocumentRemoved,
    NodeCompleted,
    NodeFailed,
    PromptLabelled,
    PromptPublished,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
)
from resources.events.live import afollow
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mcp.server.connection import Connection
    from mcp.server.context import ServerRequestContext
    from mcp.server.subscriptions import ServerEvent
    from mcp.types import SubscriptionsListenRequestParams, SubscriptionsListenResult

    from resources.events.store import EventStore

log = get_logger(__name__)

PATIENCE: Final = 1.0
"""Seconds that a client which reads nothing may hold up the others."""

_PAUSE = 5.0


def _definition(_: Mapping[str, Any]) -> Iterator[ServerEvent]:
    yield ToolsListChanged()
    yield ResourcesListChanged()


def _prompt(_: Mapping[str, Any]) -> Iterator[ServerEvent]:
    yield PromptsListChanged()


def _document(data: Mapping[str, Any]) -> Iterator[ServerEvent]:
    yield ResourcesListChanged()
    yield ResourceUpdated(f"aiw://documents/{data['document_id']}")


def _run(data: Mapping[str, Any]) -> Iterator[ServerEvent]:
    yield ResourceUpdated(f"aiw://runs/{data['workflow_id']}")


CHANGES: dict[str, Callable[[Mapping[str, Any]], Iterator[ServerEvent]]] = {
    **{fact.event_type: _definition for fact in (DefinitionPublished, DefinitionArchived, DefinitionRestored)},
    **{fact.event_type: _prompt for fact in (PromptPublished, PromptLabelled)},
    **{fact.event_type: _document for fact in (DocumentReceived, DocumentReady, DocumentRejected, DocumentRemoved)},
    **{
        fact.event_type: _run
        for fact in (WorkflowStarted, NodeCompleted, NodeFailed, WorkflowCompleted, WorkflowFailed, WorkflowCancelled)
    },
}
"""What each kind of event changes for clients."""


class Changes:
    """For one event loop. `close` ends the reader and tells all who listen that it is over."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._buses: dict[str, InMemorySubscriptionBus] = {}
        self._listeners: dict[str, ListenHandler] = {}
        self._connections: dict[str, set[Connection]] = {}
        self._reader: asyncio.Task[None] | None = None

    def add(self, tenant: str, connection: Connection) -> None:
        """A connection of the older era, until it is closed."""
        connections = self._connections.setdefault(tenant, set())
        connections.add(connection)
        connection.exit_stack.callback(connections.discard, connection)
        self._read_on()

    async def listen(
        self, tenant: str, context: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve one subscription of the newer era."""
        if tenant not in self._listeners:
            bus = self._buses[tenant] = InMemorySubscriptionBus()
            self._listeners[tenant] = ListenHandler(bus, max_subscriptions=256)
        self._read_on()
        return await self._listeners[tenant](context, params)

    async def close(self) -> None:
        """Nobody is told anything any more."""
        for listener in self._listeners.values():
            listener.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def _read_on(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(), name="mcp-changes")

    async def _read(self) -> None:
        after: int | None = None
        while True:
            try:
                after = await asyncio.to_thread(self._events.head, tenant=None) if after is None else after
                async for event in afollow(self._events, after_position=after, types=tuple(CHANGES), tenant=None):
                    after = event.position
                    for change in CHANGES[event.type](event.data):
                        await self.tell(event.tenant, change)
            except UnavailableError as error:
                log.warning("mcp.changes_unread", reason=error.message)
                await asyncio.sleep(_PAUSE)

    async def tell(self, tenant: str, change: ServerEvent) -> None:
        """Tell the tenant's clients."""
        if (bus := self._buses.get(tenant)) is not None:
            await bus.publish(change)
        for connection in tuple(self._connections.get(tenant, ())):
            with move_on_after(PATIENCE):
                match change:
                    case ToolsListChanged():
                        await connection.send_tool_list_changed()
                    case PromptsListChanged():
                        await connection.send_prompt_list_changed()
                    case ResourcesListChanged():
                        await connection.send_resource_list_changed()
                    case ResourceUpdated(uri) if uri in connection.state.get(SUBSCRIBED, ()):
                        await connection.send_resource_updated(uri)
