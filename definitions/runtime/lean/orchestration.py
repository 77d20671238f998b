"""The context around a run's steps, with logs that cost little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.context_creation_job import orchestration_context_event_generator

from definitions.runtime.lean.logs import brings_loggers, lean_logs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterEvent


def lean_orchestration(*args: Any, **kwargs: Any) -> Iterator[DagsterEvent | PlanOrchestrationContext]:
    """For `PlanOrchestrationContextManager`."""
    for made in orchestration_context_event_generator(*args, **kwargs):
        if isinstance(made, PlanOrchestrationContext) and not brings_loggers(made.job.get_definition()):
            made._log_manager = lean_logs(made.log, made.instance)  # noqa: SLF001
        yield made
