"""From a checked workflow to a job of Dagster: an op for each node, with the node's id as its name in the graph.

    step, router   an op; a router has an optional output for each branch, and `result`, which is always there
    map            a graph: the items (a dynamic output), the body once for each, and what collects them
    parallel       a graph: the body, and what collects it
    sub_workflow   a graph: the inputs, the other workflow, its outputs
    loop           one op, which runs its body itself, as a graph has no cycles
    join: any      one input that collects whatever has run

On each edge travels the `NodeResult` of the node where it begins, so a step knows what it was given whatever its inputs are
called. Dagster has neither dynamic outputs nor inputs that collect below a dynamic output. So a map within the body of a map is
one op as well, and a body with branches, groups or other workflows is one op for each item.

Plain nodes are plain functions with one output, which the lean executor calls without detours.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg
from dagster._core.definitions.dependency import DynamicCollectDependencyDefinition
from dagster._core.storage.tags import MAX_RETRIES_TAG, MAX_RUNTIME_SECONDS_TAG, PRIORITY_TAG, RETRY_STRATEGY_TAG

from assets.failures import failures
from assets.partitions import (
    CONCURRENCY_TAG,
    EXECUTOR_TAG,
    ISOLATION_TAG,
    NODE_TAG,
    NODES_TAG,
    REVISION_TAG,
    TENANT_TAG,
    WORKFLOW_TAG,
)
from definitions.attempts import preview, shown_as_metadata
from definitions.charging import charged_nodes, cost_of_asset
from definitions.flow import INPUTS, ITEM, Flow, flatten, sub_flow, workflow_outputs
from definitions.launchpad import launchpad
from definitions.naming import job_name, unique_name
from definitions.runtime.lean.light import light
from definitions.runtime.live import live_run
from definitions.steps import Step
from definitions.workflow_assets import AI, materialise
from resources.errors import InvalidInputError
from resources.workflows.context import NodeResult
from resources.workflows.expressions import Expressions
from resources.workflows.graph import CheckedWorkflow, Level
from resources.workflows.inputs import check_inputs
from resources.workflows.node_type import NodeTypes, Routed
from resources.workflows.spec import NodeSpec, RetrySpec

SPEC_TAG: Final = "aiw/spec"
TIMEOUT_TAG: Final = "aiw/timeout_seconds"
EFFECTS_TAG: Final = "aiw/effects"
RETRY_FAILED_TAG: Final = "dagster/retry_on_asset_or_op_failure"

RESULT: Final = "result"
NEEDS: Final = "_needs"

_BACKOFF = {"fixed": None, "linear": dg.Backoff.LINEAR, "exponential": dg.Backoff.EXPONENTIAL}

# Where an input comes from. None: from the input of the same name of the graph around.
Source = dg.DependencyDefinition | dg.MultiDependencyDefinition | DynamicCollectDependencyDefinition | None
Sources = dict[str, Source]


def build_job(
    checked: CheckedWorkflow,
    types: NodeTypes,
    *,
    tenant: str | None,
    revision: int,
    expressions: Expressions,
    executor: dg.ExecutorDefinition,
    resources: Mapping[str, Any],
) -> dg.JobDefinition:
    """The job of a workflow. `tenant` None: it comes with the platform and works for whoever starts it; its revision is 0.

    `resources` has what the node types need, and `io_manager`. Raises InvalidInputError (`workflow_not_buildable`) for what
    Dagster cannot make a job of. The job's snapshot exists when this returns: nothing is left that could go wrong while loading.
    """
    spec = checked.spec
    name = job_name(spec.name, tenant)
    flow = Flow(checked, types, expressions, tenant, revision, charged=charged_nodes(checked.level))
    graph = _Graph(flow, checked.level, (name,))
    try:
        graph.add_level()
        if spec.outputs:
            graph.add_outputs(result=None)
        needed = {"io_manager", *graph.resources}
        if missing := sorted(needed - set(resources)):
            raise InvalidInputError(
                f"The workflow {spec.name!r} needs {', '.join(missing)}, which this platform does not have.",
                code="workflow_not_buildable",
            )
        tags = job_tags(checked, tenant=tenant, revision=revision)
        job = graph.definition(description=spec.description, name=name).to_job(
            name=name,
            description=spec.description or None,
            resource_defs={key: resources[key] for key in sorted(needed)},
            executor_def=executor,
            config=launchpad(spec),
            tags={**tags, NODES_TAG: str(_count(checked.level, graph.flow))},
            metadata={"workflow": dg.MetadataValue.json(spec.model_dump(mode="json", exclude_defaults=True))},
        )
        job.get_job_snapshot_id()
    except dg.DagsterError as error:
        raise InvalidInputError(
            f"The workflow {spec.name!r} cannot be made into a job: {error}", code="workflow_not_buildable"
        ) from error
    return job


def job_tags(checked: CheckedWorkflow, *, tenant: str | None, revision: int) -> dict[str, str]:
    """The tags of a workflow's job, which all its runs get."""
    spec = checked.spec
    tags = {WORKFLOW_TAG: spec.name, REVISION_TAG: str(revision), SPEC_TAG: spec.fingerprint()}
    if tenant is not None:
        tags[TENANT_TAG] = tenant
    if spec.config.isolation != "warm":
        tags[ISOLATION_TAG] = spec.config.isolation
    if spec.config.executor != "lean":
        tags[EXECUTOR_TAG] = spec.config.executor
    if spec.config.concurrency is not None:
        tags[CONCURRENCY_TAG] = f"{spec.config.concurrency}:{job_name(spec.name, tenant)}"
    if spec.config.timeout is not None:
        tags[MAX_RUNTIME_SECONDS_TAG] = f"{spec.config.timeout:g}"
    if spec.config.retries:
        tags |= {
            MAX_RETRIES_TAG: str(spec.config.retries),
            RETRY_STRATEGY_TAG: "FROM_FAILURE",
            RETRY_FAILED_TAG: "true",
        }
    return tags


def width(checked: CheckedWorkflow, types: NodeTypes) -> int:
    """How many steps of a run can be under way at the same time, by the shape of its graph, up to its `max_parallel`."""
    depths: dict[str, int] = {}
    at: dict[int, int] = {}
    for node in checked.level.nodes:
        if types[node.type].kind in {"map", "parallel", "sub_workflow"}:
            return checked.spec.config.max_parallel
        before = checked.level.dependencies.get(node.id, ())
        depth = max((depths[dependency.node] + 1 for dependency in before), default=0)
        depths[node.id] = depth
        at[depth] = at.get(depth, 0) + 1
    # Branches of different length run beside each other, so only a chain is surely one step at a time.
    return 1 if max(at.values()) == 1 else checked.spec.config.max_parallel


# ---------------------------------------------------------------------------------------------------- graphs


@dataclass(slots=True)
class _Graph:
    """A graph in the making: of the workflow, of a body, or of a workflow within it.

    `path` begins with the job's name and ends with the node that this is inside of. `always` are inputs that each node here gets,
    `roots` those of the nodes that depend on nothing in here. `mapped`: it is, or is within, the body of a map.
    """

    flow: Flow
    level: Level
    path: tuple[str, ...]
    always: Sources = field(default_factory=dict)
    roots: tuple[str, ...] = ()
    mapped: bool = False
    inputs: dict[str, None] = field(default_factory=dict)
    resources: set[str] = field(default_factory=set)
    _nodes: list[dg.OpDefinition | dg.GraphDefinition] = field(default_factory=list)
    _dependencies: dict[dg.NodeInvocation, dict[str, Any]] = field(default_factory=dict)
    _mappings: list[dg.InputMapping] = field(default_factory=list)

    def definition(self, *, description: str, name: str | None = None, result: str | None = None) -> dg.GraphDefinition:
        """The graph. `result` names the node in here whose output is the graph's."""
        outputs = []
        if result is not None:
            outputs.append(
                dg.OutputMapping(graph_output_name=RESULT, mapped_node_name=result, mapped_node_output_name=RESULT)
            )
        return dg.GraphDefinition(
            name=name or unique_name(self.path),
            description=description or None,
            node_defs=self._nodes,
            dependencies=self._dependencies,
            input_mappings=self._mappings,
            output_mappings=outputs,
        )

    def add_level(self) -> None:
        """All nodes of the level."""
        for node in self.level.nodes:
            kind = self.flow.types[node.type].kind
            sources = self._sources(node)
            if kind == "parallel":
                self._add_graph(node, self._parallel(node, sources), sources)
            elif kind == "sub_workflow":
                self._add_graph(node, self._sub_workflow(node, sources), sources)
            elif kind == "map" and not self.mapped:
                self._add_graph(node, self._map(node, sources), sources)
            elif kind == "router":
                self._add_router(node, sources)
            else:
                self._add_step(node, sources)

    def add_outputs(self, *, result: str | None) -> str:
        """The last step: the workflow's outputs, as the result of the node `result`, or of the run. Returns its name."""
        flow, alias = self.flow, self._free("outputs")
        named = flow.expressions.references(flow.workflow.spec.outputs).nodes
        waits_for = [node.id for node in self.level.nodes if node.id in named] or self.level.results
        if result is not None:  # a graph within an asset has no ends of its own
            waits_for = list(dict.fromkeys((*waits_for, *self.level.results)))

        @light
        def compute(context: dg.OpExecutionContext, **inputs: Any) -> dg.Output[NodeResult]:
            with failures():
                values = workflow_outputs(flow, flow.task(context, flatten(inputs)))
            if result is None:
                live_run(context.run_id).outputs(values)
            return _told(result or alias, values)

        self._add_op(alias, compute, {NEEDS: _any_of(waits_for), **self.always}, kind="workflow")
        return alias

    # ---------------------------------------------------------------------- nodes

    def _add_step(self, node: NodeSpec, sources: Sources) -> None:
        step, tells_costs = Step(self.flow, node, self.level.bodies.get(node.id)), self._tells_costs(node)

        @light
        def compute(context: dg.OpExecutionContext, **inputs: Any) -> dg.Output[NodeResult]:
            results = flatten(inputs)
            output, metadata = step.run(context, results)
            if step.node.asset is not None:
                told = metadata | cost_of_asset(step.node.asset, context, step.flow.tenant) if tells_costs else metadata
                materialise(step, context, [*results, NodeResult(step.node.id, output)], told)
            return dg.Output(NodeResult(step.node.id, output), metadata=metadata)

        self._add_node(step, compute, sources)

    def _tells_costs(self, node: NodeSpec) -> bool:
        """Whether the node's asset tells what all that it is made of has cost: not for each item of a map anew."""
        return node.asset is not None and not self.mapped and AI in _resources_of(self.level, self.flow)

    def _add_router(self, node: NodeSpec, sources: Sources) -> None:
        step = Step(self.flow, node)

        def compute(context: dg.OpExecutionContext, **inputs: Any) -> Iterator[dg.Output[NodeResult]]:
            routed, metadata = step.run(context, flatten(inputs))
            assert isinstance(routed, Routed)
            result = NodeResult(step.node.id, routed.output)
            yield dg.Output(result, RESULT, metadata={**metadata, "branches": ", ".join(routed.branches) or "none"})
            for branch in routed.branches:
                yield dg.Output(result, _branch(branch))

        branches = self.level.branches.get(node.id, ())
        outs = {RESULT: dg.Out()} | {_branch(branch): dg.Out(is_required=False) for branch in branches}
        self._add_node(step, compute, sources, outs=outs)

    def _add_node(
        self, step: Step, compute: Callable[..., Any], sources: Sources, *, alias: str | None = None, outs: Any = None
    ) -> None:
        node, type_ = step.node, step.type
        tags = {NODE_TAG: type_.name}
        if node.timeout is not None and not step.tolerant:
            tags[TIMEOUT_TAG] = f"{node.timeout:g}"
        if type_.effects:
            tags[EFFECTS_TAG] = "true"
        if node.priority is not None:
            tags[PRIORITY_TAG] = str(node.priority)
        needed = type_.resources | (_resources_of(step.body, self.flow) if step.body is not None else frozenset())
        if self._tells_costs(node):
            needed |= {AI}
        self.resources |= needed
        self._add_op(
            alias or node.id,
            compute,
            sources,
            kind=type_.compute_kind or type_.name,
            outs=outs,
            description=node.description or type_.summary,
            tags=tags,
            retry_policy=_retry_policy(step.retry),
            pool=node.pool or type_.pool,
            required_resource_keys=needed,
        )

    def _add_op(
        self,
        alias: str,
        compute: Callable[..., Any],
        sources: Sources,
        *,
        kind: str,
        outs: Any = None,
        tags: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        definition = dg.op(
            name=unique_name((*self.path, alias)),
            ins={name: dg.In() for name in sources},
            out=outs or {RESULT: dg.Out()},
            tags={"dagster/compute_kind": kind, **(tags or {})},
            **options,
        )(compute)
        self._connect(definition, alias, sources)

    def _add_graph(self, node: NodeSpec, graph: tuple["_Graph", str], sources: Sources) -> None:
        inner, result = graph
        self.resources |= inner.resources
        definition = inner.definition(description=node.description, result=result)
        self._connect(definition, node.id, {name: sources[name] for name in inner.inputs})

    def _connect(self, definition: dg.OpDefinition | dg.GraphDefinition, alias: str, sources: Sources) -> None:
        self._nodes.append(definition)
        invocation = dg.NodeInvocation(definition.name, alias=alias)
        self._dependencies[invocation] = {name: source for name, source in sources.items() if source is not None}
        for name in (name for name, source in sources.items() if source is None):
            self.inputs[name] = None
            self._mappings.append(
                dg.InputMapping(graph_input_name=name, mapped_node_name=alias, mapped_node_input_name=name)
            )

    # ---------------------------------------------------------------------- inputs

    def _sources(self, node: NodeSpec) -> Sources:
        """Where a node's inputs come from: what it depends on, what it (or its body) refers to, and what all here get."""
        sources: Sources = {}
        dependencies = self.level.dependencies.get(node.id, ())
        if node.join == "any":
            if collected := [dependency for dependency in dependencies if dependency.explicit]:
                sources[NEEDS] = dg.MultiDependencyDefinition([_from(each.node, each.branch) for each in collected])
            dependencies = tuple(dependency for dependency in dependencies if not dependency.explicit)
        for dependency in dependencies:
            name = dependency.node
            if name in sources:
                name = f"{name}__{dependency.branch or RESULT}"
            sources[name] = _from(dependency.node, dependency.branch)
        if not sources:
            sources |= dict.fromkeys(self.roots)
        body = self.level.bodies.get(node.id)
        here = {each.id for each in self.level.nodes}
        outer = self.level.outer | (body.outer if body is not None else frozenset())
        for name in sorted(outer - {node.id}):
            if name not in sources:
                sources[name] = _from(name) if name in here and body is not None and name in body.outer else None
        return {**self.always, **sources}

    def _free(self, name: str) -> str:
        while any(node.id == name for node in self.level.nodes):
            name += "_"
        return name

    # ---------------------------------------------------------------------- graphs within

    def _passed_on(self, sources: Sources) -> Sources:
        """What each node of a body gets from outside, wherever it stands."""
        return {name: None for name in (ITEM, INPUTS) if name in sources}

    def _parallel(self, node: NodeSpec, given: Sources) -> tuple["_Graph", str]:
        inner = _Graph(
            self.flow,
            self.level.bodies[node.id],
            (*self.path, node.id),
            always=self._passed_on(given),
            roots=tuple(given),
            mapped=self.mapped,
        )
        inner.add_level()
        alias = inner._free("collect")

        @light
        def compute(context: dg.OpExecutionContext, **inputs: Any) -> dg.Output[NodeResult]:
            del context
            return _told(node.id, {result.node: result.output for result in flatten(inputs)})

        inner._add_op(alias, compute, {NEEDS: _any_of(each.id for each in inner.level.nodes)}, kind="parallel")
        return inner, alias

    def _map(self, node: NodeSpec, given: Sources) -> tuple["_Graph", str]:
        body, step = self.level.bodies[node.id], Step(self.flow, node)
        inner = _Graph(self.flow, body, (*self.path, node.id), mapped=True)
        items_alias, alias = inner._free("items"), inner._free("collect")
        inner.always = {**self._passed_on(given), ITEM: _from(items_alias)}

        def items(context: dg.OpExecutionContext, **inputs: Any) -> Iterator[dg.DynamicOutput[NodeResult]]:
            results = flatten(inputs)
            found, metadata = step.run(context, results)
            config = step.render(step.flow.task(context, results))
            for index, item in enumerate(found):
                value = NodeResult(ITEM, {config.as_: item, "index": index})
                yield dg.DynamicOutput(value, mapping_key=str(index), metadata=metadata if index == 0 else None)

        inner._add_node(step, items, dict.fromkeys(given), alias=items_alias, outs={RESULT: dg.DynamicOut()})
        results = body.results
        if _is_plain(body, self.flow):
            inner.add_level()
        else:
            results = (inner._free("body"),)
            inner._add_whole(Step(self.flow, node, body), results[0], given)

        def collect(context: dg.OpExecutionContext, **inputs: list[NodeResult]) -> dg.Output[NodeResult]:
            del context
            return _told(node.id, _by_item(results, inputs))

        collected: Sources = {each: DynamicCollectDependencyDefinition(each, RESULT) for each in results}
        inner._add_op(alias, collect, collected, kind="map")
        return inner, alias

    def _add_whole(self, step: Step, alias: str, given: Sources) -> None:
        """The body of a map as one step for each item."""

        @light
        def compute(context: dg.OpExecutionContext, **inputs: Any) -> dg.Output[NodeResult]:
            output, metadata = step.run_body(context, flatten(inputs))
            return dg.Output(NodeResult(alias, output), metadata=metadata)

        self._add_node(step, compute, {**dict.fromkeys(given), **self.always}, alias=alias)

    def _sub_workflow(self, node: NodeSpec, given: Sources) -> tuple["_Graph", str]:
        flow, step = sub_flow(self.flow, node), Step(self.flow, node)
        inner = _Graph(flow, flow.workflow.level, (*self.path, node.id), mapped=self.mapped)
        inputs_alias = inner._free("inputs")
        inner.always = {INPUTS: _from(inputs_alias)}

        @light
        def compute(context: dg.OpExecutionContext, **inputs: Any) -> dg.Output[NodeResult]:
            with failures():
                config = step.render(step.flow.task(context, flatten(inputs)))
                values = check_inputs(flow.workflow.spec, config.inputs)
            return _told(INPUTS, values)

        inner._add_op(inputs_alias, compute, dict.fromkeys(given), kind="workflow")
        inner.add_level()
        return inner, inner.add_outputs(result=node.id)


def _from(node: str, branch: str | None = None) -> dg.DependencyDefinition:
    return dg.DependencyDefinition(node, RESULT if branch is None else _branch(branch))


def _any_of(nodes: Iterable[str]) -> dg.MultiDependencyDefinition:
    return dg.MultiDependencyDefinition([_from(node) for node in nodes])


def _branch(branch: str) -> str:
    """The output of a router's branch. A prefix where needed, as Dagster has words of its own."""
    return f"to_{branch}"


def _resources_of(level: Level, flow: Flow) -> frozenset[str]:
    """What the nodes of a body need, however deep."""
    needed: frozenset[str] = frozenset()
    for node in level.nodes:
        needed |= flow.types[node.type].resources
        if node.id in level.bodies:
            needed |= _resources_of(level.bodies[node.id], flow)
        if flow.types[node.type].kind == "sub_workflow":
            called = sub_flow(flow, node)
            needed |= _resources_of(called.workflow.level, called)
    return needed


def _count(level: Level, flow: Flow) -> int:
    """How many steps tell of themselves as nodes; each item of a map counts once more, which is known only in the run."""
    total = 0
    for node in level.nodes:
        match flow.types[node.type].kind:
            case "parallel":
                total += _count(level.bodies[node.id], flow)
            case "sub_workflow":
                called = sub_flow(flow, node)
                total += _count(called.workflow.level, called)
            case _:
                total += 1
    return total


def _is_plain(body: Level, flow: Flow) -> bool:
    """Whether the body of a map can be a step for each of its nodes."""
    kinds = {flow.types[node.type].kind for node in body.nodes}
    return kinds <= {"step", "loop", "map"} and all(node.join == "all" for node in body.nodes)


def _by_item(nodes: Sequence[str], inputs: Mapping[str, Sequence[NodeResult]]) -> list[Any]:
    """What the body gave for each item, in the order of the items: a single last node's output, or those of all by id."""
    if len(nodes) == 1:
        return [result.output for result in inputs[nodes[0]]]
    rows = zip(*(inputs[each] for each in nodes), strict=True)
    return [{result.node: result.output for result in row} for row in rows]


def _told(node: str, output: Any) -> dg.Output[NodeResult]:
    return dg.Output(NodeResult(node, output), metadata={"output": shown_as_metadata(preview(output))})


def _retry_policy(retry: RetrySpec | None) -> dg.RetryPolicy | None:
    if retry is None:
        return None
    return dg.RetryPolicy(
        max_retries=retry.attempts,
        delay=retry.delay,
        backoff=_BACKOFF[retry.backoff],
        jitter=dg.Jitter.PLUS_MINUS if retry.jitter else None,
    )
