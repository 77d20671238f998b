"""The graph of knowledge as a whole, tenant by tenant: what matters most in it, written back, and the paths through it."""

from datetime import UTC, datetime

import dagster as dg

from assets.connections import edges
from assets.documents import OWNERS
from assets.failures import RETRY_POLICY, failures
from assets.partitions import tenant_of
from assets.previews import markdown_preview, table
from resources.knowledge.learning_path import LearningPaths, hardest
from resources.knowledge.projection import GraphProjections
from resources.knowledge.saving import keep
from resources.knowledge.scoring import score
from resources.knowledge.store import GraphStore

_SHOWN = 25
_NAMED = 5
_PATHS = 25
_BAR = 20


@dg.asset(
    key=["knowledge", "ranking"],
    deps=[edges],
    group_name="knowledge",
    kinds={"python", "neo4j"},
    owners=OWNERS,
    code_version="2",
    retry_policy=RETRY_POLICY,
    description="PageRank, betweenness, closeness, degree and community of each concept, and the size of the graph over time.",
)
def ranking(context: dg.AssetExecutionContext, graph: dg.ResourceParam[GraphStore]) -> dg.MaterializeResult[None]:
    """Score the tenant's concepts, and write the scores back."""
    tenant = tenant_of(context.run)
    with failures():
        scored = score(GraphProjections(graph).view(tenant))
        graph.write_scores(scored.scores, tenant=tenant)
        counts = graph.counts(tenant=tenant)
    view = scored.view
    rows = [
        {
            "concept": concept.name,
            "kind": concept.kind,
            "rank": scores.rank,
            "betweenness": scores.betweenness,
            "closeness": scores.closeness,
            "degree": scores.degree,
            "community": scores.community,
        }
        for concept, scores in ((view.concepts[view.place[key]], scored.scores[key]) for key in scored.first(_SHOWN))
    ]
    communities = [
        {"community": number, "concepts": size, "first": ", ".join(view.concepts[place].name for place in places)}
        for number, size, places in scored.largest_communities(_SHOWN, named=_NAMED)
    ]
    return dg.MaterializeResult(
        metadata={
            "tenant": dg.MetadataValue.text(tenant),
            "revision": dg.MetadataValue.int(view.revision),
            "concepts": dg.MetadataValue.int(counts.concepts),
            "edges": dg.MetadataValue.int(counts.edges),
            "documents": dg.MetadataValue.int(counts.documents),
            "chunks": dg.MetadataValue.int(counts.chunks),
            "resources": dg.MetadataValue.int(counts.resources),
            "learners": dg.MetadataValue.int(counts.learners),
            "prerequisites": dg.MetadataValue.int(scored.prerequisites),
            "edges_that_close_cycles": dg.MetadataValue.int(len(scored.cut)),
            "levels": dg.MetadataValue.int(scored.levels),
            "components": dg.MetadataValue.int(scored.components),
            "modularity": dg.MetadataValue.float(round(scored.modularity, 4)),
            "exact": dg.MetadataValue.bool(scored.exact),
            "top": table(
                rows,
                columns={
                    "concept": "string",
                    "kind": "string",
                    "rank": "float",
                    "betweenness": "float",
                    "closeness": "float",
                    "degree": "int",
                    "community": "int",
                },
            ),
            "communities": table(communities, columns={"community": "int", "concepts": "int", "first": "string"}),
        },
        data_version=dg.DataVersion(str(view.revision)),
    )


@dg.asset(
    key=["knowledge", "paths"],
    deps=[ranking],
    group_name="knowledge",
    kinds={"python", "neo4j"},
    owners=OWNERS,
    code_version="2",
    retry_policy=RETRY_POLICY,
    description="The way to each of the most demanding concepts, kept in the graph: how long it is. One is drawn.",
)
def paths(context: dg.AssetExecutionContext, graph: dg.ResourceParam[GraphStore]) -> dg.MaterializeResult[None]:
    """Plan the tenant's longest paths, as a learner gets them, and keep them in place of those that were kept."""
    tenant = tenant_of(context.run)
    with failures():
        views = GraphProjections(graph)
        view = views.view(tenant)
        planner = LearningPaths(views)
        planned = [planner.plan(view.ids[place], tenant=tenant) for place in hardest(view, _PATHS)]
        keep(planned, view, graph, tenant=tenant, now=datetime.now(UTC))
    planned.sort(key=lambda path: -len(path.steps))
    rows = [
        {
            "target": view.concepts[view.place[path.target]].name,
            "steps": len(path.steps),
            "minutes": path.minutes,
            "levels": max((step.level for step in path.steps), default=0),
            "cut": len(path.cut_edges),
        }
        for path in planned
    ]
    drawn = (
        [f"{step.order:>3}. {'#' * min(step.level, _BAR)} {step.concept.name}" for step in planned[0].steps]
        if planned
        else []
    )
    return dg.MaterializeResult(
        metadata={
            "tenant": dg.MetadataValue.text(tenant),
            "paths": dg.MetadataValue.int(len(planned)),
            "longest": dg.MetadataValue.int(max((len(path.steps) for path in planned), default=0)),
            "minutes": dg.MetadataValue.int(sum(path.minutes for path in planned)),
            "targets": table(
                rows, columns={"target": "string", "steps": "int", "minutes": "int", "levels": "int", "cut": "int"}
            ),
            "longest_path": markdown_preview("\n".join(drawn), title="The longest, with the level of each step"),
        },
        data_version=dg.DataVersion(str(view.revision)),
    )
