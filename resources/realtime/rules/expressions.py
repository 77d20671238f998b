"""Regular expressions that tenants write, in an engine whose time grows with the text and never with what is tried.

Python's own tries one way after the other, and lets no other thread run meanwhile: `(a|a)*b` before a hundred letters would stop
the process for all tenants. The engine of Rust (https://docs.rs/regex), which pydantic brings along, has no such expressions; it
has no references back and no looking around either.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, core_schema

_COUNTS = re.compile(r"\{(?:[0-9]+,)?([0-9]+),?\}")
_MOST = 100


def check_expression(expression: str) -> str:
    """The expression, if it is one. Raises ValueError."""
    counted = math.prod(int(count) or 1 for count in _COUNTS.findall(expression))
    if counted > _MOST:  # a state of the engine for each
        raise ValueError(f"{expression!r} counts up to {counted} repetitions; {_MOST} are allowed")
    try:
        for pattern in (expression, _whole(expression)):  # `a)|(b` is none, though it would be one in parentheses
            _build(pattern)
    except SchemaError as error:
        reason = str(error).rpartition("error: ")[2].splitlines()[-1].strip().removeprefix("SchemaError: ")
        raise ValueError(f"{expression!r} is not a regular expression: {reason}") from error
    return expression


def matches(expression: str, text: str) -> bool:
    """Whether the expression matches the text as a whole."""
    return _compiled(expression).isinstance_python(text)


@lru_cache(maxsize=256)
def _compiled(expression: str) -> SchemaValidator:
    return _build(_whole(expression))


def _whole(expression: str) -> str:
    return rf"\A(?:{expression})\z"


def _build(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
