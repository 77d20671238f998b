"""What a backfill will cost, from what the like has cost: a range, not a point.

The history's sums per partition (or run) are drawn again with replacement (bootstrap; Efron 1979): a draw of the history for what
is not known about the mean, and from it a draw of as many partitions as are asked for. The range holds four of five outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from resources.ai.ledger.model import Totals
    from resources.ai.ledger.store import CallBooks

_ROUNDS = 1000
_LOW, _HIGH = 10, 90
_EXACT_UP_TO = 2000
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Forecast:
    """US dollars: the 10th, 50th and 90th percentile. `known` partitions of the history have a price, `unpriced` have none."""

    units: int
    low: Decimal
    expected: Decimal
    high: Decimal
    known: int
    unpriced: int

    def __str__(self) -> str:
        def show(money: Decimal) -> str:
            return f"${money.quantize(_CENT)}" if money >= _CENT else f"${money.normalize():f}"

        return f"these {self.units} will cost {show(self.low)}–{show(self.high)}"


def forecast_partitions(
    books: CallBooks, units: int, *, tenant: str, asset: str, since: datetime | None = None
) -> Forecast | None:
    """What so many partitions of an asset will cost, from those that were made. None when no cost is known."""
    return forecast(_paid(books.totals("partition", tenant=tenant, asset=asset, since=since)), units)


def forecast_runs(
    books: CallBooks, units: int, *, tenant: str, workflow: str, since: datetime | None = None
) -> Forecast | None:
    """What so many runs of a workflow will cost, from those that were made. None when no cost is known."""
    return forecast(_paid(books.totals("run", tenant=tenant, workflow=workflow, since=since)), units)


def _paid(sums: Mapping[str | None, Totals]) -> list[Decimal | None]:
    """What each would have cost without the memo: new ones will find nothing there."""
    return [
        None if totals.unpriced else totals.cost + totals.saved_cost
        for name, totals in sums.items()
        if name is not None
    ]


def forecast(costs: Sequence[Decimal | None], units: int, *, seed: int = 0) -> Forecast | None:
    """The cost of `units` more, from what each unit has cost so far (None = unknown). None when no cost is known."""
    if units < 1:
        raise InvalidInputError(f"A forecast is of one partition or more, not of {units}.")
    known = np.array([float(cost) for cost in costs if cost is not None])
    if not known.size:
        return None
    random = np.random.default_rng(seed)
    drawn = min(units, _EXACT_UP_TO)  # beyond, the mean of so many is as good
    sums = np.empty(_ROUNDS)
    for round_ in range(_ROUNDS):
        history = random.choice(known, size=known.size)
        sums[round_] = random.choice(history, size=drawn).sum() * (units / drawn)
    low, expected, high = (Decimal(str(round(float(value), 9))) for value in np.percentile(sums, [_LOW, 50, _HIGH]))
    return Forecast(units, low, expected, high, known=int(known.size), unpriced=len(costs) - int(known.size))
