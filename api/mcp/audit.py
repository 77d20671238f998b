"""Every call of a tool becomes an event of the caller's tenant; what changes something is on record before it is answered."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from resources.errors import PlatformError
from resources.events.catalog import McpToolCalled
from resources.events.model import EventMetadata, StreamId
from resources.telemetry import correlation
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from api.mcp.tool import BoundTool
    from resources.events.model import Appended
    from resources.events.writer import EventWriter
    from resources.tenants.model import Principal

log = get_logger(__name__)


class EventAudit:
    """Writes through the batching writer, so that reading tools wait for no disk."""

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer

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
        fact = McpToolCalled(
            server=server,
            tool=tool.name,
            scope=tool.scope,
            arguments=tuple(name[:100] for name in arguments),
            outcome=outcome,
            duration_ms=round(seconds * 1000),
        )
        metadata = EventMetadata(
            correlation_id=correlation.current(),
            user_id=principal.subject,
            session_id=None if principal.session_id is None else str(principal.session_id),
            source="mcp",
        )
        try:
            stored = self._writer.submit(
                StreamId("mcp_call", str(uuid.uuid4())), [fact.new(metadata=metadata)], tenant=principal.tenant
            )
        except PlatformError as error:
            _unwritten(error)
            return
        hints = tool.declaration.annotations
        if hints is not None and hints.read_only_hint:
            stored.add_done_callback(_look_at)
            return
        try:
            await asyncio.wrap_future(stored)
        except PlatformError as error:
            _unwritten(error)


def _look_at(stored: Future[tuple[Appended, ...]]) -> None:
    error = stored.exception()
    if isinstance(error, PlatformError):
        _unwritten(error)


def _unwritten(error: PlatformError) -> None:
    log.error("mcp.audit_unwritten", code=error.code, reason=error.message)
