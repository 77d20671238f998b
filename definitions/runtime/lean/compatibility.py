"""Every private part of Dagster that the lean runtime leans on, and whether the installed Dagster has them.

The lean runtime was written against the sources of `TESTED` and is compared with the stock runtime, kind of op by kind of op,
in `tests/definitions/runtime/lean`. With another release, or when a part is missing or takes other parameters, runs are
executed by the stock executor and events stored by the stock statements: slower, and otherwise the same.
"""

from __future__ import annotations

import importlib
import inspect
from functools import lru_cache
from importlib.metadata import version
from typing import Final

TESTED: Final = {"dagster": ("1.13.27",), "dagster-postgres": ("0.29.27",)}

# module: {name: parameters that are passed to it, or None for what is only looked up}
PRIVATE_PARTS: Final[dict[str, dict[str, tuple[str, ...] | None]]] = {
    "dagster._core.execution.api": {
        "ExecuteRunWithPlanIterable": ("execution_plan", "iterator", "execution_context_manager"),
        "create_execution_plan": ("job", "run_config", "step_keys_to_execute", "known_state", "instance_ref", "tags"),
        "job_execution_iterator": ("job_context", "execution_plan"),
        "execute_run_iterator": ("job", "dagster_run", "instance"),
    },
    "dagster._core.execution.context_creation_job": {
        "PlanExecutionContextManager": (
            "job",
            "execution_plan",
            "scoped_resources_builder_cm",
            "step_dependency_config",
        ),
        "PlanOrchestrationContextManager": ("context_event_generator", "job", "execution_plan", "dagster_run"),
        "orchestration_context_event_generator": ("job", "execution_plan", "run_config", "dagster_run", "instance"),
    },
    "dagster._core.execution.context.system": {
        "PlanExecutionContext": None,
        "PlanOrchestrationContext": None,
        "StepExecutionContext.for_type": ("dagster_type",),
        "StepExecutionContext.get_output_metadata": ("output_name",),
    },
    "dagster._core.execution.context.compute": {
        "enter_execution_context": ("step_context",),
        "current_execution_context": None,
    },
    "dagster._core.errors": {"raise_execution_interrupts": ()},
    "dagster._core.execution.compute_logs": {"create_compute_log_file_key": ()},
    "dagster._core.execution.plan.active": {
        "ActiveExecution": ("execution_plan", "retry_mode", "max_concurrent", "instance_concurrency_context"),
        "ActiveExecution._update": (),
        "ActiveExecution._mark_complete": ("step_key",),
        "ActiveExecution.mark_up_for_retry": ("step_key", "at_time"),
        "ActiveExecution.mark_step_produced_output": ("step_output_handle",),
        "ActiveExecution.mark_interrupted": (),
        "ActiveExecution.plan_events_iterator": ("job_context",),
        "ActiveExecution.concurrency_event_iterator": ("plan_context",),
    },
    "dagster._core.execution.plan.compute_generator": {
        "invoke_compute_fn": ("fn", "context", "kwargs", "context_arg_provided", "config_arg_cls", "resource_args"),
        "validate_and_coerce_op_result_to_iterator": ("result", "context", "output_defs"),
    },
    "dagster._core.execution.plan.execute_plan": {
        "_trigger_hook": ("step_context", "step_event_list"),
        "_handle_compute_log_setup_error": ("context", "exc_info"),
        "_handle_compute_log_teardown_error": ("context", "exc_info"),
        "dagster_event_sequence_for_step": ("step_context",),
    },
    "dagster._core.execution.plan.execute_step": {
        "_step_output_error_checked_user_event_sequence": ("step_context", "user_event_sequence"),
        "_type_check_output": ("step_context", "step_output_handle", "output"),
        "_type_checked_event_sequence_for_input": ("step_context", "input_name", "input_value"),
    },
    "dagster._core.execution.plan.instance_concurrency_context": {
        "InstanceConcurrencyContext": ("instance", "dagster_run"),
        "InstanceConcurrencyContext.free_step": ("step_key",),
    },
    "dagster._core.execution.plan.utils": {"op_execution_error_boundary": ("error_cls", "msg_fn", "step_context")},
    "dagster._core.execution.resources_init": {"resource_initialization_manager": ("log_manager", "instance")},
    "dagster._core.definitions.decorators.op_decorator": {
        "DecoratedOpFunction.has_context_arg": (),
        "DecoratedOpFunction.get_config_arg": (),
        "DecoratedOpFunction.get_resource_args": (),
    },
    "dagster._core.definitions.scoped_resources_builder": {"ScopedResourcesBuilder.build": ("required_resource_keys",)},
    "dagster._core.events": {
        "DagsterEvent": ("event_type_value", "job_name", "step_handle", "node_handle", "step_kind_value"),
        "DagsterEvent.step_output_event": ("step_context", "step_output_data"),
        "DagsterEvent.step_restarted_event": ("step_context", "previous_attempts"),
        "DagsterEvent.capture_logs": ("job_context", "step_keys", "log_key", "log_context"),
        "HandledOutputData": ("output_name", "manager_key", "metadata"),
        "LoadedInputData": ("input_name", "manager_key", "upstream_output_name", "upstream_step_key"),
        "ASSET_EVENTS": None,
        "ASSET_CHECK_EVENTS": None,
    },
    "dagster._core.events.log": {
        "EventLogEntry": ("error_info", "level", "user_message", "run_id", "timestamp", "step_key", "job_name")
    },
    "dagster._core.log_manager": {
        "DagsterLogHandler": ("metadata", "loggers", "handlers"),
        "DagsterLogManager": ("dagster_handler", "level", "managed_loggers"),
        "DagsterLogManager.log_dagster_event": ("level", "msg", "dagster_event", "batch_metadata"),
        "DagsterLogManager.with_tags": (),
    },
    "dagster._core.executor.in_process": {"InProcessExecutor": ("retries",)},
    "dagster._core.executor.multiprocess": {"MultiprocessExecutor": ("retries", "max_concurrent")},
    "dagster._core.execution.retries": {"auto_reexecution_should_retry_run": ("instance", "run", "run_failure_reason")},
    "dagster._grpc.impl": {
        "core_execute_run": ("recon_job", "dagster_run", "instance", "inject_env_vars"),
        "_report_run_failed_if_not_finished": ("instance", "run_id"),
    },
    "dagster._utils.error": {"serializable_error_info_from_exc_info": ("exc_info",)},
    "dagster_postgres.event_log": {
        "PostgresEventLogStorage._connect": (),
        "PostgresEventLogStorage.handles_run_events_in_store_event": None,
    },
}


@lru_cache(maxsize=1)
def differs() -> str | None:
    """In what the installed Dagster is not the one that this was written for; None if it is."""
    for package, tested in TESTED.items():
        if version(package) not in tested:
            return f"{package} {version(package)} is installed, tested with {', '.join(tested)}"
    for module, parts in PRIVATE_PARTS.items():
        for name, parameters in parts.items():
            if problem := _problem(module, name, parameters):
                return problem
    return None


def _problem(module: str, name: str, parameters: tuple[str, ...] | None) -> str | None:
    try:
        part = importlib.import_module(module)
        for step in name.split("."):
            part = getattr(part, step)
    except (ImportError, AttributeError):
        return f"{module} has no {name}"
    if parameters is not None:
        accepted = inspect.signature(part).parameters  # type: ignore[arg-type]
        missing = [parameter for parameter in parameters if parameter not in accepted]
        if missing:
            return f"{module}.{name} takes no {', '.join(missing)}"
    return None
