"""The jobs: what can be launched by name, from the UI, the API or a sensor."""

from typing import Final

import dagster as dg

from assets.documents import embeddings
from assets.study import STUDY_GUIDE
from assets.table import DOCUMENT_ASSETS, KNOWLEDGE_ASSETS, PROJECTION_ASSETS, USAGE_ASSETS

INGEST_DOCUMENT = dg.define_asset_job(
    "ingest_document",
    selection=dg.AssetSelection.assets(*DOCUMENT_ASSETS),
    executor_def=dg.in_process_executor,
    description="One document, from its bytes to a searchable and connected part of what is known.",
)

EMBED_DOCUMENT = dg.define_asset_job(
    "embed_document",
    selection=dg.AssetSelection.assets(embeddings),
    executor_def=dg.in_process_executor,
    description="One document's passages and vectors anew: for another model, or passages of another length.",
)

RANK_CONCEPTS = dg.define_asset_job(
    "rank_concepts",
    selection=dg.AssetSelection.assets(*KNOWLEDGE_ASSETS),
    executor_def=dg.in_process_executor,
    description="What matters most in the graph of knowledge, and whether the graph is sound.",
)

REBUILD_PROJECTIONS = dg.define_asset_job(
    "rebuild_projections",
    selection=dg.AssetSelection.assets(*PROJECTION_ASSETS),
    executor_def=dg.in_process_executor,
    description="Every read model from the first event on, beside the rows in use, which are replaced in one step.",
)

REPORT_USAGE = dg.define_asset_job(
    "report_usage",
    selection=dg.AssetSelection.assets(*USAGE_ASSETS),
    executor_def=dg.in_process_executor,
    description="What models were asked in one day and what it cost, and whether the budgets hold.",
)

JOBS: Final = (INGEST_DOCUMENT, EMBED_DOCUMENT, RANK_CONCEPTS, STUDY_GUIDE, REBUILD_PROJECTIONS, REPORT_USAGE)
