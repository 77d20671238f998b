"""A call in the books, and what is asked of the books.

An *attempt* is one row: a call that was refused for being one too many and then made again has two. A failed attempt costs
nothing when the provider said so before it answered; when it broke off, nobody knows what is billed, and the reservation is
charged (`measured` is false).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal
from uuid import UUID

import uuid_utils.compat as uuid_utils

if TYPE_CHECKING:
    from resources.ai.budgets.model import Unit
    from resources.ai.model import CallContext, Usage

CallKind = Literal["chat", "embed", "tool"]
MemoStatus = Literal["hit", "miss", "off"]
CallOutcome = Literal["answered", "cut", "refused", "filtered", "failed", "cancelled", "lost"]
Dimension = Literal[
    "run",
    "node",
    "asset",
    "partition",
    "tenant",
    "workflow",
    "user",
    "project",
    "provider",
    "model",
    "prompt",
    "day",
]

EVENT_NAMESPACE = UUID("0f7a4d0e-6c3b-5d19-9f57-6a9f2d8f1c01")


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One row. What is None is unknown; `cost` is in US dollars.

    `saved_tokens` and `saved_cost` say what an answer from the memo had cost when it was paid; its own cost is 0.
    """

    call_id: UUID
    kind: CallKind
    outcome: CallOutcome
    memo: MemoStatus
    fingerprint: str
    provider: str
    model: str
    context: CallContext
    usage: Usage | None
    cost: Decimal | None
    measured: bool = True
    price_source: str | None = None
    answered_by: str | None = None
    prompt_version: str | None = None
    attempt: int = 1
    saved_tokens: int | None = None
    saved_cost: Decimal | None = None
    simulated: bool = False
    latency_ms: float | None = None
    first_token_ms: float | None = None
    provider_request_id: str | None = None
    error_code: str | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Opening:
    """What is asked of the books before a call.

    `key` is what the memo knows the request by; None = the memo is off. `look` = a recorded answer will do, and the same
    request is in flight once only; `may_call` is false for a replay. `amount` is the worst case in US dollars, None when the
    price is unknown; `tokens` the most of them. `record` is the row that is written (as lost) when nobody settles before its
    lease ends.
    """

    record: CallRecord
    key: bytes | None
    look: bool
    may_call: bool
    amount: Decimal | None
    tokens: int
    refuse_unpriced: bool
    lease: float


@dataclass(frozen=True, slots=True)
class Recalled:
    """A recorded answer."""

    payload: bytes
    paid_by: UUID
    saved_tokens: int | None
    saved_cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The budget that does not allow a call. `retry_after`: the seconds until a window has room for it."""

    budget_id: UUID
    scope: str
    subject: str
    period: str
    limit: Decimal
    spent: Decimal
    reserved: Decimal
    needed: Decimal | None
    unit: Unit = "usd"
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The books' answer. `missing`: nothing recorded, and a call is not allowed. `busy`: the same is being asked already.

    `abandoned` says that some call's lease is over, and somebody should call `settle_abandoned`.
    """

    outcome: Literal["hit", "missing", "busy", "refused", "reserved"]
    recalled: Recalled | None = None
    refusal: Refusal | None = None
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Keepsake:
    """An answer for the memo. `ttl` in seconds; None = for ever."""

    key: bytes
    payload: bytes
    tokens: int | None
    ttl: float | None


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold of a budget that was reached, told once per cooldown. `threshold` is a share of the limit.

    `tenant` None: it is the platform's own budget, which no tenant is told about.
    """

    budget_id: UUID
    tenant: str | None
    scope: str
    subject: str
    period: str
    threshold: Decimal
    limit: Decimal
    spent: Decimal
    unit: Unit = "usd"
    alert_id: UUID = field(default_factory=uuid_utils.uuid7)
    reached_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Captured:
    """What was said, when content is captured; else both are None."""

    prompt: str | None = None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over calls. `cost` is of the calls with a known cost; `unpriced` counts the others, `unmeasured` the estimated."""

    calls: int = 0
    hits: int = 0
    unpriced: int = 0
    unmeasured: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    saved_cost: Decimal = Decimal(0)

    def plus(self, call: CallRecord) -> Totals:
        """The sums with one more call."""
        usage = call.usage
        return Totals(
            calls=self.calls + 1,
            hits=self.hits + (call.memo == "hit"),
            unpriced=self.unpriced + (call.cost is None),
            unmeasured=self.unmeasured + (not call.measured),
            input_tokens=self.input_tokens + (usage.input if usage else 0),
            output_tokens=self.output_tokens + (usage.output if usage else 0),
            cost=self.cost + (call.cost or Decimal(0)),
            saved_cost=self.saved_cost + (call.saved_cost or Decimal(0)),
        )

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))
