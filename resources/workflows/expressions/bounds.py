"""What one evaluation may cost: the size of what it makes, and its time."""

from __future__ import annotations

import functools
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_WORK_FACTOR = 16


class TooMuchError(Exception):
    """A bound was reached."""


class Budget:
    """What one evaluation may still use."""

    def __init__(self, max_bytes: int, max_seconds: float) -> None:
        self.max_bytes = max_bytes
        self._written = 0
        self._work = _WORK_FACTOR * max_bytes
        self._deadline = time.monotonic() + max_seconds

    def turn(self) -> None:
        if time.monotonic() > self._deadline:
            raise TooMuchError("it takes too long")

    def write(self, piece: str) -> None:
        self.turn()
        self._written += len(piece)
        if self._written > self.max_bytes:
            raise TooMuchError(f"its text is longer than {self.max_bytes} characters")

    def expect(self, size: int) -> None:
        """Before a value of `size` characters or items is made."""
        self.turn()
        if size > self.max_bytes:
            raise TooMuchError(f"a value would be larger than {self.max_bytes}")
        self._work -= size
        if self._work < 0:
            raise TooMuchError("it makes too many large values")


current: ContextVar[Budget] = ContextVar("expression_budget")


@contextmanager
def bounded_work(max_bytes: int, max_seconds: float) -> Iterator[Budget]:
    """The budget of all that is evaluated within."""
    budget = Budget(max_bytes, max_seconds)
    token = current.set(budget)
    try:
        yield budget
    finally:
        current.reset(token)


def counted(values: Iterable[Any]) -> Iterator[Any]:
    """The values, each of which counts."""
    budget = current.get()
    for value in values:
        budget.expect(1)
        yield value


def metered(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, whose result counts."""

    @functools.wraps(function)  # copies Jinja's mark too, by which it passes its context first
    def metered(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if hasattr(result, "__next__"):
            return counted(result)
        current.get().expect(len(result) if isinstance(result, str | list | tuple | dict) else 1)
        return result

    return metered
