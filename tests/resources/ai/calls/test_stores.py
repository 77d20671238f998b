from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.ai.budgets.postgres import PostgresBudgets
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.ai.memo.postgres import PostgresMemo
from resources.ai.prices.memory import MemoryPrices
from resources.ai.prices.postgres import PostgresPrices
from resources.errors import UpstreamError
from resources.events.postgres import AS_TENANT, PostgresEventStore, in_our_words
from tests.contracts.call_books import CallBooksContract, opening_of, record_of
from tests.contracts.price_store import PriceStoreContract

if TYPE_CHECKING:
    from resources.ai.budgets.memory import MemoryBudgets
    from resources.ai.memo.memory import MemoryMemo
    from resources.database.postgres import Database


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
