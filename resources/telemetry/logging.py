"""Structured logs through structlog: events with fields, not prose.

`log = get_logger(__name__)`, then `log.info("run.launched", run_id=..., workflow=...)`. Every line carries the correlation id.
On a terminal the lines are readable; elsewhere they are JSON, one object a line. Standard-library loggers (uvicorn, dagster,
neo4j) go through the same renderer.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Literal, cast

import structlog

from resources.telemetry import correlation

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "json", "console"]


def _add_correlation_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.setdefault("correlation_id", correlation.current())
    return event


def configure_logging(*, level: str = "info", format: LogFormat = "auto", service: str = "aiw") -> None:
    """Set up logging for this process. `service` names it in every line (`api`, `pool`, `cli`)."""
    readable = format == "console" or (format == "auto" and sys.stderr.isatty())

    def _add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_correlation_id,
        _add_service,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = (
        # Not rich's tracebacks: they take seconds, and print local variables, secrets among them.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if readable
        else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        # What is not shown costs nothing more.
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not readable:
        last.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*last, renderer]))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def set_level(level: str) -> None:
    """Show what is at least that severe, from now on."""
    logging.getLogger().setLevel(level.upper())


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose methods take an event name and fields."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(name))


def bind(**fields: Any) -> None:
    """Add fields to every further line of this context (request, run)."""
    structlog.contextvars.bind_contextvars(**fields)
