"""Evaluations as checks of assets: of what documents and workflows gave, partition by partition.

build_eval_check(
["documentation", "generated"],
name="is_grounded",
scorers=[{"kind": "groundedness", "min": 0.9}],
subject=output_of("text"),
)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from warnings import catch_warnings, simplefilter

import dagster as dg
from pydantic import TypeAdapter

from assets.failures import failures
from assets.partitions import PARTITION_TAG, correlated_with, tenant_of
from resources.ai.embedder import Embedder
from resources.ai.evals.model import Scorer
from resources.ai.evals.scorers import Scorers
from resources.ai.model import CallContext
from resources.ai.pipeline import AiCalls
from resources.content import analysers
from resources.content.parse import parse_document
from resources.content.store import DocumentStore
from resources.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged: a text, and the passages that it should rest on."""

    text: str
    passages: tuple[str, ...] = ()


Find = Callable[[dg.AssetCheckExecutionContext, DocumentStore], Subject]
"""Finds what is judged. Raises NotFoundError when there is nothing."""


def build_eval_check(
    asset: Sequence[str],
    *,
    name: str,
    scorers: Sequence[Mapping[str, Any]],
    subject: Find,
    blocking: bool = False,
    partitions: dg.PartitionsDefinition[str] | None = None,
) -> dg.AssetChecksDefinition:
    """A check that passes when all `scorers` do. `blocking`: nothing that depends on the asset is made when it fails; otherwise
    it warns. Models that judge are paid from the run's budgets, and once for the same text.
    """
    wanted = TypeAdapter(tuple[Scorer, ...]).validate_python(list(scorers))
    kinds = ", ".join(scorer.kind for scorer in wanted)
    with catch_warnings():
        simplefilter("ignore", dg.PreviewWarning)  # that checks have partitions
        spec = dg.AssetCheckSpec(
            name,
            asset=dg.AssetKey(asset),
            description=f"Evaluated by {kinds}",
            blocking=blocking,
            partitions_def=partitions,
        )

    @dg.multi_asset_check(name=f"{'__'.join(asset)}__{name}", specs=[spec], compute_kind="eval")
    def check(
        context: dg.AssetCheckExecutionContext,
        ai: dg.ResourceParam[AiCalls],
        embedder: dg.ResourceParam[Embedder],
        documents: dg.ResourceParam[DocumentStore],
    ) -> Any:
        run = context.run
        caller = CallContext(
            tenant=tenant_of(run),
            run_id=run.run_id,
            asset="/".join(asset),
            partition=run.tags.get(PARTITION_TAG),
        )
        scoring = Scorers(embedder, ai, caller, readability=readability)
        with failures(), correlated_with(run):
            found = subject(context, documents)
            verdicts = [scoring.score(scorer, found.text, passages=found.passages) for scorer in wanted]
        metadata = {f"{verdict.kind}_{number}": verdict.reason for number, verdict in enumerate(verdicts, 1)}
        scores = {
            f"{verdict.kind}_{number}_score": verdict.score
            for number, verdict in enumerate(verdicts, 1)
            if verdict.score is not None
        }
        simulated = {"notice": "judged by rule, not by an AI model"} if any(one.simulated for one in verdicts) else {}
        yield dg.AssetCheckResult(
            passed=all(verdict.passed for verdict in verdicts),
            check_name=name,
            asset_key=dg.AssetKey(asset),
            severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
            metadata={**metadata, **scores, **simulated},
        )

    return check


def output_of(field: str | None = None, *, passages: str | None = None) -> Find:
    """What a workflow's node gave when it last materialised the asset: the field of its output that holds the text, and the one
    that lists the passages.
    """

    def find(context: dg.AssetCheckExecutionContext, documents: DocumentStore) -> Subject:
        del documents
        output = _output(context)
        text = output.get(field) if field is not None and isinstance(output, dict) else output
        if not isinstance(text, str):
            raise NotFoundError("The asset shows no text to judge.", code="eval_no_text")
        rest = output.get(passages, ()) if passages is not None and isinstance(output, dict) else ()
        return Subject(text, tuple(str(passage) for passage in rest))

    return find


def document_of_output(context: dg.AssetCheckExecutionContext, documents: DocumentStore) -> Subject:
    """The document that a workflow's node of the type `ingest` handed in when it last materialised the asset."""
    output = _output(context)
    document_id = output.get("document_id") if isinstance(output, dict) else None
    if not isinstance(document_id, str):
        raise NotFoundError("The asset names no document to judge.", code="eval_no_text")
    document = documents.get(document_id, tenant=documents.owner(document_id))
    return Subject(documents.get_blob(document.sha256, tenant=document.tenant).decode(errors="replace"))


def summary_of_document(context: dg.AssetCheckExecutionContext, documents: DocumentStore) -> Subject:
    """The summary of the partition's document, and the text that it sums up."""
    document_id = context.run.tags[PARTITION_TAG]
    tenant = documents.owner(document_id)
    _, analysis = documents.get_analysis(document_id, tenant=tenant)
    _, parsed = documents.get_parsed(document_id, tenant=tenant)
    return Subject(analysis.summary, (parsed.text,))


def readability(text: str) -> float | None:
    """Flesch reading ease, as the analysers tell it."""
    return analysers.analyse(parse_document(text.encode())).readability


def _output(context: dg.AssetCheckExecutionContext) -> Any:
    """What stands on the asset's page as its output, if it was ever materialised."""
    (key,) = {check.asset_key for check in context.selected_asset_check_keys}
    partition = context.run.tags.get(PARTITION_TAG)
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    records = context.instance.fetch_materializations(wanted, limit=1).records
    materialised = records[0].asset_materialization if records else None
    shown = materialised.metadata.get("output") if materialised is not None else None
    return None if shown is None else shown.value
