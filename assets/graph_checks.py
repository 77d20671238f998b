"""What must hold of the graph as a whole before anybody plans on it: its schema, its ranges, its shape, and that it did not jump.

What is broken in the edges blocks the ranking; what is broken in the concepts or in the paths blocks what comes after these.
Documents may contradict each other: the weakest prerequisite of each cycle is cut and noted, and a cycle that is left for all
that blocks.
"""

import math
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from assets.concepts import paths, ranking
from assets.connections import edges
from assets.expectations import validate
from assets.failures import failures
from assets.partitions import tenant_of
from resources.knowledge.algorithms.prerequisites import cycles
from resources.knowledge.learning_path import LearningPaths, hardest
from resources.knowledge.learning_path import validate as problems_of
from resources.knowledge.model import EdgeType
from resources.knowledge.projection import GraphProjections
from resources.knowledge.store import GraphStore

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

_OF_EDGES: Final = {
    "edges_are_in_range": "Every edge has a known type and a weight above 0 and up to 1",
    "edges_have_both_ends": "No edge names a concept that is not there",
    "prerequisites_have_no_cycle": "Without the prerequisites that were cut, no concept requires itself in the end",
}
_CHECKS: Final = {
    "concepts_have_ids_and_names": "Every concept has an id of its own and a name",
    "concepts_are_in_range": "Qualities lie between 0 and 1, difficulties are known ones, times are not negative",
    "the_graph_has_not_drifted": "Concepts for each document, and edges for each concept, are as before, within a factor of 3; "
    "a factor of 10 blocks once: look at it, and make the ranking again to accept it",
}
_DRIFT: Final = 3.0
_JUMP: Final = 10.0
_ENOUGH: Final = 20
"""Below so many concepts a graph may be anything from one day to the next."""
_SAMPLE: Final = 25


@dg.multi_asset_check(
    name="check_edges",
    specs=[
        dg.AssetCheckSpec(name, asset=edges.key, description=text, blocking=True) for name, text in _OF_EDGES.items()
    ],
    compute_kind="gx",
)
def check_edges(
    context: dg.AssetCheckExecutionContext, graph: dg.ResourceParam[GraphStore]
) -> Iterator[dg.AssetCheckResult]:
    """Nothing hangs in the air, and nothing requires itself."""
    import great_expectations.expectations as gxe

    tenant = tenant_of(context.run)
    with failures():
        known = {concept.id for concept in graph.concepts(tenant=tenant)}
        found = graph.edges(tenant=tenant)
        cut = {(edge.source, edge.target) for edge in graph.cuts(tenant=tenant)}
    rows = [
        {"type": one.type.value, "weight": one.weight, "loose": int(not {one.source, one.target} <= known)}
        for one in found
    ]
    suite: dict[str, list[Expectation]] = {
        "edges_are_in_range": [
            gxe.ExpectColumnValuesToBeInSet(column="type", value_set=[kind.value for kind in EdgeType]),
            gxe.ExpectColumnValuesToBeBetween(column="weight", min_value=0, max_value=1, strict_min=True),
        ],
        "edges_have_both_ends": [gxe.ExpectColumnValuesToBeInSet(column="loose", value_set=[0])],
    }
    yield from validate(rows, suite, asset_key=edges.key, columns=("type", "weight", "loose"))
    required = (edge for edge in found if edge.type is EdgeType.REQUIRES)
    loops = cycles(edge for edge in required if (edge.source, edge.target) not in cut)
    yield dg.AssetCheckResult(
        asset_key=edges.key,
        check_name="prerequisites_have_no_cycle",
        passed=not loops,
        metadata={"cycles": dg.MetadataValue.json(loops[:20]), "cut": dg.MetadataValue.int(len(cut))},
    )


@dg.multi_asset_check(
    name="check_graph",
    specs=[
        dg.AssetCheckSpec(name, asset=ranking.key, description=text, blocking=True) for name, text in _CHECKS.items()
    ],
    compute_kind="gx",
)
def check_graph(
    context: dg.AssetCheckExecutionContext, graph: dg.ResourceParam[GraphStore]
) -> Iterator[dg.AssetCheckResult]:
    """The graph is sound, and looks as it did."""
    import great_expectations.expectations as gxe

    tenant = tenant_of(context.run)
    with failures():
        concepts = graph.concepts(tenant=tenant)
        counts = graph.counts(tenant=tenant)
    nodes = [
        {
            "id": one.id,
            "name": one.name,
            "quality": one.quality,
            "difficulty": one.difficulty,
            "minutes": one.minutes,
        }
        for one in concepts
    ]
    of_nodes: dict[str, list[Expectation]] = {
        "concepts_have_ids_and_names": [
            gxe.ExpectTableColumnsToMatchSet(column_set=["id", "name", "quality", "difficulty", "minutes"]),
            gxe.ExpectColumnValuesToNotBeNull(column="id"),
            gxe.ExpectColumnValuesToBeUnique(column="id"),
            gxe.ExpectColumnValuesToMatchRegex(column="name", regex=r"\S"),
        ],
        "concepts_are_in_range": [
            gxe.ExpectColumnValuesToBeBetween(column="quality", min_value=0, max_value=1),
            gxe.ExpectColumnValuesToBeInSet(
                column="difficulty", value_set=["beginner", "intermediate", "advanced", "expert"]
            ),
            gxe.ExpectColumnValuesToBeBetween(column="minutes", min_value=0),
        ],
    }
    yield from validate(
        nodes, of_nodes, asset_key=ranking.key, columns=("id", "name", "quality", "difficulty", "minutes")
    )
    now = {
        "concepts_per_document": len(concepts) / max(1, counts.documents),
        "edges_per_concept": counts.edges / max(1, len(concepts)),
    }
    before = _before(context.instance, tenant)
    drift = _drift(now, before) if len(concepts) >= _ENOUGH else 1.0
    yield dg.AssetCheckResult(
        asset_key=ranking.key,
        check_name="the_graph_has_not_drifted",
        passed=drift <= _DRIFT,
        severity=dg.AssetCheckSeverity.WARN if drift <= _JUMP else dg.AssetCheckSeverity.ERROR,
        metadata={
            "factor": dg.MetadataValue.float(round(min(drift, sys.float_info.max), 2)),
            **{name: dg.MetadataValue.float(round(value, 4)) for name, value in now.items()},
            **{f"{name}_before": dg.MetadataValue.float(value) for name, value in before.items()},
        },
    )


@dg.asset_check(
    asset=paths,
    name="paths_are_closed",
    blocking=True,
    description="On no path does anything come before what it requires",
)
def check_paths(context: dg.AssetCheckExecutionContext, graph: dg.ResourceParam[GraphStore]) -> dg.AssetCheckResult:
    """Each path that was planned stands."""
    tenant = tenant_of(context.run)
    with failures():
        views = GraphProjections(graph)
        view = views.view(tenant)
        planner = LearningPaths(views)
        required = view.prerequisite_edges()
        found = [
            message
            for place in hardest(view, _SAMPLE)
            for message in problems_of(planner.plan(view.ids[place], tenant=tenant), required)
        ]
    return dg.AssetCheckResult(passed=not found, metadata={"problems": dg.MetadataValue.json(found[:20])})


def _before(instance: dg.DagsterInstance, tenant: str) -> Mapping[str, float]:
    """What the last graph check of this tenant saw, before this run."""
    records = instance.fetch_materializations(ranking.key, limit=50).records
    seen = [one.asset_materialization.metadata for one in records if one.asset_materialization is not None]
    ours = [one for one in seen if _value(one, "tenant") == tenant]
    if len(ours) < 2:  # noqa: PLR2004  the newest is of this run
        return {}
    former = ours[1]
    concepts, edges, documents = (float(_value(former, name) or 0) for name in ("concepts", "edges", "documents"))
    if concepts < _ENOUGH:
        return {}
    return {
        "concepts_per_document": round(concepts / max(1.0, documents), 4),
        "edges_per_concept": round(edges / concepts, 4),
    }


def _value(metadata: Mapping[str, Any], name: str) -> Any:
    found = metadata.get(name)
    return None if found is None else found.value


def _drift(now: Mapping[str, float], before: Mapping[str, float]) -> float:
    """The factor by which one of the figures has grown or shrunk, at most; 1 without a past."""
    pairs = [(now[name], former) for name, former in before.items() if former > 0]
    return max((max(value / former, former / value if value else math.inf) for value, former in pairs), default=1.0)
