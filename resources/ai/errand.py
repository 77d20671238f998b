"""What a tool is called for: a tool that asks a model itself asks in the name of who called it, on the same accounts."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.ai.call import CallOptions, CallResult
    from resources.ai.model import CallContext
    from resources.ai.pipeline import AiCalls

_current: ContextVar[Errand | None] = ContextVar("ai_errand", default=None)


@dataclass(slots=True)
class Errand:
    """A call of a tool under way, and what the tool has paid for models. `cost` is in US dollars; None = nobody knows."""

    calls: AiCalls
    context: CallContext
    options: CallOptions
    tokens: int = 0
    cost: Decimal | None = Decimal(0)

    def note(self, result: CallResult) -> None:
        """The tool has been answered by a model."""
        self.tokens += result.usage.total
        self.cost = None if self.cost is None or result.cost is None else self.cost + result.cost


@contextmanager
def on_errand(errand: Errand) -> Iterator[Errand]:
    """The work of the block, on whatever task or thread, is the tool's."""
    token = _current.set(errand)
    try:
        yield errand
    finally:
        _current.reset(token)


def current() -> Errand | None:
    """That of the work in progress."""
    return _current.get()
