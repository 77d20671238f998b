"""What happens within one step of a workflow: from the values on the edges of the graph to the node's result.

The builder makes an op of each node; the op calls `Step.run`. Everything that costs is done when the job is built: a config
without expressions is checked once, and not for each run.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg
import orjson
from pydantic import ValidationError

from assets.costs import cost_metadata, cost_tags
from assets.failures import as_failure, failures
from assets.partitions import (
    CORRELATION_TAG,
    DEFAULT_TENANT,
    EXECUTOR_TAG,
    PARTITION_TAG,
    USER_TAG,
    given_inputs,
    node_of,
    tenant_of,
)
from definitions.naming import job_name
from definitions.runtime.lean.light import step_key_of
from definitions.runtime.lean.logs import LeanLogManager
from definitions.runtime.lean.threads import call_within
from definitions.runtime.live import LiveRun, live_run
from resources.ai.booking import Places, booked
from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    PlatformError,
    Problem,
)
from resources.telemetry import correlation
from resources.telemetry.logging import get_logger
from resources.workflows.context import NodeResult, TaskContext
from resources.workflows.expressions import Expressions
from resources.workflows.graph import CheckedWorkflow, Level
from resources.workflows.inputs import check_inputs, partition_input_of
from resources.workflows.node_type import NodeContext, NodeType, NodeTypes, Routed
from resources.workflows.spec import AssetSpec, NodeSpec, RetrySpec

log = get_logger(__name__)

ITEM: Final = "_item"
INPUTS: Final = "_inputs"
"""Results with these names are no node's: an item with its index, and the inputs of a workflow within a workflow."""

MAX_ITERATIONS: Final = 10_000
MAX_PREVIEW_BYTES: Final = 4096
MAX_TOLD_WITHIN: Final = 500
"""Nodes in bodies of loops that a run tells of; the loop itself tells of all its passes."""
GRACE_SECONDS: Final = 0.2
"""A node that looks at its deadline ends by itself, which is better than to be left alone."""
_telling_cost = threading.Lock()
_SECRET = ("password", "secret", "token", "authorization", "api_key", "apikey", "credential")


@dataclass(frozen=True, slots=True)
class Flow:
    """What all steps of one workflow share. `tenant` None: the run's. `nested`: its inputs come along an edge.

    `charged` names, by node, the node whose asset its calls of models are booked on.
    """

    workflow: CheckedWorkflow
    types: NodeTypes
    expressions: Expressions
    tenant: str | None
    revision: int
    nested: bool = False
    charged: Mapping[str, NodeSpec] = field(default_factory=dict)

    def inputs(self, live: LiveRun, run: dg.DagsterRun) -> Mapping[str, Any]:
        """What the run was given, checked, with defaults. The answer for a run is remembered while it is executed."""
        spec = self.workflow.spec
        name = job_name(spec.name, self.tenant)
        if name not in live.inputs:
            live.inputs[name] = check_inputs(spec, given_inputs(run, partition_input_of(spec), job=name))
        return live.inputs[name]

    def task(self, context: dg.OpExecutionContext, results: Iterable[NodeResult]) -> TaskContext:
        """What the step may see: the inputs, and what came along its edges."""
        run = context.run
        live = live_run(run.run_id)
        nodes: dict[str, Any] = {}
        inputs: Mapping[str, Any] | None = None
        scope: Mapping[str, Any] = {}
        for result in results:
            if result.node == ITEM:
                scope = result.output
            elif result.node == INPUTS:
                inputs = result.output
            else:
                nodes[result.node] = result.output
        spec = self.workflow.spec
        return TaskContext(
            event_id=run.run_id,
            workflow_type=spec.name,
            event_data=self.inputs(live, run) if inputs is None else inputs,
            created_at=live.began_at,
            updated_at=datetime.now(UTC),
            nodes=nodes,
            environment=spec.config.environment,
            scope=scope,
            tenant=self.tenant or tenant_of(run),
        )


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

        def execute(task: TaskContext, attempt: _Attempt) -> Any:
            config = self.render(task)
            attempt.began(_shown(config))
            return self.execute(context, task, config, attempt)

        return self._attempted(context, results, execute)

    def run_body(self, context: dg.OpExecutionContext, results: Sequence[NodeResult]) -> tuple[Any, dict[str, Any]]:
        """Execute the body once, as a step of its own: for one item of a map."""

        def execute(task: TaskContext, attempt: _Attempt) -> Any:
            assert self.body is not None
            attempt.began(dict(task.scope))
            after = Body(self, context, attempt, self._deadline(None)).level(self.body, task, self.flow)
            return item_output(self.body, after.nodes)

        return self._attempted(context, results, execute)

    def _attempted(
        self,
        context: dg.OpExecutionContext,
        results: Sequence[NodeResult],
        execute: Callable[[TaskContext, "_Attempt"], Any],
    ) -> tuple[Any, dict[str, Any]]:
        live = live_run(context.run_id)
        attempt = _Attempt(live, node_of(step_key_of(context)), self.type.name, context.retry_number + 1)
        with correlation.correlated(context.run.tags.get(CORRELATION_TAG, context.run_id)), booked() as booking:
            try:
                task = self.flow.task(context, results)
                booking.places = self.places(context, task)
                output = execute(task, attempt)
            except PlatformError as error:
                if not self.gives_in(error, attempt.number):
                    raise as_failure(error, cost_metadata(booking.by_prompt)) from error
                output = _as_output(error)
            except Exception as error:
                if isinstance(error, dg.Failure | dg.RetryRequested) or not self.gives_in(error, attempt.number):
                    raise
                output = _as_output(error)
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
        attempt: "_Attempt",
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
        attempt: "_Attempt",
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


@dataclass(slots=True)
class _Attempt:
    """One try of one step: what is told about it. `inner`: of a node in a body that is executed within its step."""

    live: LiveRun
    key: str
    type: str
    number: int
    report: dict[str, Any] = field(default_factory=dict)
    given: Any = None
    inner: bool = False
    started: float = field(default_factory=time.monotonic)

    def began(self, given: Any) -> None:
        self.given = preview(given)
        self.live.node_started(self.key, self.type, attempt=self.number, given=self.given)

    def ended(self, output: Any) -> dict[str, Any]:
        """The metadata of the step's output."""
        told = preview(output)
        seconds = time.monotonic() - self.started
        self.live.node_completed(
            self.key, self.type, attempt=self.number, given=told, seconds=seconds, inner=self.inner
        )
        return {"input": shown_as_metadata(self.given), "output": shown_as_metadata(told), **self.report}


class Body:
    """The body of a loop (or of a map within a map): its nodes, one after another, within one step."""

    def __init__(self, step: Step, context: dg.OpExecutionContext, attempt: _Attempt, deadline: float | None) -> None:
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
            output = self._node(Step(flow, node, level.bodies.get(node.id)), task)
            if isinstance(output, Routed):
                taken[node.id] = output.branches
                output = output.output
            ran.add(node.id)
            task = task.merge([NodeResult(node.id, output)], at=datetime.now(UTC))
        return task

    def _node(self, step: Step, task: TaskContext) -> Any:
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
                    return _as_output(error)
                raise
        raise AssertionError("a try ends with an answer or an error")

    def _once(self, step: Step, task: TaskContext, number: int) -> Any:
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
        attempt.began(_shown(config))
        try:
            output = step.execute(self._context, task, config, attempt, self._deadline)
        except Exception as error:
            attempt.live.node_failed(attempt.key, attempt=number, error=str(error))
            raise
        attempt.ended(output.output if isinstance(output, Routed) else output)
        return output

    def _sub_workflow(self, step: Step, task: TaskContext) -> Any:
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


def sub_flow(flow: Flow, node: NodeSpec) -> Flow:
    """The flow of the workflow that a `sub_workflow` node calls. Raises NotFoundError."""
    name, revision = node.config["workflow"], node.config.get("revision")
    for (known, number), workflow in sorted(flow.workflow.workflows.items(), reverse=True):
        if known == name and revision in {None, number}:
            charged = charged_nodes(workflow.level)
            if (owner := flow.charged.get(node.id)) is not None:
                charged = dict.fromkeys(_ids(workflow.level), owner) | charged
            return replace(flow, workflow=workflow, revision=number, nested=True, charged=charged)
    raise NotFoundError(f"There is no workflow {name!r}, revision {revision or 'newest'}.", code="workflow_not_found")


def workflow_outputs(flow: Flow, task: TaskContext) -> Any:
    """What a workflow gives: its `outputs`, or, where it names none, those of its last nodes by id."""
    spec = flow.workflow.spec
    if spec.outputs:
        return flow.expressions.render(spec.outputs, task)
    return {node: task.nodes[node] for node in flow.workflow.level.results if node in task.nodes}


def tell_cost_of_run(context: dg.OpExecutionContext, tenant: str) -> None:
    """What all calls of the run have cost until now, as its tags. A run that cannot be told of goes on."""
    with _telling_cost:  # in turn, so that the last word is the newest
        try:
            found = context.resources.ai.books.totals("prompt", tenant=tenant, run_id=context.run_id)
            context.instance.add_run_tags(context.run_id, cost_tags(found))
        except Exception as error:  # noqa: BLE001  # the step has its result, or an error of its own that counts
            log.warning("run.cost_not_told", run_id=context.run_id, error=repr(error))


def charged_nodes(level: Level) -> dict[str, NodeSpec]:
    """By node, the node whose asset its calls are booked on: its own, or the nearest one that is made of what it gives."""
    after: dict[str, list[str]] = {}
    for node in level.nodes:
        for dependency in level.dependencies.get(node.id, ()):
            after.setdefault(dependency.node, []).append(node.id)
    nearest: dict[str, tuple[int, NodeSpec]] = {}
    found: dict[str, NodeSpec] = {}
    for node in reversed(level.nodes):
        if node.asset is not None:
            nearest[node.id] = (0, node)
        elif reached := [nearest[each] for each in after.get(node.id, ()) if each in nearest]:
            steps, owner = min(reached, key=lambda place: place[0])
            nearest[node.id] = (steps + 1, owner)
        if node.id in nearest:
            found[node.id] = owner = nearest[node.id][1]
        if (body := level.bodies.get(node.id)) is not None:
            outer = dict.fromkeys(_ids(body), found[node.id]) if node.id in found else {}
            found |= outer | charged_nodes(body)
    return found


def cost_of_asset(asset: AssetSpec, context: dg.OpExecutionContext, tenant: str | None) -> dict[str, Any]:
    """What the calls of the run that are booked on the asset of the tenant's workflow have cost, as metadata."""
    books, key = context.resources.ai.books, "/".join(asset_path(asset, tenant))
    with failures():
        return cost_metadata(
            books.totals("prompt", tenant=tenant or tenant_of(context.run), run_id=context.run_id, asset=key)
        )


def asset_path(asset: AssetSpec, tenant: str | None) -> list[str]:
    """The key in Dagster: those of other tenants than the default one have the tenant's name in front."""
    return [*([] if tenant in {None, DEFAULT_TENANT} else [str(tenant)]), *asset.key]


def _ids(level: Level) -> Iterator[str]:
    for node in level.nodes:
        yield node.id
        if node.id in level.bodies:
            yield from _ids(level.bodies[node.id])


def item_output(body: Level, nodes: Mapping[str, Any]) -> Any:
    """What the body of a map gives for one item: its last node's output, or those of its last nodes by id."""
    if len(body.results) == 1:
        return nodes.get(body.results[0])
    return {node: nodes[node] for node in body.results if node in nodes}


def flatten(inputs: Mapping[str, Any]) -> list[NodeResult]:
    """The results on the edges, one list whether an input collects several or has one."""
    results: list[NodeResult] = []
    for value in inputs.values():
        if isinstance(value, NodeResult):
            results.append(value)
        else:
            results.extend(value)
    return results


def preview(value: Any) -> Any:
    """The value, if it is small; otherwise the beginning of its JSON, and how long it is."""
    encoded = orjson.dumps(value, default=str)
    if len(encoded) <= MAX_PREVIEW_BYTES:
        return value
    return f"{encoded[:MAX_PREVIEW_BYTES].decode(errors='ignore')}… ({len(encoded):,} bytes)"


def shown_as_metadata(value: Any) -> dg.MetadataValue:
    """A preview, as the UI shows it."""
    if isinstance(value, dict | list):
        return dg.MetadataValue.json(value)
    return dg.MetadataValue.text(value if isinstance(value, str) else orjson.dumps(value, default=str).decode())


def _shown(config: Any) -> Any:
    """A config for readers: what is secret by its name is left out."""

    def hidden(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: "•••" if any(part in str(key).lower() for part in _SECRET) else hidden(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [hidden(inner) for inner in value]
        return value

    return hidden(config.model_dump(mode="json", by_alias=True, exclude_unset=True))


def _outputs(body: Level, task: TaskContext) -> dict[str, Any]:
    return {node.id: task.nodes[node.id] for node in body.nodes if node.id in task.nodes}


def _as_output(error: Exception) -> dict[str, Any]:
    if isinstance(error, PlatformError):
        details = {name: str(value) for name, value in error.details.items()}
        facts = {"code": error.code, "message": error.message, "retryable": error.retryable, "details": details}
    else:
        facts = {
            "code": "internal_error",
            "message": f"{type(error).__name__}: {error}",
            "retryable": True,
            "details": {},
        }
    return {"error": facts}


def _has_expressions(config: Mapping[str, Any], lazy: frozenset[str]) -> bool:
    def found(value: Any) -> bool:
        if isinstance(value, str):
            return "{" in value or "$" in value
        if isinstance(value, Mapping):
            return any(map(found, value.values()))
        return isinstance(value, list | tuple) and any(map(found, value))

    return any(found(value) for name, value in config.items() if name not in lazy)


def _pause(retry: RetrySpec, attempt: int) -> float:
    factor: int = {"fixed": 1, "linear": attempt, "exponential": 2 ** (attempt - 1)}[retry.backoff]
    return min(retry.delay * factor, 3600.0)


def _no_body(task: TaskContext) -> TaskContext:
    return task
