"""One attempt in the books: opened before, settled after, whatever happens in between."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import uuid_utils.compat as uuid_utils

from resources.ai.ledger.model import CallRecord
from resources.ai.model import Priced, Usage
from resources.ai.provider import ProviderUnavailableError, StreamTruncatedError
from resources.ai.telemetry import start_span

if TYPE_CHECKING:
    import asyncio

    from resources.ai.desk import Desk
    from resources.ai.ledger.model import CallKind, CallOutcome, Captured
    from resources.ai.memo.model import Recording
    from resources.ai.model import CallContext
    from resources.errors import PlatformError

_MAYBE_BILLED: Final = frozenset({"provider_timeout"})
_NOTHING: Final = Usage()
_NOT_BILLED: Final = Priced(cost=Decimal(0), price_source="not billed")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an attempt asks for, in a form that serves chats, embeddings and tools alike."""

    kind: CallKind
    provider: str
    model: str
    canonical: bytes
    fingerprint: str
    context: CallContext
    most: Usage
    endpoint: str
    prompt_version: str | None = None
    attempt: int = 1


class Turn:
    """An opened attempt. One of its verbs settles it."""

    def __init__(
        self, desk: Desk, asked: Asked, *, key: bytes | None, ttl: float | None, worst: Priced, look: bool
    ) -> None:
        self._desk = desk
        self.asked = asked
        self.key = key
        self.ttl = ttl
        self.worst = worst
        self.look = look
        self.recalled: Any = None
        self.flight: asyncio.Future[None] | None = None
        self.span = start_span(asked.kind, asked.provider, asked.model, asked.context)
        self.call_id = uuid_utils.uuid7()
        self.sent = False
        self.first_ms: float | None = None
        self._began = time.perf_counter()
        self._record = CallRecord(
            call_id=self.call_id,
            kind=asked.kind,
            outcome="answered",
            memo="off" if key is None else "miss",
            fingerprint=asked.fingerprint,
            provider=asked.provider,
            model=asked.model,
            context=asked.context,
            usage=None,
            cost=None,
            prompt_version=asked.prompt_version,
            attempt=asked.attempt,
        )

    def first_token(self) -> None:
        """The answer has begun."""
        if self.first_ms is None:
            self.first_ms = self._elapsed()

    async def recall(self) -> tuple[Recording, CallRecord]:
        """Take the recorded answer; it costs nothing."""
        recording = self._desk.open_recording(self, self.recalled.payload)
        record = replace(
            self._record,
            memo="hit",
            usage=_NOTHING,
            cost=Decimal(0),
            price_source="memo",
            saved_tokens=self.recalled.saved_tokens,
            saved_cost=self.recalled.saved_cost,
            simulated=bool(getattr(recording.answer, "simulated", False)),
            answered_by=getattr(recording.answer, "model", None),
            latency_ms=self._elapsed(),
        )
        await self._desk.settle(self, record, None, None, getattr(recording.answer, "finish", None))
        return recording, record

    async def answered(
        self,
        recording: Recording,
        usage: Usage | None,
        *,
        outcome: CallOutcome,
        keep: bool,
        captured: Captured | None = None,
    ) -> CallRecord:
        """The answer is whole. It is kept if the memo is on and `keep` is true."""
        answer = recording.answer
        measured = usage is not None
        if self.asked.kind == "tool":
            priced, usage, measured = self.worst, _NOTHING, True
        else:
            priced = self.worst if usage is None else await self._desk.price(self.asked, usage)
        record = replace(
            self._record,
            outcome=outcome,
            usage=usage,
            cost=priced.cost,
            price_source=priced.price_source,
            measured=measured,
            simulated=bool(getattr(answer, "simulated", False)),
            answered_by=getattr(answer, "model", None),
            provider_request_id=getattr(answer, "request_id", None),
            first_token_ms=self.first_ms,
            latency_ms=self._elapsed(),
        )
        await self._desk.settle(self, record, recording if keep else None, captured, getattr(answer, "finish", None))
        return record

    async def failed(self, error: PlatformError) -> CallRecord:
        """No answer. What broke off may be billed: then the reservation is charged."""
        broke_off = isinstance(error, StreamTruncatedError) or error.code in _MAYBE_BILLED
        record = self._without_answer(
            "failed", error.code, billed=self.sent and (broke_off or self.first_ms is not None)
        )
        await self._desk.settle(self, record, None, None, None)
        return record

    async def cancelled(self) -> CallRecord:
        """Nobody wants the answer any more."""
        record = self._without_answer("cancelled", "cancelled", billed=self.sent)
        await self._desk.settle(self, record, None, None, None)
        return record

    def unsent(self) -> CallRecord:
        """What is written when it was given up before anything was sent."""
        return self._without_answer("cancelled", "cancelled", billed=False)

    def if_lost(self) -> CallRecord:
        """What is written when this process dies."""
        return self._without_answer("lost", "process_lost", billed=True)

    def end_span_untold(self) -> None:
        """End the span of an attempt that was not opened."""
        self.span.end()

    def _without_answer(self, outcome: CallOutcome, code: str, *, billed: bool) -> CallRecord:
        billed = billed and self.asked.kind != "tool"
        priced = self.worst if billed else _NOT_BILLED
        return replace(
            self._record,
            outcome=outcome,
            error_code=code,
            usage=None if billed else _NOTHING,
            cost=priced.cost,
            price_source=priced.price_source,
            measured=not billed,
            first_token_ms=self.first_ms,
            latency_ms=self._elapsed(),
        )

    def _elapsed(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 3)


def timed_out(asked: Asked) -> ProviderUnavailableError:
    """The time of the call is over."""
    return ProviderUnavailableError(
        f"{asked.provider!r} did not answer with model {asked.model!r} in time. Try again later, or allow more time.",
        dependency=asked.provider,
        code="provider_timeout",
        retryable=False,
    )
