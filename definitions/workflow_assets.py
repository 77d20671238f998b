"""The assets of workflows: what nodes declare, and how Dagster makes them.

A run of a workflow's job tells Dagster what its nodes have made. The other way round, whoever materialises the assets (in the UI,
by a backfill) has Dagster execute the same graph, as part of a job of assets and with one step more: `assets` hands over what
the nodes have made when all of the graph has ended. A partition that is `{{ inputs.x }}` gives the input `x`; other inputs are
the run's config.

Dagster makes assets with one partitioning at a time: those that are divided by one input, or else those that are not divided.
Others are shown, and recorded by runs of the workflow. An asset is stale when the workflow's text has changed, when an asset
before it has, or when another text of a prompt is in force.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    DataVersion,
    compute_logical_data_version,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from assets.failures import failures
from assets.partitions import AS_ASSETS, PARTITION_INPUT_TAG
from assets.prompts import prompt_keys
from definitions.attempts import preview, shown_as_metadata
from definitions.charging import asset_path, cost_of_asset
from definitions.flow import flatten
from definitions.launchpad import launchpad
from definitions.naming import job_name, unique_name
from definitions.steps import Step
from resources.workflows.context import NodeResult
from resources.workflows.graph import CheckedWorkflow
from resources.workflows.inputs import partition_input_of
from resources.workflows.spec import AssetSpec, NodeSpec, WorkflowSpec

OWNERS: Final = ["team:workflows"]
AI: Final = "ai"

_MADE: Final = "assets"
_RESULTS: Final = "_results"


def asset_specs(checked: CheckedWorkflow, *, tenant: str | None) -> list[dg.AssetSpec]:
    """The assets that the workflow's nodes declare; each depends on the assets and the prompts of the nodes before it."""
    spec = checked.spec
    found: list[dg.AssetSpec] = []
    nearest: dict[str, tuple[dg.AssetKey, ...]] = {}
    told: dict[str, tuple[dg.AssetKey, ...]] = {}
    for node in checked.level.nodes:
        own = prompt_keys((node,), spec.inputs, tenant)
        passed_on = [key for dependency in checked.level.dependencies.get(node.id, ()) for key in told[dependency.node]]
        prompts = dict.fromkeys((*passed_on, *own))
        told[node.id] = () if node.asset is not None else tuple(prompts)
        before = dict.fromkeys(
            key for dependency in checked.level.dependencies.get(node.id, ()) for key in nearest[dependency.node]
        )
        nearest[node.id] = tuple(before)
        if node.asset is None:
            continue
        key = asset_key(node.asset, tenant)
        nearest[node.id] = (key,)
        found.append(
            dg.AssetSpec(
                key,
                deps=[*before, *prompts],
                description=node.asset.description or node.description or f"Made by the node {node.id} of {spec.name}.",
                group_name=f"workflow_{job_name(spec.name, tenant)}",
                kinds={"workflow"},
                owners=OWNERS,
                metadata={"workflow": spec.name, "node": node.id},
                code_version=spec.fingerprint()[:16],
                partitions_def=_partitions(spec, node.asset, tenant),
            )
        )
    return found


def asset_key(asset: AssetSpec, tenant: str | None) -> dg.AssetKey:
    """The key in Dagster: those of other tenants than the default one have the tenant's name in front."""
    return dg.AssetKey(asset_path(asset, tenant))


def build_assets(
    checked: CheckedWorkflow, job: dg.JobDefinition, *, tenant: str | None
) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """The assets as Dagster makes them, by the graph of the workflow's job; those that it cannot make are specs."""
    specs = asset_specs(checked, tenant=tenant)
    own = partition_input_of(checked.spec)
    partitioned = own is not None
    nodes = [
        node
        for node in checked.level.nodes
        if node.asset is not None and (node.asset.partition is not None) == partitioned
    ]
    if not nodes:
        return list(specs)
    keys = {node.id: asset_key(node.asset, tenant) for node in nodes if node.asset is not None}
    made = [spec for spec in specs if spec.key in keys.values()]
    above = dict.fromkeys(dep.asset_key for spec in made for dep in spec.deps if dep.asset_key not in keys.values())
    given = {f"asset_{number}": key for number, key in enumerate(above)}
    graph = dg.GraphDefinition(
        name=f"{job.name}{AS_ASSETS}",
        description=checked.spec.description or None,
        node_defs=[*job.graph.node_defs, _handing_over(job, nodes, given, tenant)],
        dependencies={
            **job.graph.dependencies,
            dg.NodeInvocation(unique_name((job.name, _MADE)), alias=_alias(checked)): {
                _RESULTS: dg.MultiDependencyDefinition(
                    [dg.DependencyDefinition(node, "result") for node in _needed(job.graph, nodes)]
                )
            },
        },
        input_mappings=[
            dg.InputMapping(graph_input_name=name, mapped_node_name=_alias(checked), mapped_node_input_name=name)
            for name in given
        ],
        output_mappings=[
            dg.OutputMapping(graph_output_name=node, mapped_node_name=_alias(checked), mapped_node_output_name=node)
            for node in keys
        ],
        config=launchpad(_without(checked.spec, own)),
        tags={**job.tags, **({PARTITION_INPUT_TAG: own} if own is not None else {})},
    )
    definition = dg.AssetsDefinition(
        keys_by_input_name=given, keys_by_output_name=keys, node_def=graph, specs=made, can_subset=False
    )
    return [definition, *(spec for spec in specs if spec not in made)]


def materialise(
    step: Step, context: dg.OpExecutionContext, results: Sequence[NodeResult], metadata: Mapping[str, Any]
) -> None:
    """Tell Dagster of the asset that the step has made, and of what; unless Dagster makes it itself, and knows."""
    asset, tenant, spec = step.node.asset, step.flow.tenant, step.flow.workflow.spec
    assert asset is not None
    key = asset_key(asset, tenant)
    if key in context.job_def.asset_layer.executable_asset_keys:
        return
    partition = None
    if (partitions := _partitions(spec, asset, tenant)) is not None:
        with failures():
            assert asset.partition is not None
            partition = str(step.flow.expressions.render(asset.partition, step.flow.task(context, results)))
        assert partitions.name is not None
        context.instance.add_dynamic_partitions(partitions.name, [partition])
    tags: Mapping[str, str] = {}
    if not step.flow.nested:
        tags = _versions(context.instance, asset_specs(step.flow.workflow, tenant=tenant), key, partition)
    context.log_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata, tags=tags))


def _versions(
    instance: dg.DagsterInstance, specs: Sequence[dg.AssetSpec], key: dg.AssetKey, partition: str | None
) -> Mapping[str, str]:
    """Of what text and of which versions of the assets before it an asset is made, as Dagster tells it of those it makes."""
    known = {spec.key: spec for spec in specs}
    own = known.get(key)
    if own is None or own.code_version is None:
        return {}
    versions: dict[dg.AssetKey, DataVersion] = {}
    pointers: dict[dg.AssetKey, int | None] = {}
    for dep in own.deps:
        above = known.get(dep.asset_key)
        shared = partition if above is not None and above.partitions_def == own.partitions_def else None
        record = instance.get_latest_data_version_record(dep.asset_key, partition_key=shared)
        version = extract_data_version_from_entry(record.event_log_entry) if record is not None else None
        versions[dep.asset_key] = version or DEFAULT_DATA_VERSION
        pointers[dep.asset_key] = record.storage_id if record is not None else None
    return {
        CODE_VERSION_TAG: own.code_version,
        DATA_VERSION_TAG: compute_logical_data_version(own.code_version, versions).value,
        **{get_input_data_version_tag(above): version.value for above, version in versions.items()},
        **{get_input_event_pointer_tag(above): str(at or NULL_EVENT_POINTER) for above, at in pointers.items()},
    }


def _handing_over(
    job: dg.JobDefinition, nodes: Sequence[NodeSpec], given: Mapping[str, dg.AssetKey], tenant: str | None
) -> dg.OpDefinition:
    """The step that gives Dagster what the nodes have made, when all has ended; `given` are assets that it waits for."""
    tells_costs = AI in job.resource_defs

    def compute(context: dg.OpExecutionContext, **inputs: Any) -> Iterator[dg.Output[NodeResult]]:
        results = {result.node: result for result in flatten(inputs)}
        for node in nodes:
            if node.id in results:  # not on a branch that was not taken
                assert node.asset is not None
                metadata: dict[str, Any] = {"output": shown_as_metadata(preview(results[node.id].output))}
                if tells_costs:
                    metadata |= cost_of_asset(node.asset, context, tenant)
                yield dg.Output(results[node.id], node.id, metadata=metadata)

    return dg.op(
        name=unique_name((job.name, _MADE)),
        description="Hands over what the nodes have made.",
        ins={_RESULTS: dg.In(), **{name: dg.In(dg.Nothing) for name in given}},
        out={node.id: dg.Out(is_required=False) for node in nodes},
        tags={"dagster/compute_kind": "workflow"},
        required_resource_keys={AI} if tells_costs else None,
    )(compute)


def _needed(graph: dg.GraphDefinition, nodes: Sequence[NodeSpec]) -> list[str]:
    """The nodes that make assets, and those that nothing comes after."""
    before = {
        source.node
        for inputs in graph.dependencies.values()
        for dependency in inputs.values()
        for source in dependency.get_node_dependencies()
    }
    made = {node.id for node in nodes}
    aliases = [invocation.alias or invocation.name for invocation in graph.dependencies]
    return [alias for alias in aliases if alias in made or alias not in before]


def _alias(checked: CheckedWorkflow) -> str:
    taken: Iterable[str] = {node.id for node in checked.level.nodes}
    alias = _MADE
    while alias in taken:
        alias += "_"
    return alias


def _without(spec: WorkflowSpec, name: str | None) -> WorkflowSpec:
    return spec.model_copy(update={"inputs": {each: found for each, found in spec.inputs.items() if each != name}})


def _partitions(spec: WorkflowSpec, asset: AssetSpec, tenant: str | None) -> dg.DynamicPartitionsDefinition | None:
    """What is divided by the same input has the same partitions; any other expression has partitions of its own."""
    if asset.partition is None:
        return None
    own = partition_input_of(spec)
    path = asset_path(asset, tenant)
    return dg.DynamicPartitionsDefinition(
        name="__".join(path) if own is None else f"{job_name(spec.name, tenant)}.{own}"
    )
