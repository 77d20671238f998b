"""The books in PostgreSQL: one statement opens a call, one settles it (migration 0030)."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from resources.ai.ledger.facts import event_of, event_of_alert
from resources.ai.ledger.model import Alert, CallRecord, Opened, Recalled, Refusal, Totals
from resources.ai.model import CallContext, Usage
from resources.errors import PlatformError
from resources.events import envelope
from resources.events.catalog import CATALOG
from resources.events.model import StreamAppend
from resources.events.postgres import AS_SYSTEM, AS_TENANT, PostgresEventStore, append_parameters, in_our_words, in_turn
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from resources.ai.ledger.model import Captured, Dimension, Keepsake, Opening
    from resources.database.postgres import Connection, Database
    from resources.events.store import EventStore

log = get_logger(__name__)

_OPEN = """SELECT outcome, payload, paid_by, saved_tokens, saved_cost, budget, abandoned
    FROM aiw.begin_ai_call(%b, %b, %b::bytea, %b, %b, %b::text[], %b::numeric, %b, %b, %b, %b::json)"""
_SETTLE = """SELECT stored, alerts FROM aiw.settle_ai_call(%b, %b, %b, %b::numeric, %b::json, %b::bytea, %b::bytea,
    %b::bigint, %b::float8, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)"""
_RENEW = """UPDATE aiw.ai_inflight SET lease_until = clock_timestamp() + %s * interval '1 second'
    WHERE call_id = ANY (%s)"""
_ABANDONED = """SELECT amount, call FROM aiw.ai_inflight WHERE lease_until < clock_timestamp()
    ORDER BY lease_until LIMIT %s"""
_UNTOLD = """SELECT to_jsonb(a) || jsonb_build_object('threshold', a.threshold::text, 'amount', a.amount::text,
    'spent', a.spent::text) FROM aiw.ai_alert a WHERE reached_at < clock_timestamp() - %s * interval '1 second'
    ORDER BY reached_at LIMIT %s"""
_TOLD = "DELETE FROM aiw.ai_alert WHERE alert_id = %s"

COLUMNS = """call_id, kind, outcome, memo, fingerprint, provider, model, answered_by, prompt_version, attempt, input_tokens,
    output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, measured, cost, price_source, saved_tokens,
    saved_cost, simulated, latency_ms, first_token_ms, run_id, workflow, node_id, asset, partition, user_id, project,
    correlation_id, provider_request_id, error_code, created_at"""
_CALLS = f"SELECT {COLUMNS} FROM aiw.ai_calls WHERE tenant = %(tenant)s"
_SUMS = """count(*), count(*) FILTER (WHERE memo = 'hit'), count(*) FILTER (WHERE cost IS NULL),
    count(*) FILTER (WHERE NOT measured), coalesce(sum(input_tokens), 0)::bigint, coalesce(sum(output_tokens), 0)::bigint,
    coalesce(sum(cost), 0), coalesce(sum(saved_cost), 0)"""
_DIMENSIONS: dict[Dimension, str] = {
    "run": "run_id",
    "node": "node_id",
    "asset": "asset",
    "partition": "partition",
    "tenant": "tenant",
    "workflow": "workflow",
    "user": "user_id",
    "project": "project",
    "provider": "provider",
    "model": "model",
    "prompt": "prompt_version",
    "day": "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}


class PostgresCallBooks:
    """Safe to share between threads; holds no state but the pool's.

    `events` is where alerts are told; one that was not told after `patience` seconds is told by `settle_abandoned`.
    """

    def __init__(self, database: Database, *, events: EventStore | None = None, patience: float = 10.0) -> None:
        self._database = database
        self._events = events or PostgresEventStore(database)
        self._patience = patience

    def open(self, opening: Opening) -> Opened:
        record, context = opening.record, opening.record.context
        subjects = [record.provider, context.project, context.user, context.workflow, context.run_id]
        parameters = (
            context.tenant,
            record.call_id,
            opening.key,
            opening.look and opening.key is not None,
            opening.may_call,
            subjects,
            opening.amount,
            opening.tokens,
            opening.refuse_unpriced,
            float(opening.lease),
            _as_json(record),
        )
        outcome, payload, paid_by, tokens, cost, budget, abandoned = self._one(_OPEN, parameters)
        recalled = Recalled(bytes(payload), paid_by, tokens, cost) if outcome == "hit" else None
        refusal = _as_refusal(budget) if outcome == "refused" else None
        return Opened(outcome, recalled, refusal, abandoned)

    def settle(
        self, record: CallRecord, *, keep: Keepsake | None = None, captured: Captured | None = None
    ) -> Sequence[Alert]:
        return self._settle(record, keep=keep, captured=captured, abandoned=False)[1]

    def renew(self, call_ids: Collection[UUID], *, lease: float) -> None:
        with self._as_system() as connection:
            connection.execute(_RENEW, (lease, list(call_ids)))

    def settle_abandoned(self, *, limit: int = 100) -> int:
        with self._as_system() as connection:
            rows = connection.execute(_ABANDONED, (limit,)).fetchall()
            late = connection.execute(_UNTOLD, (self._patience, limit)).fetchall()
        for (alert,) in late:
            self._tell(_as_alert(alert))
        return sum(self._settle(_lost(amount, call), abandoned=True)[0] for amount, call in rows)

    def calls(
        self,
        *,
        tenant: str,
        run_id: str | None = None,
        asset: str | None = None,
        partition: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 1000,
    ) -> Sequence[CallRecord]:
        query, parameters = _filtered(
            _CALLS, tenant=tenant, run_id=run_id, asset=asset, partition=partition, since=since, until=until
        )
        query += " ORDER BY created_at DESC, call_id DESC LIMIT %(limit)s"
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            return [as_record(tenant, row) for row in connection.execute(query, parameters | {"limit": limit})]

    def find(
        self, call_ids: Collection[UUID] = (), *, run_ids: Collection[str] = (), tenant: str, limit: int = 1000
    ) -> Sequence[CallRecord]:
        query = (
            f"{_CALLS} AND (call_id = ANY(%(calls)s) OR run_id = ANY(%(runs)s)) ORDER BY created_at DESC, call_id DESC"
        )
        parameters = {"tenant": tenant, "calls": list(call_ids), "runs": list(run_ids), "limit": limit}
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            return [as_record(tenant, row) for row in connection.execute(f"{query} LIMIT %(limit)s", parameters)]

    def totals(
        self,
        by: Dimension,
        *,
        tenant: str,
        run_id: str | None = None,
        asset: str | None = None,
        workflow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Mapping[str | None, Totals]:
        select = f"SELECT {_DIMENSIONS[by]}, {_SUMS} FROM aiw.ai_calls WHERE tenant = %(tenant)s"
        query, parameters = _filtered(
            select, tenant=tenant, run_id=run_id, asset=asset, workflow=workflow, since=since, until=until
        )
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            rows = connection.execute(f"{query} GROUP BY 1 ORDER BY 1".encode(), parameters)
            return {value: Totals(*counts) for value, *counts in rows}

    def _settle(
        self,
        record: CallRecord,
        *,
        keep: Keepsake | None = None,
        captured: Captured | None = None,
        abandoned: bool,
    ) -> tuple[bool, list[Alert]]:
        stream, event = event_of(record, captured)
        prepared = envelope.prepare([StreamAppend(stream, (event,))], CATALOG)
        parameters = (
            record.context.tenant,
            record.call_id,
            abandoned,
            record.cost,
            _as_json(record),
            keep.key if keep else None,
            keep.payload if keep else None,
            keep.tokens if keep else None,
            keep.ttl if keep else None,
            *append_parameters(prepared, in_turn(prepared)),
        )
        stored, found = self._one(_SETTLE, parameters)
        alerts = [_as_alert(alert) for alert in found or ()]
        for alert in alerts:
            try:
                self._tell(alert)
            except PlatformError as error:  # the call is settled; the alert is written, and told later
                log.warning("ai.alert_waits", alert_id=str(alert.alert_id), reason=error.message)
        return stored, alerts

    def _tell(self, alert: Alert) -> None:
        """Once, however often it is tried: the event has the alert's id."""
        if alert.tenant is None:
            log.warning(
                "ai.platform_budget_alert", scope=alert.scope, subject=alert.subject, threshold=str(alert.threshold)
            )
        else:
            stream, event = event_of_alert(alert)
            self._events.append(stream, [event], tenant=alert.tenant)
        with self._as_system() as connection:
            connection.execute(_TOLD, (alert.alert_id,))

    def _one(self, query: str, parameters: tuple[Any, ...]) -> tuple[Any, ...]:
        """One statement that is its own transaction: one round trip instead of three."""
        with self._database.transaction() as connection, in_our_words():
            connection.autocommit = True
            try:
                row = connection.cursor(binary=True).execute(query, parameters, prepare=True).fetchone()
            finally:
                if not connection.closed:
                    connection.autocommit = False
        assert row is not None
        return row

    @contextmanager
    def _as_system(self) -> Iterator[Connection]:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_SYSTEM)
            yield connection


def _filtered(query: str, **conditions: Any) -> tuple[str, dict[str, Any]]:
    comparisons = {"since": "created_at >= %(since)s", "until": "created_at < %(until)s"}
    for name, value in conditions.items():
        if value is not None and name != "tenant":
            query += f" AND {comparisons.get(name, f'{name} = %({name})s')}"
    return query, {name: value for name, value in conditions.items() if value is not None}


def _as_json(record: CallRecord) -> str:
    context, usage = record.context, record.usage
    return orjson.dumps(
        {
            "call_id": record.call_id,
            "tenant": context.tenant,
            "kind": record.kind,
            "outcome": record.outcome,
            "memo": record.memo,
            "fingerprint": record.fingerprint,
            "provider": record.provider,
            "model": record.model,
            "answered_by": record.answered_by,
            "prompt_version": record.prompt_version,
            "attempt": record.attempt,
            "input_tokens": usage.input if usage else None,
            "output_tokens": usage.output if usage else None,
            "cache_read_tokens": usage.cache_read if usage else None,
            "cache_write_tokens": usage.cache_write if usage else None,
            "reasoning_tokens": usage.reasoning if usage else None,
            "measured": record.measured,
            "cost": record.cost,
            "price_source": record.price_source,
            "saved_tokens": record.saved_tokens,
            "saved_cost": record.saved_cost,
            "simulated": record.simulated,
            "latency_ms": record.latency_ms,
            "first_token_ms": record.first_token_ms,
            "run_id": context.run_id,
            "workflow": context.workflow,
            "node_id": context.node_id,
            "asset": context.asset,
            "partition": context.partition,
            "user_id": context.user,
            "project": context.project,
            "correlation_id": context.correlation_id,
            "provider_request_id": record.provider_request_id,
            "error_code": record.error_code,
            "created_at": record.created_at,
        },
        default=str,
    ).decode()


def as_record(tenant: str, row: tuple[Any, ...]) -> CallRecord:
    """The call in a row of COLUMNS."""
    return _record_of(dict(zip((name.strip() for name in COLUMNS.split(",")), row, strict=True)) | {"tenant": tenant})


def _record_of(row: Mapping[str, Any]) -> CallRecord:
    usage = None
    if row["input_tokens"] is not None:
        usage = Usage(
            input=row["input_tokens"],
            output=row["output_tokens"],
            cache_read=row["cache_read_tokens"],
            cache_write=row["cache_write_tokens"],
            reasoning=row["reasoning_tokens"],
        )
    context = CallContext(
        tenant=row["tenant"],
        user=row["user_id"],
        project=row["project"],
        workflow=row["workflow"],
        run_id=row["run_id"],
        node_id=row["node_id"],
        asset=row["asset"],
        partition=row["partition"],
        correlation_id=row["correlation_id"],
    )
    return CallRecord(
        context=context,
        usage=usage,
        **{name: row[name] for name in _PLAIN},
    )


_PLAIN = (
    "call_id",
    "kind",
    "outcome",
    "memo",
    "fingerprint",
    "provider",
    "model",
    "answered_by",
    "prompt_version",
    "attempt",
    "measured",
    "cost",
    "price_source",
    "saved_tokens",
    "saved_cost",
    "simulated",
    "latency_ms",
    "first_token_ms",
    "provider_request_id",
    "error_code",
    "created_at",
)


def _lost(amount: Decimal | None, call: Mapping[str, Any]) -> CallRecord:
    """What an opening said would be written when nobody settles."""
    row = dict(call) | {
        "call_id": UUID(call["call_id"]),
        "cost": amount,
        "created_at": datetime.fromisoformat(call["created_at"]),
    }
    return _record_of(row)


def _as_refusal(budget: Mapping[str, Any]) -> Refusal:
    money = {name: Decimal(budget[name]) for name in ("limit", "spent", "reserved")}
    needed = None if budget["needed"] is None else Decimal(budget["needed"])
    return Refusal(
        UUID(budget["budget_id"]),
        budget["scope"],
        budget["subject"],
        budget["period"],
        needed=needed,
        unit=budget["unit"],
        retry_after=budget["retry_after"],
        **money,
    )


def _as_alert(alert: Mapping[str, Any]) -> Alert:
    return Alert(
        UUID(alert["budget_id"]),
        alert["tenant"],
        alert["scope"],
        alert["subject"],
        alert["period"],
        threshold=Decimal(alert["threshold"]),
        limit=Decimal(alert["amount"]),
        spent=Decimal(alert["spent"]),
        unit=alert["unit"],
        alert_id=UUID(alert["alert_id"]),
        reached_at=datetime.fromisoformat(alert["reached_at"]),
    )
