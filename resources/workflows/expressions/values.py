"""What expressions see of a run, and their values as JSON and as text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
from jinja2 import Undefined

from resources.workflows.expressions.bounds import TooMuchError, counted, current

if TYPE_CHECKING:
    from collections.abc import Iterator


class Outputs(Mapping[str, Mapping[str, Any]]):
    """`nodes`: what ran, each with its `output`."""

    def __init__(self, outputs: Mapping[str, Any]) -> None:
        self._outputs = outputs

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return {"output": self._outputs[name]}

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)


class Variables(Mapping[str, str]):
    """`env`: what the workflow sets, then those of the process's variables that are allowed."""

    def __init__(self, own: Mapping[str, str], allowed: frozenset[str]) -> None:
        self._own = own
        self._allowed = allowed

    def __getitem__(self, name: str) -> str:
        if name in self._own:
            return self._own[name]
        if name in self._allowed:
            return os.environ[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from sorted(name for name in self._allowed if name not in self._own and name in os.environ)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def plain(value: Any) -> Any:
    """The value as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else orjson.loads(packed(value))


def packed(value: Any, option: int = 0) -> bytes:
    """The value as JSON text. It is measured first, as a short list can hold a long text a million times."""
    measure(value)
    try:
        return orjson.dumps(value, default=_json_of, option=orjson.OPT_NON_STR_KEYS | option)
    except orjson.JSONEncodeError as error:
        raise error.__cause__ or TypeError(f"its value is no JSON: {error}") from error


def measure(value: Any) -> None:
    """Count the value against the budget, with all that is inside of it."""
    budget, size, waiting = current.get(), 0, [value]
    while waiting:
        found = waiting.pop()
        size += len(found) if isinstance(found, str) else 1
        if isinstance(found, Mapping):
            size += sum(len(str(key)) for key in found)
            waiting.extend(found.values())
        elif isinstance(found, list | tuple):
            waiting.extend(found)
        if size > budget.max_bytes:
            raise TooMuchError(f"its value is larger than {budget.max_bytes} bytes")
    budget.expect(size)


def _json_of(value: Any) -> Any:
    if isinstance(value, Undefined):
        refuse(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        listed = list(counted(value))
        measure(listed)
        return listed
    raise TypeError(f"its value is no JSON but a {type(value).__name__}")


def text_of(value: Any) -> str:
    """The value as it stands in a text: JSON, but for strings and times."""
    if isinstance(value, str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Undefined):
        refuse(value)
    return packed(value).decode()


def as_json(text: str) -> Any:
    """What a text says in JSON, if it is an object or an array; else the text."""
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def refuse(value: Undefined) -> NoReturn:
    """Raise what the undefined value has to say."""
    value._fail_with_undefined_error()  # noqa: SLF001  # Jinja's own way to raise what the value says
