"""The graph of knowledge as a whole: what matters most in it, tenant by tenant, written back beside the concepts."""

import dagster as dg

from assets.documents import OWNERS, concepts
from assets.failures import RETRY_POLICY, failures
from assets.partitions import tenant_of
from assets.previews import table
from resources.knowledge.projection import GraphProjections
from resources.knowledge.scoring import score
from resources.knowledge.store import GraphStore

_SHOWN = 25
_NAMED = 5


@dg.asset(
    key=["knowledge", "ranking"],
    deps=[concepts],
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
