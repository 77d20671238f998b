"""Log managers that cost little: events of Dagster go straight to the event log, not through Python's logging."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from dagster import colored_console_logger
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.resources_init import resource_initialization_manager
from dagster._core.log_manager import DagsterLogHandler, DagsterLogManager

if TYPE_CHECKING:
    from typing import Self

    from dagster import DagsterInstance, JobDefinition
    from dagster._core.events import DagsterEvent

current_step: ContextVar[str | None] = ContextVar("current_step", default=None)


class StepAbandonedError(BaseException):
    """Ends the thread of a step that nobody waits for any more. No Exception: user code must not catch it."""


class StepAwareHandler(DagsterLogHandler):
    """Attributes a line that was logged with a logger of the whole process to the step of its thread or task."""

    @property
    def _metadata(self) -> Any:
        step_key = current_step.get()
        return {**self._of_run, "step_key": step_key, "op_name": step_key} if step_key else self._of_run

    @_metadata.setter
    def _metadata(self, metadata: Any) -> None:
        self._of_run = metadata


class LeanLogManager(DagsterLogManager):
    """`closed`: its step was abandoned; what it still says is not heard."""

    def __init__(self, instance: DagsterInstance, handler: DagsterLogHandler, level: int, managed: Any) -> None:
        super().__init__(handler, level, managed)
        self._instance = instance
        self.closed = False

    def log_dagster_event(
        self, level: str | int, msg: str, dagster_event: DagsterEvent, batch_metadata: Any = None
    ) -> None:
        if self.closed:
            raise StepAbandonedError
        metadata = self._dagster_handler.metadata
        entry = EventLogEntry(
            error_info=None,
            level=level,
            user_message=msg,
            run_id=metadata["run_id"] or "",
            timestamp=time.time(),
            step_key=metadata["step_key"] or dagster_event.step_key,
            job_name=metadata["job_name"],
            dagster_event=dagster_event,
        )
        self._instance.handle_new_event(entry, batch_metadata=batch_metadata)

    def log(self, level: str | int, msg: object, *args: Any, **kwargs: Any) -> None:
        if self.closed:
            raise StepAbandonedError
        super().log(level, msg, *args, **kwargs)

    def with_tags(self, **new_tags: str) -> Self:
        handler = self._dagster_handler.with_tags(**new_tags)
        return type(self)(self._instance, handler, self.level, self._managed_loggers)


def lean_logs(stock: DagsterLogManager, instance: DagsterInstance) -> LeanLogManager:
    """Like `stock`, but for the copy of each line on the console."""
    handler = stock._dagster_handler  # noqa: SLF001
    ours = StepAwareHandler(handler._metadata, [], handler._handlers)  # noqa: SLF001
    return LeanLogManager(instance, ours, stock.level, stock._managed_loggers)  # noqa: SLF001


def brings_loggers(job: JobDefinition) -> bool:
    """Whether a job has loggers of its own: these see every event, as they do in stock."""
    return any(logger is not colored_console_logger for logger in job.loggers.values())


def resources_with_lean_logs(*, log_manager: DagsterLogManager, instance: DagsterInstance, **rest: Any) -> Any:
    """For `PlanExecutionContextManager`: start resources with logs that cost little."""
    return resource_initialization_manager(log_manager=lean_logs(log_manager, instance), instance=instance, **rest)
