"""One request of a client, as tools and resources see it: on whose behalf, with which services, and how to talk back."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.context import ServerRequestContext
    from mcp.types import LoggingLevel

    from api.dependencies import Services
    from resources.tenants.model import Principal

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
LEVEL_KEY = "mcp_log_level"


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, and the request's own way back to the client.

    `answers` and `state` are what the client sends when it was asked for something in the round before (2026-07-28).
    """

    services: Services
    principal: Principal
    context: ServerRequestContext[Any, Any]
    answers: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def tenant(self) -> str:
        return self.principal.tenant

    async def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell how far it is, if the client wants to know. `done` has to grow from call to call."""
        await self.context.session.report_progress(done, total, message)

    async def log(self, level: LoggingLevel, message: str, **facts: Any) -> None:
        """A line for whoever watches the call, if they want lines of this level."""
        wanted = self.context.session._connection.state.get(LEVEL_KEY, "debug")  # noqa: SLF001  # the SDK's own scratch space
        if LEVELS.index(level) < LEVELS.index(wanted):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated in the newest protocol, and still what clients of today show
            await self.context.session.send_log_message(
                level, {"message": message, **facts}, logger="aiw", related_request_id=self.context.request_id
            )
