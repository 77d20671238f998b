"""What happens within one step of a workflow: from the values on the edges of the graph to the node's result.

The builder makes an op of each node; the op calls `Step.run`. Everything that costs is done when the job is built: a config
without expressions is checked once, and not for each run.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg
from pydantic import ValidationError

from assets.costs import cost_metadata
from assets.failures import as_failure
from assets.partitions import (
    CORRELATION_TAG,
    EXECUTOR_TAG,
    PARTITION_TAG,
    USER_TAG,
    node_of,
    tenant_of,
)
from definitions.attempts import Attempt, as_output, shown_config
from definitions.bodies import Body
from definitions.charging import asset_path, tell_cost_of_run
from definitions.flow import Flow, item_output
from definitions.runtime.lean.light import step_key_of
from definitions.runtime.lean.logs import LeanLogManager
from definitions.runtime.lean.threads import call_within
from definitions.runtime.live import live_run
from resources.ai.booking import Places, booked
from resources.errors import InvalidInputError, LimitExceededError, PlatformError, Problem
from resources.telemetry import correlation
from resources.workflows.context import NodeResult, TaskContext
from resources.workflows.graph import Level
from resources.workflows.node_type import NodeContext, NodeType, Routed
from resources.workflows.spec import NodeSpec, RetrySpec

GRACE_SECONDS: Final = 0.2
"""A node that looks at its deadline ends by itself, which is better than to be left alone."""


@dataclass(slots=True)
class Step:
    """One node, ready to be executed any number of times."""

    flow: Flow
    node: NodeSpec
    body: Level | None = None
    constant: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        if not _has_expressions(self.node.config, self.type.lazy):
            self.constant = self._config(self.node.config)

    def beside(self, flow: Flow, node: NodeSpec, body: Level | None) -> "Step":
        """The step of another node, one that is executed within this one."""
        return Step(flow, node, body)

    @property
    def type(self) -> NodeType:
        return self.flow.types[self.node.type]

    @property
    def tolerant(self) -> bool:
        """Whether a failure becomes the node's output."""
        return self.node.continue_on_error or self.flow.workflow.spec.config.continue_on_error

    @property
    def retry(self) -> RetrySpec | None:
        return self.node.retry or self.flow.workflow.spec.config.retry

    def run(self, context: dg.OpExecutionContext, results: Sequence[NodeResult]) -> tuple[Any, dict[str, Any]]:
        """Execute the node once. Returns what it gave and the metadata of its output; errors of ours leave as `dg.Failure`."""

        def execute(task: TaskContext, attempt: Attempt) -> Any:
            config = self.render(task)
            attempt.began(shown_config(config))
            return self.execute(context, task, config, attempt)

        return self._attempted(context, results, execute)

    def run_body(self, context: dg.OpExecutionContext, results: Sequence[NodeResult]) -> tuple[Any, dict[str, Any]]:
        """Execute the body once, as a step of its own: for one item of a map."""

        def execute(task: TaskContext, attempt: Attempt) -> Any:
            assert self.body is not None
            attempt.began(dict(task.scope))
            after = Body(self, context, attempt, self._deadline(None)).level(self.body, task, self.flow)
            return item_output(self.body, after.nodes)

        return self._attempted(context, results, execute)

    def _attempted(
        self,
        context: dg.OpExecutionContext,
        results: Sequence[NodeResult],
        execute: Callable[[TaskContext, Attempt], Any],
    ) -> tuple[Any, dict[str, Any]]:
        live = live_run(context.run_id)
        attempt = Attempt(live, node_of(step_key_of(context)), self.type.name, context.retry_number + 1)
        with correlation.correlated(context.run.tags.get(CORRELATION_TAG, context.run_id)), booked() as booking:
            try:
                task = self.flow.task(context, results)
                booking.places = self.places(context, task)
                output = execute(task, attempt)
            except PlatformError as error:
                if not self.gives_in(error, attempt.number):
                    raise as_failure(error, cost_metadata(booking.by_prompt)) from error
                output = as_output(error)
            except Exception as error:
                if isinstance(error, dg.Failure | dg.RetryRequested) or not self.gives_in(error, attempt.number):
                    raise
                output = as_output(error)
            finally:
                if booking.by_prompt:
                    tell_cost_of_run(context, self.flow.tenant or tenant_of(context.run))
        metadata = attempt.ended(output.output if isinstance(output, Routed) else output)
        return output, metadata | cost_metadata(booking.by_prompt)

    def places(self, context: dg.OpExecutionContext, task: TaskContext) -> Places:
        """What the step's calls of models are booked on. The partition, if it is known before the asset's node has run."""
        tags, owner = context.run.tags, self.flow.charged.get(self.node.id)
        partition = tags.get(PARTITION_TAG)
        if owner is None or owner.asset is None:
            return Places(partition=partition, user=tags.get(USER_TAG))
        if owner.asset.partition is not None:
            known = not self.flow.expressions.references(owner.asset.partition).nodes
            partition = str(self.flow.expressions.render(owner.asset.partition, task)) if known else None
        return Places("/".join(asset_path(owner.asset, self.flow.tenant)), partition, tags.get(USER_TAG))

    def render(self, task: TaskContext) -> Any:
        """The node's config with its expressions filled in. Raises InvalidInputError with all that is wrong."""
        if self.constant is not None:
            return self.constant
        lazy = self.type.lazy
        render = self.flow.expressions.render
        eager = render({name: value for name, value in self.node.config.items() if name not in lazy}, task)
        return self._config({name: eager.get(name, value) for name, value in self.node.config.items()})

    def execute(
        self,
        context: dg.OpExecutionContext,
        task: TaskContext,
        config: Any,
        attempt: Attempt,
        deadline: float | None = None,
    ) -> Any:
        """Call the node's function. `deadline`: of what is around it, if that comes before its own."""
        timeout = self.node.timeout
        if timeout is None or not (attempt.inner or self.limits_itself(context.run)):
            return self._call(context, task, config, attempt, deadline=deadline, log=context.log)
        log = context.log.with_tags()
        try:
            return call_within(
                timeout + GRACE_SECONDS, lambda: self._call(context, task, config, attempt, deadline=deadline, log=log)
            )
        except TimeoutError as error:
            if isinstance(log, LeanLogManager):
                log.closed = True  # what it still says is not heard
            raise self.too_late() from error

    def limits_itself(self, run: dg.DagsterRun) -> bool:
        """Whether the step, and not the executor, sees to its time: stock's executors do not, and ours knows failures only."""
        return self.tolerant or run.tags.get(EXECUTOR_TAG, "lean") != "lean"

    def too_late(self) -> LimitExceededError:
        """What is raised when the node's time is up."""
        message = f"The node {self.node.id!r} did not end within {self.node.timeout:g} seconds."
        return LimitExceededError(message, code="node_timeout", retry_after=0.0)

    def _call(
        self,
        context: dg.OpExecutionContext,
        task: TaskContext,
        config: Any,
        attempt: Attempt,
        *,
        deadline: float | None,
        log: dg.DagsterLogManager,
    ) -> Any:
        function = self.type.run
        assert function is not None, f"nodes of the type {self.type.name!r} are made of their bodies"
        deadline = self._deadline(deadline)
        render = self.flow.expressions.render
        body = Body(self, context, attempt, deadline) if self.body is not None else None

        def rendered(value: Any, *, task: TaskContext = task, **scope: Any) -> Any:
            return render(value, task, **scope)

        output = function(
            config,
            NodeContext(
                tenant=task.tenant or "",
                workflow=self.flow.workflow.spec.name,
                version=self.flow.revision,
                run_id=context.run_id,
                node_id=self.node.id,
                attempt=attempt.number,
                task=task,
                resource=lambda name: getattr(context.resources, name),
                render=rendered,
                body=body or _no_body,
                log=log,
                report=attempt.report.update,
                emit=attempt.live.emitter(attempt.key),
                deadline=deadline,
                correlation_id=context.run.tags.get(CORRELATION_TAG),
                memo=self.node.memo or self.flow.workflow.spec.config.memo,
                root_run_id=context.run.root_run_id,
                cancel=attempt.live.cancel,
            ),
        )
        return body.each(config, output, task) if body is not None and self.type.kind == "map" else output

    def _config(self, values: Mapping[str, Any]) -> Any:
        try:
            return self.type.config.model_validate(values)
        except ValidationError as error:
            problems = tuple(
                Problem(".".join(["nodes", self.node.id, "config", *map(str, found["loc"])]), found["msg"])
                for found in error.errors(include_url=False)
            )
            message = f"The config of the node {self.node.id!r} does not fit: {problems[0]}"
            raise InvalidInputError(message, problems=problems, code="node_config_invalid") from error

    def _deadline(self, around: float | None) -> float | None:
        if self.node.timeout is None:
            return around
        own = time.monotonic() + self.node.timeout
        return own if around is None else min(own, around)

    def gives_in(self, error: Exception, attempt: int) -> bool:
        """Whether the failure becomes the output: asked for, and there is no further try."""
        if not self.tolerant or self.type.kind == "router" or getattr(error, "code", None) == "node_cancelled":
            return False
        retryable = error.retryable if isinstance(error, PlatformError) else True
        return not retryable or attempt > (self.retry.attempts if self.retry else 0)


def _has_expressions(config: Mapping[str, Any], lazy: frozenset[str]) -> bool:
    def found(value: Any) -> bool:
        if isinstance(value, str):
            return "{" in value or "$" in value
        if isinstance(value, Mapping):
            return any(map(found, value.values()))
        return isinstance(value, list | tuple) and any(map(found, value))

    return any(found(value) for name, value in config.items() if name not in lazy)


def _no_body(task: TaskContext) -> TaskContext:
    return task
