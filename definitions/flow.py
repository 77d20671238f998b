"""What the steps of one workflow share, and what comes along the edges of its graph."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from assets.partitions import given_inputs, tenant_of
from definitions.charging import charged_nodes, ids_within
from definitions.naming import job_name
from definitions.runtime.live import LiveRun, live_run
from resources.errors import NotFoundError
from resources.workflows.context import NodeResult, TaskContext
from resources.workflows.expressions import Expressions
from resources.workflows.graph import CheckedWorkflow, Level
from resources.workflows.inputs import check_inputs, partition_input_of
from resources.workflows.node_type import NodeTypes
from resources.workflows.spec import NodeSpec

ITEM: Final = "_item"
INPUTS: Final = "_inputs"
"""Results with these names are no node's: an item with its index, and the inputs of a workflow within a workflow."""


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


def sub_flow(flow: Flow, node: NodeSpec) -> Flow:
    """The flow of the workflow that a `sub_workflow` node calls. Raises NotFoundError."""
    name, revision = node.config["workflow"], node.config.get("revision")
    for (known, number), workflow in sorted(flow.workflow.workflows.items(), reverse=True):
        if known == name and revision in {None, number}:
            charged = charged_nodes(workflow.level)
            if (owner := flow.charged.get(node.id)) is not None:
                charged = dict.fromkeys(ids_within(workflow.level), owner) | charged
            return replace(flow, workflow=workflow, revision=number, nested=True, charged=charged)
    raise NotFoundError(f"There is no workflow {name!r}, revision {revision or 'newest'}.", code="workflow_not_found")


def workflow_outputs(flow: Flow, task: TaskContext) -> Any:
    """What a workflow gives: its `outputs`, or, where it names none, those of its last nodes by id."""
    spec = flow.workflow.spec
    if spec.outputs:
        return flow.expressions.render(spec.outputs, task)
    return {node: task.nodes[node] for node in flow.workflow.level.results if node in task.nodes}


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
