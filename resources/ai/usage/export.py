"""The books as CSV or JSON lines, one call after the other."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from resources.ai.ledger.model import CallRecord

ExportFormat = Literal["csv", "jsonl"]

COLUMNS: Final = (
    "id", "timestamp", "kind", "provider", "model", "outcome", "memo", "input_tokens", "output_tokens", "total_tokens",
    "cost_usd", "saved_cost_usd", "price_source", "prompt_version", "latency_ms", "user_id", "project", "workflow", "run_id",
    "node_id", "asset", "partition", "correlation_id", "error_code",
)  # fmt: skip


def export(records: Iterable[CallRecord], format: ExportFormat) -> Iterator[bytes]:
    """Lines, encoded in UTF-8; CSV begins with the names of the columns. What is unknown is empty, or null."""
    if format == "csv":
        yield _line(COLUMNS)
        for record in records:
            yield _line(_fields(record))
        return
    for record in records:
        yield orjson.dumps(dict(zip(COLUMNS, _fields(record), strict=True)), default=str) + b"\n"


def _line(values: Iterable[object]) -> bytes:
    text = io.StringIO()
    # A cell that begins like a formula is one to a spreadsheet (OWASP, "CSV injection").
    csv.writer(text, lineterminator="\n").writerow(
        f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value for value in values
    )
    return text.getvalue().encode()


def _fields(record: CallRecord) -> tuple[object, ...]:
    context, usage = record.context, record.usage
    return (
        str(record.call_id),
        record.created_at.isoformat(),
        record.kind,
        record.provider,
        record.model,
        record.outcome,
        record.memo,
        usage.input if usage else None,
        usage.output if usage else None,
        usage.total if usage else None,
        None if record.cost is None else str(record.cost),
        None if record.saved_cost is None else str(record.saved_cost),
        record.price_source,
        record.prompt_version,
        record.latency_ms,
        context.user,
        context.project,
        context.workflow,
        context.run_id,
        context.node_id,
        context.asset,
        context.partition,
        context.correlation_id,
        record.error_code,
    )
