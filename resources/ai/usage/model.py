"""What was used, added up by hour or day; and what follows from it."""

from __future__ import annotations

from datetime import date, datetime  # pydantic reads the annotations at run time
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Granularity = Literal["hour", "day", "week", "month"]
Direction = Literal["rising", "falling", "steady", "unknown"]


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bucket(_Figures):
    """Calls of one model by one user for one workflow in one stretch of time, which begins at `at` (UTC).

    `cost` is of the calls with a known price, in US dollars; `unpriced` counts the others. `short` calls have fewer than 100
    tokens. `latency_ms` and `timed_tokens` are sums over the calls that were `timed`.
    """

    at: datetime
    provider: str
    model: str
    user: str | None = None
    workflow: str | None = None
    calls: int = 0
    hits: int = 0
    failed: int = 0
    short: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    saved_cost: Decimal = Decimal(0)
    timed: int = 0
    latency_ms: float = 0.0
    timed_tokens: int = 0


class Share(_Figures):
    """One model, provider, user or workflow, among all. Averages are None when there is nothing to average."""

    name: str | None
    calls: int
    hits: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    saved_cost: Decimal
    unpriced: int
    share_of_cost: float | None = Field(description="Of the cost of all; None when nothing cost anything")
    error_rate: float | None
    tokens_per_call: float | None
    latency_ms: float | None = Field(description="Mean of the calls that were made, not recalled")
    tokens_per_second: float | None


class Point(_Figures):
    """One stretch of time."""

    at: datetime
    calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal


class Summary(_Figures):
    """A period in figures. `trend` compares its second half with its first: more than a tenth up or down."""

    since: datetime
    until: datetime
    total: Share
    providers: tuple[Share, ...]
    models: tuple[Share, ...]
    users: tuple[Share, ...]
    workflows: tuple[Share, ...]
    cost_per_day: Decimal
    cost_per_call: Decimal | None
    trend: Direction


class UsageForecast(_Figures):
    """The cost of the days to come: the mean of the last 30 days, and how far it can be trusted (0 to 1)."""

    days: int
    expected: Decimal
    per_day: Decimal
    confidence: float
    based_on_days: int


class UsageAdvice(_Figures):
    """What could be done, and what it would save in the same period, computed from the calls that were made."""

    kind: Literal["cheaper_model", "batching", "memo", "failures", "prices"]
    subject: str
    message: str
    saves: Decimal | None = Field(description="US dollars; None when nobody can tell")


class MonthlyReport(_Figures):
    """A month beside the one before."""

    month: date
    summary: Summary
    change_of_cost: float | None = Field(description="Against the month before: 0.2 = a fifth more; None without one")
    days: tuple[Point, ...]
    insights: tuple[str, ...]
    recommendations: tuple[UsageAdvice, ...]
