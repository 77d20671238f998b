"""What must hold of each document before the next step may use it.

A blocking check that fails stops its document there: what comes after is not materialised, the reason stands in the UI, and the
document is rejected with an event. Checks that only warn are about taste, not about truth.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

import dagster as dg
import numpy as np

from assets.documents import analysis, embeddings, parsed
from assets.expectations import validate
from assets.failures import failures
from assets.partitions import DOCUMENTS, correlated_with, partition_of
from resources.ai.embedder import Embedder
from resources.content.ingestion import reject
from resources.content.store import ChunkIndex, DocumentStore
from resources.errors import InvalidInputError
from resources.events.store import EventStore

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

_TEXT_CHECKS = {
    "has_text": "The parser found text: at least 20 characters, of which a third are letters or digits",
    "has_a_title": "The document has a title of its own or a declared one",
    "sections_lie_in_the_text": "Every section begins and ends inside the text",
}
_TEXT_WARNINGS = frozenset({"has_a_title"})
_ANALYSIS_CHECKS = {
    "scores_are_scores": "Quality and difficulty lie between 0 and 1",
    "has_words": "There are words to speak of: at least 5",
    "finds_concepts": "At least one concept was found",
}
_ANALYSIS_WARNINGS = frozenset({"has_words", "finds_concepts"})
_PASSAGE_CHECKS = {
    "has_passages": "The document can be found: it has at least one passage",
    "passages_are_text": "Every passage has text, and not too much of it",
    "passages_are_in_order": "Passages are numbered from 0 without gaps, and their offsets grow",
    "vectors_are_unit_length": "Every vector has length 1, so that a dot product is a cosine",
}
_LONGEST_PASSAGE = 8000


def _specs(asset: dg.AssetsDefinition, checks: dict[str, str], warnings: frozenset[str]) -> list[dg.AssetCheckSpec]:
    """One check a name, judged document by document.

    That a check has partitions is a preview in this release of Dagster. Without, the UI compares the newest check with the newest
    materialisation of *any* document, and two runs at once make it say "not evaluated".
    """
    with catch_warnings():
        simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name, asset=asset.key, description=text, blocking=name not in warnings, partitions_def=DOCUMENTS
            )
            for name, text in checks.items()
        ]


@dg.multi_asset_check(name="check_parsed", specs=_specs(parsed, _TEXT_CHECKS, _TEXT_WARNINGS), compute_kind="gx")
def check_parsed(
    context: dg.AssetCheckExecutionContext,
    documents: dg.ResourceParam[DocumentStore],
    events: dg.ResourceParam[EventStore],
) -> Iterator[dg.AssetCheckResult]:
    """The text is worth going on with."""
    import great_expectations.expectations as gxe

    document_id = partition_of(context.run)
    with failures(), correlated_with(context.run):
        tenant = documents.owner(document_id)
        document = documents.get(document_id, tenant=tenant)
        _, text = documents.get_parsed(document_id, tenant=tenant)
        row = {
            "characters": len(text.text),
            "written": sum(map(str.isalnum, text.text)) / max(1, len(text.text.replace(" ", ""))),
            "title": document.title,
            "sections_outside": sum(not 0 <= item.start <= item.end <= len(text.text) for item in text.sections),
        }
        suite: dict[str, list[Expectation]] = {
            "has_text": [
                gxe.ExpectColumnValuesToBeBetween(column="characters", min_value=20),
                gxe.ExpectColumnValuesToBeBetween(column="written", min_value=1 / 3),
            ],
            "has_a_title": [gxe.ExpectColumnValuesToNotBeNull(column="title")],
            "sections_lie_in_the_text": [gxe.ExpectColumnValuesToBeInSet(column="sections_outside", value_set=[0])],
        }
        results = list(validate([row], suite, asset_key=parsed.key, warnings=_TEXT_WARNINGS))
        _reject_if_failed(results, document_id, tenant=tenant, documents=documents, events=events)
    yield from results


@dg.multi_asset_check(
    name="check_analysis", specs=_specs(analysis, _ANALYSIS_CHECKS, _ANALYSIS_WARNINGS), compute_kind="gx"
)
def check_analysis(
    context: dg.AssetCheckExecutionContext,
    documents: dg.ResourceParam[DocumentStore],
    events: dg.ResourceParam[EventStore],
) -> Iterator[dg.AssetCheckResult]:
    """The analysis says something."""
    import great_expectations.expectations as gxe

    document_id = partition_of(context.run)
    with failures(), correlated_with(context.run):
        tenant = documents.owner(document_id)
        _, found = documents.get_analysis(document_id, tenant=tenant)
        row = {
            "scores_outside": sum(not 0 <= score <= 1 for score in (found.quality, found.difficulty)),
            "words": found.words,
            "concepts": len(found.concepts),
        }
        suite: dict[str, list[Expectation]] = {
            "scores_are_scores": [gxe.ExpectColumnValuesToBeInSet(column="scores_outside", value_set=[0])],
            "has_words": [gxe.ExpectColumnValuesToBeBetween(column="words", min_value=5)],
            "finds_concepts": [gxe.ExpectColumnValuesToBeBetween(column="concepts", min_value=1)],
        }
        results = list(validate([row], suite, asset_key=analysis.key, warnings=_ANALYSIS_WARNINGS))
        _reject_if_failed(results, document_id, tenant=tenant, documents=documents, events=events)
    yield from results


@dg.multi_asset_check(
    name="check_embeddings", specs=_specs(embeddings, _PASSAGE_CHECKS, frozenset()), compute_kind="gx"
)
def check_embeddings(
    context: dg.AssetCheckExecutionContext,
    documents: dg.ResourceParam[DocumentStore],
    chunks: dg.ResourceParam[ChunkIndex],
    embedder: dg.ResourceParam[Embedder],
    events: dg.ResourceParam[EventStore],
) -> Iterator[dg.AssetCheckResult]:
    """Every passage can be found."""
    import great_expectations.expectations as gxe

    document_id = partition_of(context.run)
    with failures(), correlated_with(context.run):
        tenant = documents.owner(document_id)
        passages = chunks.chunks_of(document_id, tenant=tenant)
        vectors = chunks.known_vectors({item.sha256 for item in passages}, model_id=embedder.model_id, tenant=tenant)
        rows = [
            {
                "ordinal": item.ordinal,
                "out_of_order": int(item.ordinal != place or item.start <= before),
                "characters": len(item.text.strip()),
                "length": float(np.linalg.norm(vectors[item.sha256])) if item.sha256 in vectors else 0.0,
            }
            for place, (before, item) in enumerate(
                zip([-1, *(item.start for item in passages)], passages, strict=False)
            )
        ]
        suite: dict[str, list[Expectation]] = {
            "has_passages": [gxe.ExpectTableRowCountToBeBetween(min_value=1)],
            "passages_are_text": [
                gxe.ExpectColumnValuesToBeBetween(column="characters", min_value=1, max_value=_LONGEST_PASSAGE)
            ],
            "passages_are_in_order": [gxe.ExpectColumnValuesToBeInSet(column="out_of_order", value_set=[0])],
            "vectors_are_unit_length": [
                gxe.ExpectColumnValuesToBeBetween(column="length", min_value=0.99, max_value=1.01)
            ],
        }
        columns = ("ordinal", "out_of_order", "characters", "length")
        results = list(validate(rows, suite, asset_key=embeddings.key, columns=columns))
        _reject_if_failed(results, document_id, tenant=tenant, documents=documents, events=events)
    yield from results


def _reject_if_failed(
    results: list[dg.AssetCheckResult],
    document_id: str,
    *,
    tenant: str,
    documents: DocumentStore,
    events: EventStore,
) -> None:
    """Reject the document when a check that blocks has failed, so that its sender learns of it, too."""
    failed = [item for item in results if not item.passed and item.severity is dg.AssetCheckSeverity.ERROR]
    if not failed:
        return
    names = ", ".join(str(item.check_name) for item in failed)
    error = InvalidInputError(f"The document did not pass the checks: {names}.", code="document_check_failed")
    reject(document_id, error, documents=documents, events=events, tenant=tenant, now=datetime.now(UTC))
