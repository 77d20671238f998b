"""How concepts hang together, tenant by tenant: prerequisites without cycles, and what names mean."""

from collections import Counter

import dagster as dg
import numpy as np

from assets.documents import OWNERS, concepts
from assets.failures import RETRY_POLICY, failures
from assets.partitions import tenant_of
from assets.previews import table
from resources.ai.embedder import Embedder
from resources.knowledge.algorithms.structure import cycles, order
from resources.knowledge.meaning import ConceptVectors
from resources.knowledge.projection import GraphProjections
from resources.knowledge.resolution import central
from resources.knowledge.store import GraphStore
from resources.knowledge.view import KINDS

_SHOWN = 25


@dg.asset(
    key=["knowledge", "edges"],
    deps=[concepts],
    group_name="knowledge",
    kinds={"python", "neo4j"},
    owners=OWNERS,
    code_version="1",
    retry_policy=RETRY_POLICY,
    description="All edges between concepts. Where documents contradict each other, the weakest prerequisite is cut, and noted.",
)
def edges(context: dg.AssetExecutionContext, graph: dg.ResourceParam[GraphStore]) -> dg.MaterializeResult[None]:
    """Cut the cycles of the tenant's prerequisites, and note what was cut."""
    tenant = tenant_of(context.run)
    with failures():
        view = GraphProjections(graph).view(tenant)
        cut = view.once(order).cut
        graph.write_cuts(cut, tenant=tenant)
    kinds = Counter(KINDS[kind].value for kind in view.kinds.tolist())
    rows = [{"from": edge.source, "to": edge.target, "weight": edge.weight} for edge in cut[:_SHOWN]]
    first = [view.edge(row) for row in np.argsort(-view.weights, kind="stable")[:_SHOWN].tolist()]
    strongest = [
        {"from": edge.source, "type": edge.type.value, "to": edge.target, "weight": round(edge.weight, 4)}
        for edge in first
    ]
    return dg.MaterializeResult(
        metadata={
            "tenant": dg.MetadataValue.text(tenant),
            "revision": dg.MetadataValue.int(view.revision),
            "edges": dg.MetadataValue.int(len(view.sources)),
            **{kind.lower(): dg.MetadataValue.int(kinds[kind]) for kind in sorted(kind.value for kind in KINDS)},
            "cycles": dg.MetadataValue.int(len(view.once(cycles))),
            "cut": dg.MetadataValue.int(len(cut)),
            "strongest": table(
                strongest, columns={"from": "string", "type": "string", "to": "string", "weight": "float"}
            ),
            "cut_edges": table(rows, columns={"from": "string", "to": "string", "weight": "float"}),
        },
        data_version=dg.DataVersion(str(view.revision)),
    )


@dg.asset(
    key=["knowledge", "vectors"],
    deps=[concepts],
    group_name="knowledge",
    kinds={"onnx", "neo4j"},
    owners=OWNERS,
    code_version="1",
    retry_policy=RETRY_POLICY,
    description="The vectors of the names of the concepts with the most edges. A known name is not embedded again.",
)
def vectors(
    context: dg.AssetExecutionContext, graph: dg.ResourceParam[GraphStore], embedder: dg.ResourceParam[Embedder]
) -> dg.MaterializeResult[None]:
    """Embed the names that are new, and keep their vectors beside the concepts."""
    tenant = tenant_of(context.run)
    with failures():
        view = GraphProjections(graph).view(tenant)
        wanted = [view.concepts[place] for place in central(view)]
        rows, embedded = ConceptVectors(graph, embedder).of(wanted, tenant=tenant)
    return dg.MaterializeResult(
        metadata={
            "tenant": dg.MetadataValue.text(tenant),
            "model": dg.MetadataValue.text(embedder.model_id),
            "vectors": dg.MetadataValue.int(len(rows)),
            "embedded": dg.MetadataValue.int(embedded),
            "reused": dg.MetadataValue.int(len(rows) - embedded),
        },
        data_version=dg.DataVersion(f"{view.revision}.{embedder.model_id}"),
    )
