"""The graph of knowledge as a whole: what matters most in it, tenant by tenant."""

import dagster as dg

from assets.documents import OWNERS, concepts
from assets.failures import RETRY_POLICY, failures
from assets.partitions import tenant_of
from assets.previews import table
from resources.knowledge.algorithms.prerequisites import without_cycles
from resources.knowledge.algorithms.ranking import pagerank
from resources.knowledge.model import EdgeType
from resources.knowledge.store import GraphStore

_SHOWN = 25


@dg.asset(
    key=["knowledge", "ranking"],
    deps=[concepts],
    group_name="knowledge",
    kinds={"python", "neo4j"},
    owners=OWNERS,
    code_version="1",
    retry_policy=RETRY_POLICY,
    description="Concepts by PageRank over the prerequisite and relation edges, and the size of the graph over time.",
)
def ranking(context: dg.AssetExecutionContext, graph: dg.ResourceParam[GraphStore]) -> dg.MaterializeResult[None]:
    """Rank the tenant's concepts."""
    tenant = tenant_of(context.run)
    with failures():
        known = {concept.id: concept for concept in graph.concepts(tenant=tenant)}
        edges = graph.edges(tenant=tenant)
        counts = graph.counts(tenant=tenant)
    ranks = sorted(pagerank(known, edges).items(), key=lambda item: (-item[1], item[0]))
    kept, cut = without_cycles(edge for edge in edges if edge.type is EdgeType.REQUIRES)
    rows = [{"concept": known[key].name, "kind": known[key].kind, "rank": rank} for key, rank in ranks[:_SHOWN]]
    return dg.MaterializeResult(
        metadata={
            "tenant": dg.MetadataValue.text(tenant),
            "concepts": dg.MetadataValue.int(counts.concepts),
            "edges": dg.MetadataValue.int(counts.edges),
            "documents": dg.MetadataValue.int(counts.documents),
            "prerequisites": dg.MetadataValue.int(len(kept) + len(cut)),
            "edges_that_close_cycles": dg.MetadataValue.int(len(cut)),
            "top": table(rows, columns={"concept": "string", "kind": "string", "rank": "float"}),
        }
    )
