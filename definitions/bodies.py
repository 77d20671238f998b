"""The body of a loop, of a parallel group, or of a map within a map: nodes that are executed within one step."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from definitions.attempts import MAX_PREVIEW_BYTES, Attempt, as_output, preview, shown_as_metadata, shown_config
from definitions.flow import Flow, item_output, sub_flow, workflow_outputs
from resources.errors import ConflictError, LimitExceededError, PlatformError
from resources.workflows.context import NodeResult, TaskContext
from resources.workflows.graph import Level
from resources.workflows.inputs import check_inputs
from resources.workflows.node_type import Routed
from resources.workflows.spec import RetrySpec

if TYPE_CHECKING:
    from definitions.steps import Step

MAX_ITERATIONS: Final = 10_000
MAX_TOLD_WITHIN: Final = 500
"""Nodes in bodies of loops that a run tells of; the loop itself tells of all its passes."""


class Body:
    """The body of a loop (or of a map within a map): its nodes, one after another, within one step."""

    def __init__(self, step: "Step", context: dg.OpExecutionContext, attempt: Attempt, deadline: float | None) -> None:
        self._step = step
        self._context = context
        self._attempt = attempt
        self._deadline = deadline
        self._iterations = 0
        self._pass = ""

    def __call__(self, task: TaskContext) -> TaskContext:
        """Once more. Raises LimitExceededError after MAX_ITERATIONS, and when the loop's time is up."""
        node = self._step.node
        if self._iterations >= MAX_ITERATIONS:
            raise LimitExceededError(
                f"The loop {node.id!r} has turned {MAX_ITERATIONS:,} times, and no loop may turn more often.",
                code="loop_too_long",
            )
        level = self._step.body
        assert level is not None
        started = time.monotonic()
        self._pass = f"[{self._iterations}]"
        try:
            after = self.level(level, task, self._step.flow)
        except BaseException as error:
            self._tell(started, success=False, description=str(error))
            raise
        self._tell(started, success=True, description=None, outputs=item_output(level, after.nodes))
        return after

    def each(self, config: Any, items: Sequence[Any], task: TaskContext) -> list[Any]:
        """The body of a map, for one item after another."""
        level, flow = self._step.body, self._step.flow
        assert level is not None
        outputs: list[Any] = []
        for index, item in enumerate(items):
            self._pass = f"[{index}]"
            after = self.level(level, task.within(**{config.as_: item, "index": index}), flow)
            outputs.append(item_output(level, after.nodes))
        return outputs

    def _tell(self, started: float, *, success: bool, description: str | None, outputs: Any = None) -> None:
        metadata: dict[str, Any] = {"milliseconds": round((time.monotonic() - started) * 1000, 3)}
        if outputs is not None:
            metadata["outputs"] = shown_as_metadata(preview(outputs))
        self._context.log_event(
            dg.ExpectationResult(
                success=success,
                label=f"iteration {self._iterations}",
                description=description[:MAX_PREVIEW_BYTES] if description else None,
                metadata=metadata,
            )
        )
        self._iterations += 1

    def level(self, level: Level, task: TaskContext, flow: Flow) -> TaskContext:
        """The nodes of a level in order; one whose dependencies were not met is left out."""
        taken: dict[str, tuple[str, ...]] = {}
        ran: set[str] = set()
        for node in level.nodes:
            self._check()
            met = [
                dependency.node in ran
                and (dependency.branch is None or dependency.branch in taken.get(dependency.node, ()))
                for dependency in level.dependencies.get(node.id, ())
            ]
            if met and not (any(met) if node.join == "any" else all(met)):
                continue
            output = self._node(self._step.beside(flow, node, level.bodies.get(node.id)), task)
            if isinstance(output, Routed):
                taken[node.id] = output.branches
                output = output.output
            ran.add(node.id)
            task = task.merge([NodeResult(node.id, output)], at=datetime.now(UTC))
        return task

    def _node(self, step: "Step", task: TaskContext) -> Any:
        for attempt in range(1, (step.retry.attempts if step.retry else 0) + 2):
            try:
                return self._once(step, task, attempt)
            except Exception as error:
                last = step.retry is None or attempt > step.retry.attempts
                retryable = error.retryable if isinstance(error, PlatformError) else True
                if not last and retryable:
                    assert step.retry is not None
                    self._attempt.live.cancel.wait(_pause(step.retry, attempt))
                    continue
                if step.gives_in(error, attempt):
                    return as_output(error)
                raise
        raise AssertionError("a try ends with an answer or an error")

    def _once(self, step: "Step", task: TaskContext, number: int) -> Any:
        match step.type.kind:
            case "parallel":
                assert step.body is not None
                return _outputs(step.body, self.level(step.body, task, step.flow))
            case "sub_workflow":
                return self._sub_workflow(step, task)
        attempt = replace(
            self._attempt,
            key=f"{self._attempt.key}.{step.node.id}{self._pass}",
            type=step.type.name,
            number=number,
            inner=True,
            started=time.monotonic(),
        )
        if attempt.live.told_within >= MAX_TOLD_WITHIN:
            return step.execute(self._context, task, step.render(task), attempt, self._deadline)
        attempt.live.told_within += 1
        config = step.render(task)
        attempt.began(shown_config(config))
        try:
            output = step.execute(self._context, task, config, attempt, self._deadline)
        except Exception as error:
            attempt.live.node_failed(attempt.key, attempt=number, error=str(error))
            raise
        attempt.ended(output.output if isinstance(output, Routed) else output)
        return output

    def _sub_workflow(self, step: "Step", task: TaskContext) -> Any:
        config = step.render(task)
        flow = sub_flow(step.flow, step.node)
        given = check_inputs(flow.workflow.spec, config.inputs)
        inner = replace(
            task,
            event_data=given,
            workflow_type=flow.workflow.spec.name,
            nodes={},
            scope={},
            environment=flow.workflow.spec.config.environment,
        )
        after = self.level(flow.workflow.level, inner, flow)
        return workflow_outputs(flow, after)

    def _check(self) -> None:
        if self._attempt.live.cancel.is_set():
            raise ConflictError(f"The node {self._step.node.id!r} was cancelled.", code="node_cancelled")
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise self._step.too_late()


def _outputs(body: Level, task: TaskContext) -> dict[str, Any]:
    return {node.id: task.nodes[node.id] for node in body.nodes if node.id in task.nodes}


def _pause(retry: RetrySpec, attempt: int) -> float:
    factor: int = {"fixed": 1, "linear": attempt, "exponential": 2 ** (attempt - 1)}[retry.backoff]
    return min(retry.delay * factor, 3600.0)
