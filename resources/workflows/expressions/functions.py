"""The filters and functions of expressions."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from jinja2 import pass_environment
from jinja2.utils import Namespace

from resources.workflows.expressions.bounds import TooMuchError, counted, current
from resources.workflows.expressions.values import packed, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jinja2 import Environment

MAX_RANGE = 10_000

FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "join", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "select",
    "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip
"""The filters that there are: those of Jinja whose result is not much larger than what they are given."""


@pass_environment
def _join(environment: Environment, values: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    """Text of all values, `d` between them."""
    pieces: list[str] = []
    size = 0
    for value in counted(values):
        piece = text_of(value if attribute is None else environment.getitem(value, attribute))
        size += len(piece) + len(d)
        if size > current.get().max_bytes:
            raise TooMuchError("a text would get too long")
        pieces.append(piece)
    return d.join(pieces)


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    """The text with `new` for each `old`."""
    text, old, new = text_of(text), text_of(old), text_of(new)
    times = text.count(old) if count < 0 else min(count, text.count(old))
    current.get().expect(len(text) + times * len(new))
    return text.replace(old, new, times)


@pass_environment
def _sum(
    environment: Environment, values: Iterable[Any], attribute: str | None = None, start: float = 0
) -> int | float:
    """The sum of numbers."""
    total = start
    for value in counted(values):
        number = value if attribute is None else environment.getitem(value, attribute)
        if not isinstance(number, int | float):
            raise TypeError(f"sum adds numbers, not {type(number).__name__}")
        total += number
    return total


def _tojson(value: Any, indent: int | None = None) -> str:
    """The value as JSON text."""
    return packed(value, orjson.OPT_INDENT_2 if indent else 0).decode()


def _truncate(text: str, length: int = 255, killwords: bool = False, end: str = "…") -> str:
    """At most `length` characters of the text, cut at a word unless `killwords`."""
    text = text_of(text)
    if len(text) <= length:
        return text
    cut = text[: max(0, length - len(end))]
    is_whole = killwords or text[len(cut)].isspace()
    return (cut if is_whole else cut.rsplit(" ", 1)[0]) + end


def _round(value: float, precision: int = 0, method: str = "common") -> float:
    """The number with that many places behind the point; `method` is common, ceil or floor."""
    if not isinstance(precision, int) or abs(precision) > 15:  # noqa: PLR2004  # digits of a float
        raise ValueError("precision is between -15 and 15")
    if method == "common":
        return round(value, precision)
    step = {"ceil": math.ceil, "floor": math.floor}[method]
    return float(step(value * 10**precision) / 10**precision)


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > MAX_RANGE:
        raise TooMuchError(f"a range has more than {MAX_RANGE} numbers")
    return found


def _now() -> datetime:
    return datetime.now(UTC)


GLOBALS: dict[str, Any] = {"now": _now, "range": _range, "namespace": Namespace}

OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "join": _join,
    "replace": _replace,
    "sum": _sum,
    "tojson": _tojson,
    "truncate": _truncate,
    "round": _round,
    "string": text_of,
    "upper": lambda value: text_of(value).upper(),
    "lower": lambda value: text_of(value).lower(),
    "title": lambda value: text_of(value).title(),
    "capitalize": lambda value: text_of(value).capitalize(),
    "trim": lambda value: text_of(value).strip(),
    "wordcount": lambda value: len(text_of(value).split()),
    "urlencode": lambda value: quote(text_of(value), safe=""),
}
