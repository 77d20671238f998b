"""The port of budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.ai.budgets.model import Budget, BudgetStatus


class BudgetStore(Protocol):
    """The limits, and what is spent and reserved on them. `tenant=None` means the platform's own budgets, not all.

    Reservations and charges are made by the books of calls (`resources.ai.ledger.store`), in one transaction with the call.
    """

    def put(self, budget: Budget, *, unless: Callable[[Budget | None], None] | None = None) -> Budget:
        """Create the budget, or change the limit, thresholds and cooldown of the one with the same scope and period.

        Returns it as it is kept: with the id that it had before, if it existed. Unless `unless` raises for how it is before
        (None = there is none): nobody changes it in between.
        """

    def get(self, budget_id: UUID, *, tenant: str | None) -> Budget:
        """Raises NotFoundError."""

    def remove(
        self, budget_id: UUID, *, tenant: str | None, unless: Callable[[Budget | None], None] | None = None
    ) -> None:
        """Unless `unless` raises for how it is. Raises NotFoundError."""

    def list(self, *, tenant: str | None) -> Sequence[Budget]:
        """In the order of the tree of scopes."""

    def statuses(self, *, tenant: str | None, now: datetime | None = None) -> Sequence[BudgetStatus]:
        """One for each budget and subject with a call in the current period; one of zeros for a budget without any."""


def unknown(budget_id: UUID) -> NotFoundError:
    """The error for a budget that there is not."""
    return NotFoundError(f"There is no budget {str(budget_id)!r}.", code="budget_not_found")
