"""The port of budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.ai.budgets.model import Budget, BudgetStatus


class BudgetStore(Protocol):
    """The limits, and what is spent and reserved on them. `tenant=None` means the platform's own budgets, not all.

    Reservations and charges are made by the books of calls (`resources.ai.ledger.store`), in one transaction with the call.
    """

    def put(self, budget: Budget) -> Budget:
        """Create the budget, or change the limit, thresholds and cooldown of the one with the same scope and period.

        Returns it as it is kept: with the id that it had before, if it existed.
        """

    def remove(self, budget_id: UUID, *, tenant: str | None) -> None:
        """Raises NotFoundError."""

    def list(self, *, tenant: str | None) -> Sequence[Budget]:
        """In the order of the tree of scopes."""

    def statuses(self, *, tenant: str | None, now: datetime | None = None) -> Sequence[BudgetStatus]:
        """One for each budget and subject with a call in the current period; one of zeros for a budget without any."""
