"""The books in memory, for tests and for one process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from resources.ai.budgets.memory import MemoryBudgets
from resources.ai.ledger.facts import event_of, event_of_alert
from resources.ai.ledger.model import Alert, CallRecord, Opened, Refusal, Totals
from resources.ai.memo.memory import MemoryMemo

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from resources.ai.budgets.memory import Charge
    from resources.ai.ledger.model import Captured, Dimension, Keepsake, Opening
    from resources.events.store import EventStore


@dataclass
class _Held:
    opening: Opening
    charges: tuple[Charge, ...]
    key: bytes | None
    until: datetime


class MemoryCallBooks:
    """Safe to share between threads. The events go to `events`, if there is such a store."""

    def __init__(
        self,
        *,
        budgets: MemoryBudgets | None = None,
        memo: MemoryMemo | None = None,
        events: EventStore | None = None,
    ) -> None:
        self.budgets = budgets or MemoryBudgets()
        self.memo = memo or MemoryMemo()
        self._events = events
        self._lock = threading.RLock()
        self._held: dict[UUID, _Held] = {}
        self._calls: dict[UUID, CallRecord] = {}

    def open(self, opening: Opening) -> Opened:
        now = datetime.now(UTC)
        record, context, key = opening.record, opening.record.context, opening.key
        with self._lock:
            abandoned = any(held.until < now for held in self._held.values())
            if opening.look and key is not None and (recalled := self.memo.recall(context.tenant, key)) is not None:
                return Opened("hit", recalled=recalled, abandoned=abandoned)
            if not opening.may_call:
                return Opened("missing", abandoned=abandoned)
            claim = key if opening.look else None
            for held in self._held.values():
                if claim is not None and held.key == claim and held.opening.record.context.tenant == context.tenant:
                    if held.until >= now:
                        return Opened("busy", abandoned=abandoned)
                    held.key = None
            reserved = self.budgets.reserve(opening, at=now)
            if isinstance(reserved, Refusal):
                return Opened("refused", refusal=reserved, abandoned=abandoned)
            self._held[record.call_id] = _Held(opening, reserved, claim, now + timedelta(seconds=opening.lease))
            return Opened("reserved", abandoned=abandoned)

    def settle(
        self, record: CallRecord, *, keep: Keepsake | None = None, captured: Captured | None = None
    ) -> Sequence[Alert]:
        with self._lock:
            held = self._held.pop(record.call_id, None)
            if keep is not None:
                self.memo.keep(record, keep)
            if record.call_id in self._calls:
                return []
            self._calls[record.call_id] = record
            alerts: Sequence[Alert] = []
            if held is not None:
                now = datetime.now(UTC)
                alerts = self.budgets.charge(held.charges, held.opening, record, at=now)
        if self._events is not None:
            stream, event = event_of(record, captured)
            self._events.append(stream, [event], tenant=record.context.tenant)
            for alert in alerts:
                if alert.tenant is not None:
                    stream, event = event_of_alert(alert)
                    self._events.append(stream, [event], tenant=alert.tenant)
        return alerts

    def renew(self, call_ids: Collection[UUID], *, lease: float) -> None:
        until = datetime.now(UTC) + timedelta(seconds=lease)
        with self._lock:
            for call_id in call_ids:
                if call_id in self._held:
                    self._held[call_id].until = until

    def settle_abandoned(self, *, limit: int = 100) -> int:
        now = datetime.now(UTC)
        with self._lock:
            lost = [held for held in self._held.values() if held.until < now][:limit]
            for held in lost:
                self.settle(replace(held.opening.record, cost=held.opening.amount))
        return len(lost)

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
        with self._lock:
            found = [
                call
                for call in self._calls.values()
                if call.context.tenant == tenant
                and run_id in {None, call.context.run_id}
                and asset in {None, call.context.asset}
                and partition in {None, call.context.partition}
                and (since is None or call.created_at >= since)
                and (until is None or call.created_at < until)
            ]
        return sorted(found, key=lambda call: (call.created_at, call.call_id), reverse=True)[:limit]

    def find(
        self, call_ids: Collection[UUID] = (), *, run_ids: Collection[str] = (), tenant: str, limit: int = 1000
    ) -> Sequence[CallRecord]:
        newest = self.calls(tenant=tenant, limit=len(self._calls) or 1)
        return [call for call in newest if call.call_id in call_ids or call.context.run_id in run_ids][:limit]

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
        sums: dict[str | None, Totals] = {}
        found = self.calls(tenant=tenant, run_id=run_id, asset=asset, since=since, until=until, limit=len(self._calls))
        for call in found:
            if workflow not in {None, call.context.workflow}:
                continue
            value = _value(call, by)
            sums[value] = sums.get(value, Totals()).plus(call)
        return sums


def _value(call: CallRecord, by: Dimension) -> str | None:
    context = call.context
    values: dict[Dimension, str | None] = {
        "run": context.run_id,
        "node": context.node_id,
        "asset": context.asset,
        "partition": context.partition,
        "tenant": context.tenant,
        "workflow": context.workflow,
        "user": context.user,
        "project": context.project,
        "provider": call.provider,
        "model": call.model,
        "prompt": call.prompt_version,
        "day": call.created_at.astimezone(UTC).date().isoformat(),
    }
    return values[by]
