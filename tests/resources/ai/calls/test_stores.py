from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from resources.ai.budgets.model import Budget
from resources.ai.budgets.postgres import PostgresBudgets
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.ai.memo.postgres import PostgresMemo
from resources.ai.prices.memory import MemoryPrices
from resources.ai.prices.postgres import PostgresPrices
from resources.errors import UnavailableError, UpstreamError
from resources.events.memory import MemoryEventStore
from resources.events.postgres import AS_SYSTEM, AS_TENANT, PostgresEventStore, in_our_words
from tests.contracts.call_books import CENT, CallBooksContract, opening_of, record_of
from tests.contracts.price_store import PriceStoreContract

if TYPE_CHECKING:
    from resources.ai.budgets.memory import MemoryBudgets
    from resources.ai.memo.memory import MemoryMemo
    from resources.database.postgres import Database
    from resources.events.model import Appended


class TestMemoryCallBooks(CallBooksContract):
    @pytest.fixture
    def books(self) -> MemoryCallBooks:
        return MemoryCallBooks()

    @pytest.fixture
    def budgets(self, books: MemoryCallBooks) -> MemoryBudgets:
        return books.budgets

    @pytest.fixture
    def memo(self, books: MemoryCallBooks) -> MemoryMemo:
        return books.memo


class TestPostgresCallBooks(CallBooksContract):
    @pytest.fixture
    def books(self, database: Database) -> PostgresCallBooks:
        return PostgresCallBooks(database)

    @pytest.fixture
    def budgets(self, database: Database) -> PostgresBudgets:
        return PostgresBudgets(database)

    @pytest.fixture
    def memo(self, database: Database) -> PostgresMemo:
        return PostgresMemo(database)

    def test_a_call_has_one_event_of_its_own(self, books: PostgresCallBooks, database: Database, tenant: str) -> None:
        record = record_of(tenant, run_id="r", node_id="n")
        for _ in range(2):
            books.open(opening_of(record))
            books.settle(record)
        events = PostgresEventStore(database).read_all(stream_type="ai_interaction", tenant=tenant)
        (event,) = [event for event in events if event.stream.id == str(record.call_id)]
        assert event.type == "ai.response_received"
        assert (event.data["total_tokens"], event.data["cost_usd"]) == (15, "0.01")
        assert (event.data["prompt"], event.data["response"]) == (None, None)
        assert event.metadata.tags == {"run_id": "r", "node_id": "n"}

    def test_a_window_lets_go_of_what_is_older_than_itself(
        self, books: PostgresCallBooks, database: Database, tenant: str
    ) -> None:
        budgets = PostgresBudgets(database)
        kept = budgets.put(Budget("tenant", "minute", Decimal(1), tenant=tenant, unit="requests"))
        record = record_of(tenant)
        books.open(opening_of(record))
        assert books.open(opening_of(record_of(tenant))).outcome == "refused"
        with database.transaction() as connection:
            connection.execute(AS_SYSTEM)
            connection.execute(
                "UPDATE aiw.ai_spend SET period_start = period_start - interval '2 minutes' WHERE budget_id = %s",
                (kept.budget_id,),
            )
        assert budgets.statuses(tenant=tenant)[0].reserved == 0
        assert books.open(opening_of(record_of(tenant))).outcome == "reserved"

    def test_an_alert_is_told_once_also_when_telling_failed_at_first(self, database: Database, tenant: str) -> None:
        class Away(MemoryEventStore):
            def append(self, *_: Any, **__: Any) -> Appended:
                raise UnavailableError("The event store is away.", dependency="events")

        PostgresBudgets(database).put(Budget("tenant", "day", CENT, tenant=tenant, hard=False))
        record, away = record_of(tenant), PostgresCallBooks(database, events=Away())
        away.open(opening_of(record))
        (alert,) = away.settle(record)
        books, told = PostgresCallBooks(database, patience=0.0), PostgresEventStore(database)
        for _ in range(2):
            books.settle_abandoned()
        (event,) = told.read_all(types=["ai.budget_threshold_reached"], tenant=tenant)
        assert event.event_id == alert.alert_id
        assert (event.data["threshold"], event.data["spent"]) == ("0.95", "0.01")

    def test_tenants_are_not_told_about_the_platforms_budget(self, database: Database, tenant: str) -> None:
        books, budgets = PostgresCallBooks(database), PostgresBudgets(database)
        budget = budgets.put(Budget("workflow", "day", CENT, subject=f"of {tenant}", hard=False))
        record = record_of(tenant, workflow=f"of {tenant}")
        books.open(opening_of(record))
        assert [alert.budget_id for alert in books.settle(record)] == [budget.budget_id]
        budgets.remove(budget.budget_id, tenant=None)
        assert not PostgresEventStore(database).read_all(types=["ai.budget_threshold_reached"], tenant=tenant)

    def test_rows_are_facts_and_belong_to_their_tenant(
        self, books: PostgresCallBooks, database: Database, tenant: str
    ) -> None:
        books.settle(record_of(tenant))
        with database.transaction() as connection:
            connection.execute(AS_TENANT, (f"{tenant}-other",))
            for table in ("ai_calls", "ai_budget", "ai_spend", "ai_memo"):
                seen = connection.execute(f"SELECT count(*) FROM aiw.{table} WHERE tenant = %s".encode(), (tenant,))
                assert seen.fetchone() == (0,), table
        with (
            pytest.raises(UpstreamError, match=r"rows of aiw\.ai_calls are facts"),
            database.transaction() as connection,
            in_our_words(),
        ):
            connection.execute("DELETE FROM aiw.ai_calls")


class TestMemoryPrices(PriceStoreContract):
    @pytest.fixture
    def prices(self) -> MemoryPrices:
        return MemoryPrices()


class TestPostgresPrices(PriceStoreContract):
    @pytest.fixture
    def prices(self, database: Database) -> PostgresPrices:
        return PostgresPrices(database)
