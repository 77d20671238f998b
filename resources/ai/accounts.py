"""The money side of the AI layer for those who look at it: books, budgets, prices and usage, without a way to call a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from resources.ai.budgets.postgres import PostgresBudgets
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.ai.prices.book import PriceBook
from resources.ai.prices.postgres import PostgresPrices
from resources.ai.usage.analysis import UsageAnalysis
from resources.ai.usage.postgres import PostgresUsage

if TYPE_CHECKING:
    from resources.ai.budgets.store import BudgetStore
    from resources.ai.ledger.store import CallBooks
    from resources.ai.prices.store import PriceStore
    from resources.ai.usage.store import UsageStore
    from resources.database.postgres import Database


@dataclass(frozen=True, slots=True)
class AiAccounts:
    """Safe to share between threads."""

    books: CallBooks
    budgets: BudgetStore
    price_store: PriceStore
    prices: PriceBook
    usage_store: UsageStore
    usage: UsageAnalysis

    @classmethod
    def open(cls, database: Database) -> Self:
        """Those of a database."""
        store, usage = PostgresPrices(database), PostgresUsage(database)
        prices = PriceBook(store)
        return cls(
            books=PostgresCallBooks(database),
            budgets=PostgresBudgets(database),
            price_store=store,
            prices=prices,
            usage_store=usage,
            usage=UsageAnalysis(usage, prices),
        )
