"""What runs: the table of all assets and checks. A forgotten one is found by `tests/assets/test_table.py`."""

from typing import Final

import dagster as dg

from assets import checks, concepts, connections, documents, graph_checks, projections, usage

DOCUMENT_ASSETS = [
    documents.parsed,
    documents.analysis,
    documents.embeddings,
    documents.concepts,
    documents.published,
]
KNOWLEDGE_ASSETS = [connections.edges, connections.vectors, concepts.ranking, concepts.paths]
PROJECTION_ASSETS = list(projections.ASSETS)
USAGE_ASSETS = [usage.daily_usage]
ASSETS: Final[list[dg.AssetsDefinition | dg.AssetSpec]] = [
    documents.RECEIVED,
    *DOCUMENT_ASSETS,
    *KNOWLEDGE_ASSETS,
    *PROJECTION_ASSETS,
    *USAGE_ASSETS,
]
ASSET_KEYS: Final = frozenset(
    key.to_user_string()
    for asset in ASSETS
    for key in (asset.keys if isinstance(asset, dg.AssetsDefinition) else [asset.key])
)
CHECKS = [
    checks.check_parsed,
    checks.check_analysis,
    checks.check_embeddings,
    graph_checks.check_edges,
    graph_checks.check_graph,
    graph_checks.check_paths,
    projections.check_lag,
    usage.check_budgets,
]
