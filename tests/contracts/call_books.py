"""What the books of calls promise, with budgets and the memo that belong to them. Subclass it and give the three."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import uuid_utils.compat as uuid_utils

from resources.ai.budgets.model import Budget
from resources.ai.ledger.model import Alert, CallRecord, Dimension, Keepsake, Opening
from resources.ai.model import CallContext, Usage
from resources.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from resources.ai.budgets.store import BudgetStore
    from resources.ai.ledger.store import CallBooks
    from resources.ai.memo.store import MemoStore

CENT = Decimal("0.01")
NOTHING = Decimal(0)


def record_of(tenant: str, **fields: Any) -> CallRecord:
    places = {
        name: fields.pop(name)
        for name in ("run_id", "node_id", "asset", "partition", "user", "project", "workflow")
        if name in fields
    }
    fixed: dict[str, Any] = {
        "call_id": uuid_utils.uuid7(),
        "kind": "chat",
        "outcome": "answered",
        "memo": "miss",
        "fingerprint": "f" * 64,
        "provider": "openai",
        "model": "m",
        "usage": Usage(input=10, output=5),
        "cost": CENT,
    }
    return CallRecord(context=CallContext(tenant=tenant, **places), **(fixed | fields))


def opening_of(record: CallRecord, **fields: Any) -> Opening:
    lost = replace(record, outcome="lost", usage=None, error_code="process_lost", measured=False)
    fixed: dict[str, Any] = {
        "record": lost,
        "key": None,
        "look": False,
        "may_call": True,
        "amount": CENT,
        "tokens": 15,
        "refuse_unpriced": False,
        "lease": 60.0,
    }
    return Opening(**(fixed | fields))


class CallBooksContract:
    @pytest.fixture
    def books(self) -> CallBooks:
        raise NotImplementedError

    @pytest.fixture
    def budgets(self, books: CallBooks) -> BudgetStore:
        raise NotImplementedError

    @pytest.fixture
    def memo(self, books: CallBooks) -> MemoStore:
        raise NotImplementedError

    def test_a_settled_call_is_read_as_it_was_written(self, books: CallBooks, tenant: str) -> None:
        record = record_of(
            tenant,
            run_id="r",
            node_id="n",
            asset="a",
            partition="p",
            user="u",
            project="j",
            workflow="w",
            usage=Usage(input=10, output=5, cache_read=3, cache_write=2, reasoning=1),
            cost=Decimal("0.000000123456789"),
            price_source="override@1",
            first_token_ms=1.5,
            latency_ms=2.5,
            prompt_version="greet@1",
            answered_by="m-2026",
            provider_request_id="q",
        )
        books.open(opening_of(record))
        books.settle(record)
        assert list(books.calls(tenant=tenant)) == [record]

    def test_what_is_unknown_is_none_and_not_zero(self, books: CallBooks, tenant: str) -> None:
        books.settle(record_of(tenant, usage=None, cost=None, measured=False))
        (call,) = books.calls(tenant=tenant)
        assert (call.usage, call.cost, call.latency_ms) == (None, None, None)
        totals = books.totals("tenant", tenant=tenant)[tenant]
        assert (totals.calls, totals.unpriced, totals.unmeasured, totals.cost) == (1, 1, 1, Decimal(0))

    def test_settling_again_changes_nothing(self, books: CallBooks, budgets: BudgetStore, tenant: str) -> None:
        budgets.put(Budget("tenant", "total", Decimal(1), tenant=tenant))
        record = record_of(tenant)
        books.open(opening_of(record))
        books.settle(record)
        books.settle(replace(record, cost=Decimal(5)))
        assert books.totals("tenant", tenant=tenant)[tenant].cost == CENT
        (status,) = budgets.statuses(tenant=tenant)
        assert (status.spent, status.reserved) == (CENT, NOTHING)

    def test_sums_are_exact_in_every_dimension(self, books: CallBooks, tenant: str) -> None:
        costs = [Decimal(n) / 10**9 for n in range(1, 51)]
        for number, cost in enumerate(costs):
            books.settle(
                record_of(tenant, cost=cost, run_id=f"r{number % 3}", node_id=f"n{number % 4}", asset=f"a{number % 5}")
            )
        dimensions: tuple[Dimension, ...] = ("run", "node", "asset", "tenant", "model", "provider", "day", "workflow")
        sums = [sum((t.cost for t in books.totals(by, tenant=tenant).values()), NOTHING) for by in dimensions]
        assert sums == [sum(costs)] * len(dimensions)
        assert set(books.totals("run", tenant=tenant)) == {"r0", "r1", "r2"}
        assert books.totals("run", tenant=tenant, run_id="r0")["r0"].cost == sum(costs[::3])
        assert books.totals("tenant", tenant=tenant, asset="a1")[tenant].cost == sum(costs[1::5])
        assert books.totals("tenant", tenant=tenant, workflow="w") == {}

    def test_calls_are_found_by_run_asset_and_time(self, books: CallBooks, tenant: str) -> None:
        day = datetime(2026, 5, 1, tzinfo=UTC)
        for number in range(4):
            books.settle(
                record_of(
                    tenant,
                    run_id=f"r{number % 2}",
                    asset="a",
                    partition=str(number),
                    created_at=day + timedelta(days=number),
                )
            )
        assert len(books.calls(tenant=tenant, run_id="r0")) == 2
        assert len(books.calls(tenant=tenant, asset="a", partition="3")) == 1
        assert len(books.calls(tenant=tenant, since=day, until=day + timedelta(days=2))) == 2
        assert books.calls(tenant=tenant, limit=1)[0].context.partition == "3"

    def test_what_has_expired_is_purged_and_nothing_else(self, books: CallBooks, memo: MemoStore, tenant: str) -> None:
        for number, ttl in enumerate((1e-6, 1e-6, 1e-6, 3600.0, None)):
            books.settle(record_of(tenant), keep=Keepsake(bytes([number]) * 32, b"\x00answer", 15, ttl))
        while memo.purge_expired(limit=2):
            pass
        assert memo.purge(tenant=tenant) == 2

    def test_another_tenant_sees_nothing(self, books: CallBooks, memo: MemoStore, tenant: str) -> None:
        record = record_of(tenant)
        books.open(opening_of(record, key=b"k" * 32, look=True))
        books.settle(record, keep=Keepsake(b"k" * 32, b"payload", 15, None))
        other = f"{tenant}-other"
        assert list(books.calls(tenant=other)) == []
        assert books.totals("run", tenant=other) == {}
        assert (memo.count(tenant=other), list(memo.newest(tenant=other, kind="chat"))) == (0, [])
        assert memo.purge(tenant=other) == 0
        opened = books.open(opening_of(record_of(other), key=b"k" * 32, look=True))
        assert opened.outcome == "reserved"

    def test_a_reservation_counts_until_it_is_settled(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        budgets.put(Budget("tenant", "month", Decimal("0.10"), tenant=tenant))
        record = record_of(tenant, cost=Decimal("0.02"))
        books.open(opening_of(record, amount=Decimal("0.06")))
        (status,) = budgets.statuses(tenant=tenant)
        assert (status.spent, status.reserved, status.remaining) == (NOTHING, Decimal("0.06"), Decimal("0.04"))
        refused = books.open(opening_of(record_of(tenant), amount=Decimal("0.05")))
        assert refused.outcome == "refused"
        assert refused.refusal is not None
        assert (refused.refusal.scope, refused.refusal.reserved) == ("tenant", Decimal("0.06"))
        books.settle(record)
        (status,) = budgets.statuses(tenant=tenant)
        assert (status.spent, status.reserved, status.calls) == (Decimal("0.02"), NOTHING, 1)

    def test_all_budgets_of_the_tree_are_reserved_or_none(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        for scope, limit in (("tenant", 10), ("provider", 10), ("project", 10), ("user", 10), ("workflow", 10)):
            budgets.put(Budget(scope, "total", Decimal(limit), tenant=tenant))  # type: ignore[arg-type]  # literals
        budgets.put(Budget("run", "total", CENT / 2, tenant=tenant))
        places = {"project": "j", "user": "u", "workflow": "w", "run_id": "r"}
        assert books.open(opening_of(record_of(tenant, **places))).outcome == "refused"
        assert {status.reserved for status in budgets.statuses(tenant=tenant)} == {0}
        assert books.open(opening_of(record_of(tenant, project="j", user="u", workflow="w"))).outcome == "reserved"
        reserved = {status.budget.scope: status.reserved for status in budgets.statuses(tenant=tenant)}
        assert reserved == dict.fromkeys(("tenant", "provider", "project", "user", "workflow"), CENT) | {"run": 0}

    def test_each_user_has_a_budget_of_its_own(self, books: CallBooks, budgets: BudgetStore, tenant: str) -> None:
        budgets.put(Budget("user", "day", CENT, tenant=tenant))
        assert books.open(opening_of(record_of(tenant, user="ann"))).outcome == "reserved"
        assert books.open(opening_of(record_of(tenant, user="ann"))).outcome == "refused"
        assert books.open(opening_of(record_of(tenant, user="bob"))).outcome == "reserved"

    def test_a_named_budget_is_for_that_one_only(self, books: CallBooks, budgets: BudgetStore, tenant: str) -> None:
        budgets.put(Budget("provider", "day", Decimal(0), tenant=tenant, subject="openai"))
        assert books.open(opening_of(record_of(tenant))).outcome == "refused"
        assert books.open(opening_of(record_of(tenant, provider="anthropic"))).outcome == "reserved"

    def test_a_soft_limit_never_refuses(self, books: CallBooks, budgets: BudgetStore, tenant: str) -> None:
        budgets.put(Budget("tenant", "day", CENT, tenant=tenant, hard=False))
        assert books.open(opening_of(record_of(tenant), amount=Decimal(5))).outcome == "reserved"

    def test_a_threshold_is_told_once_per_cooldown(self, books: CallBooks, budgets: BudgetStore, tenant: str) -> None:
        budgets.put(Budget("tenant", "day", CENT * 10, tenant=tenant, hard=False))
        told: list[Alert] = []
        for _ in range(10):
            record = record_of(tenant)
            books.open(opening_of(record))
            told += books.settle(record)
        assert [alert.threshold for alert in told] == [Decimal("0.5"), Decimal("0.8"), Decimal("0.95")]
        assert told[-1].spent == told[-1].limit

    def test_without_a_cooldown_a_threshold_is_told_again(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        once = {"tenant": tenant, "thresholds": (Decimal("0.5"),), "cooldown": timedelta(0)}
        budgets.put(Budget("tenant", "day", CENT, **once))  # type: ignore[arg-type]  # as named
        told: list[Alert] = []
        for _ in range(2):
            record = record_of(tenant, cost=CENT / 2)
            books.open(opening_of(record, amount=CENT / 2))
            told += books.settle(record)
        assert len(told) == 2

    def test_a_window_refuses_what_is_too_much_and_says_when_there_is_room(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        budgets.put(Budget("tenant", "minute", Decimal(2), tenant=tenant, unit="requests"))
        first = record_of(tenant)
        assert [books.open(opening_of(one)).outcome for one in (first, record_of(tenant))] == ["reserved"] * 2
        books.settle(first)
        refusal = books.open(opening_of(record_of(tenant))).refusal
        assert refusal is not None
        assert (refusal.unit, refusal.period, refusal.spent, refusal.reserved) == (
            "requests",
            "minute",
            Decimal(1),
            Decimal(1),
        )
        assert refusal.retry_after is not None
        assert 0 < refusal.retry_after <= 61
        (status,) = budgets.statuses(tenant=tenant)
        assert (status.spent, status.reserved, status.remaining, status.calls) == (
            Decimal(1),
            Decimal(1),
            Decimal(0),
            1,
        )
        assert (status.period_end, status.projected) == (None, None)

    def test_tokens_are_reserved_at_most_and_settled_as_counted(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        budgets.put(Budget("user", "minute", Decimal(100), tenant=tenant, unit="tokens"))
        record = record_of(tenant, user="ann", usage=Usage(input=10, output=5))
        assert books.open(opening_of(record, tokens=90)).outcome == "reserved"
        refused = books.open(opening_of(record_of(tenant, user="ann"), tokens=20))
        assert (refused.outcome, refused.refusal and refused.refusal.needed) == ("refused", Decimal(20))
        assert books.open(opening_of(record_of(tenant, user="bob"), tokens=20)).outcome == "reserved"
        books.settle(record)
        assert books.open(opening_of(record_of(tenant, user="ann"), tokens=85)).outcome == "reserved"
        refusal = books.open(opening_of(record_of(tenant, user="ann"), tokens=101)).refusal
        assert refusal is not None
        assert refusal.retry_after is None, "what is more than the whole window is never let in"

    def test_tokens_that_nobody_counted_are_those_that_were_reserved(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        budgets.put(Budget("tenant", "day", Decimal(1000), tenant=tenant, unit="tokens"))
        record = record_of(tenant, usage=None, cost=None, measured=False)
        books.open(opening_of(record, tokens=90))
        books.settle(record)
        (status,) = budgets.statuses(tenant=tenant)
        assert (status.spent, status.reserved, status.unpriced) == (Decimal(90), Decimal(0), 0)

    def test_tools_are_no_requests(self, books: CallBooks, budgets: BudgetStore, tenant: str) -> None:
        budgets.put(Budget("tenant", "hour", Decimal(0), tenant=tenant, unit="requests"))
        assert books.open(opening_of(record_of(tenant, kind="tool"), tokens=0)).outcome == "reserved"
        assert books.open(opening_of(record_of(tenant))).outcome == "refused"

    def test_a_soft_window_tells_once_per_cooldown_and_refuses_nothing(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        limit = {"unit": "requests", "hard": False, "thresholds": (Decimal(1),), "tenant": tenant}
        budgets.put(Budget("tenant", "minute", Decimal(3), **limit))  # type: ignore[arg-type]  # as named
        told: list[Alert] = []
        for _ in range(6):
            record = record_of(tenant)
            assert books.open(opening_of(record)).outcome == "reserved"
            told += books.settle(record)
        assert [(alert.unit, alert.period, alert.spent, alert.limit) for alert in told] == [
            ("requests", "minute", Decimal(3), Decimal(3))
        ]

    def test_one_scope_has_budgets_of_each_unit(self, books: CallBooks, budgets: BudgetStore, tenant: str) -> None:
        budgets.put(Budget("workflow", "day", Decimal(1), tenant=tenant))
        budgets.put(Budget("workflow", "day", Decimal(100), tenant=tenant, unit="tokens"))
        budgets.put(Budget("workflow", "minute", Decimal(5), tenant=tenant, unit="requests"))
        record = record_of(tenant, workflow="w")
        books.open(opening_of(record))
        books.settle(record)
        spent = {status.budget.unit: status.spent for status in budgets.statuses(tenant=tenant)}
        assert spent == {"usd": CENT, "tokens": 15, "requests": 1}

    def test_a_custom_period_counts_within_its_range_only(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        past = datetime(2020, 1, 1, tzinfo=UTC)
        budgets.put(
            Budget("tenant", "custom", Decimal(0), tenant=tenant, starts_at=past, ends_at=past + timedelta(days=9))
        )
        assert books.open(opening_of(record_of(tenant))).outcome == "reserved"
        budgets.put(
            Budget(
                "tenant",
                "custom",
                Decimal(0),
                tenant=tenant,
                starts_at=past + timedelta(days=20),
                ends_at=datetime.now(UTC) + timedelta(days=1),
            )
        )
        assert books.open(opening_of(record_of(tenant))).outcome == "refused"

    def test_an_unpriced_call_is_counted_and_can_be_refused(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        budgets.put(Budget("tenant", "day", CENT, tenant=tenant))
        record = record_of(tenant, cost=None)
        assert books.open(opening_of(record, amount=None)).outcome == "reserved"
        books.settle(record)
        (status,) = budgets.statuses(tenant=tenant)
        assert (status.spent, status.unpriced) == (NOTHING, 1)
        refused = books.open(opening_of(record_of(tenant), amount=None, refuse_unpriced=True))
        assert refused.outcome == "refused"

    def test_budgets_are_changed_by_putting_them_again(self, budgets: BudgetStore, tenant: str) -> None:
        first = budgets.put(Budget("tenant", "day", CENT, tenant=tenant))
        second = budgets.put(Budget("tenant", "day", CENT * 2, tenant=tenant))
        assert second.budget_id == first.budget_id
        assert list(budgets.list(tenant=tenant)) == [second]
        budgets.remove(first.budget_id, tenant=tenant)
        assert list(budgets.list(tenant=tenant)) == []
        with pytest.raises(NotFoundError):
            budgets.remove(first.budget_id, tenant=tenant)

    def test_a_budget_of_another_tenant_cannot_be_removed(self, budgets: BudgetStore, tenant: str) -> None:
        budget = budgets.put(Budget("tenant", "day", CENT, tenant=tenant))
        with pytest.raises(NotFoundError):
            budgets.remove(budget.budget_id, tenant=f"{tenant}-other")
        assert list(budgets.list(tenant=f"{tenant}-other")) == []

    @pytest.mark.parametrize(
        ("period", "unit", "limit"), [("minute", "usd", "1"), ("hour", "usd", "1"), ("minute", "tokens", "1.5")]
    )
    def test_a_window_of_dollars_and_half_a_token_are_refused(self, period: Any, unit: Any, limit: str) -> None:
        with pytest.raises(InvalidInputError):
            Budget("tenant", period, Decimal(limit), tenant="t", unit=unit)

    def test_a_budget_that_makes_no_sense_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="is negative"):
            Budget("tenant", "custom", Decimal(-1), tenant="t")

    def test_concurrent_reservations_never_exceed_the_limit(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        budgets.put(Budget("tenant", "total", CENT * 10, tenant=tenant))

        def spend(_: int) -> str:
            record = record_of(tenant)
            opened = books.open(opening_of(record))
            if opened.outcome == "reserved":
                books.settle(record)
            return opened.outcome

        with ThreadPoolExecutor(6) as threads:
            outcomes = Counter(threads.map(spend, range(40)))
        assert outcomes == {"reserved": 10, "refused": 30}
        (status,) = budgets.statuses(tenant=tenant)
        assert (status.spent, status.reserved) == (CENT * 10, NOTHING)

    def test_concurrent_requests_never_exceed_a_window(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        budgets.put(Budget("tenant", "hour", Decimal(10), tenant=tenant, unit="requests"))
        budgets.put(Budget("tenant", "hour", Decimal(1000), tenant=tenant, unit="tokens", hard=False))

        def ask(_: int) -> str:
            record = record_of(tenant)
            opened = books.open(opening_of(record))
            if opened.outcome == "reserved":
                books.settle(record)
            return opened.outcome

        with ThreadPoolExecutor(6) as threads:
            outcomes = Counter(threads.map(ask, range(40)))
        assert outcomes == {"reserved": 10, "refused": 30}
        held = {status.budget.unit: (status.spent, status.reserved) for status in budgets.statuses(tenant=tenant)}
        assert held == {"requests": (Decimal(10), Decimal(0)), "tokens": (Decimal(150), Decimal(0))}

    def test_an_answer_is_recalled_with_what_it_had_cost(self, books: CallBooks, tenant: str) -> None:
        record, key = record_of(tenant), b"1" * 32
        books.open(opening_of(record, key=key, look=True))
        books.settle(record, keep=Keepsake(key, b"payload", 15, None))
        opened = books.open(opening_of(record_of(tenant), key=key, look=True))
        assert opened.outcome == "hit"
        assert opened.recalled is not None
        assert (opened.recalled.payload, opened.recalled.paid_by) == (b"payload", record.call_id)
        assert (opened.recalled.saved_tokens, opened.recalled.saved_cost) == (15, CENT)

    def test_a_replay_makes_no_call(self, books: CallBooks, budgets: BudgetStore, tenant: str) -> None:
        budgets.put(Budget("tenant", "total", CENT, tenant=tenant))
        opening = opening_of(record_of(tenant), key=b"2" * 32, look=True, may_call=False)
        assert books.open(opening).outcome == "missing"
        assert {status.reserved for status in budgets.statuses(tenant=tenant)} == {0}

    def test_the_same_request_is_in_flight_once(self, books: CallBooks, tenant: str) -> None:
        record, key = record_of(tenant), b"3" * 32
        assert books.open(opening_of(record, key=key, look=True)).outcome == "reserved"
        assert books.open(opening_of(record_of(tenant), key=key, look=True)).outcome == "busy"
        books.settle(replace(record, outcome="failed", cost=Decimal(0)))
        assert books.open(opening_of(record_of(tenant), key=key, look=True)).outcome == "reserved"

    def test_a_dead_process_is_charged_in_full_and_its_request_is_free_again(
        self, books: CallBooks, budgets: BudgetStore, tenant: str
    ) -> None:
        budgets.put(Budget("tenant", "total", CENT * 3, tenant=tenant))
        record, key = record_of(tenant, run_id="r"), b"4" * 32
        books.open(opening_of(record, key=key, look=True, lease=0.01))
        time.sleep(0.02)
        again = record_of(tenant)
        opened = books.open(opening_of(again, key=key, look=True))
        assert (opened.outcome, opened.abandoned) == ("reserved", True)
        assert books.settle_abandoned() >= 1
        (lost,) = books.calls(tenant=tenant)
        assert (lost.call_id, lost.outcome, lost.measured, lost.usage) == (record.call_id, "lost", False, None)
        assert (lost.cost, lost.context.run_id) == (CENT, "r")
        books.settle(again)
        (status,) = budgets.statuses(tenant=tenant)
        assert (status.spent, status.reserved, status.calls) == (CENT * 2, NOTHING, 2)

    def test_a_renewed_lease_does_not_end(self, books: CallBooks, tenant: str) -> None:
        record = record_of(tenant)
        books.open(opening_of(record, lease=0.01))
        books.renew([record.call_id], lease=60)
        time.sleep(0.02)
        books.settle_abandoned()
        assert list(books.calls(tenant=tenant)) == []

    def test_entries_of_the_memo_expire(self, books: CallBooks, memo: MemoStore, tenant: str) -> None:
        record, key = record_of(tenant), b"5" * 32
        books.settle(record, keep=Keepsake(key, b"payload", 15, 0.001))
        time.sleep(0.01)
        assert memo.count(tenant=tenant) == 0
        assert books.open(opening_of(record_of(tenant), key=key, look=True)).outcome == "reserved"

    def test_the_memo_is_purged_by_tenant_and_age(self, books: CallBooks, memo: MemoStore, tenant: str) -> None:
        for number in range(3):
            books.settle(record_of(tenant), keep=Keepsake(bytes([number]) * 32, b"payload", 15, None))
        assert memo.purge(tenant=tenant, before=datetime.now(UTC) - timedelta(hours=1)) == 0
        assert len(memo.newest(tenant=tenant, kind="chat", limit=2)) == 2
        assert list(memo.newest(tenant=tenant, kind="embed")) == []
        assert memo.purge(tenant=tenant) == 3
        assert memo.count(tenant=tenant) == 0
