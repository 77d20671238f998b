"""What a message of MCP may look like, in either direction. Pure: knows JSON, and no SDK.

The SDK checks what the protocol says of a message; this is about those that are well-formed and meant to do harm, or that nobody
could mean: too large, too deep, with names that end up in logs and addresses. A method has at most two slashes, because the
protocol's own names have (`notifications/tools/list_changed`).

That arguments with `DROP TABLE` or `rm -rf` are refused is a tripwire, not what keeps anybody safe: SQL is bound, and no shell is
ever asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from resources.errors import InvalidInputError, LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 100
MAX_ITEMS: Final = 10_000
MAX_ID: Final = 1000
MAX_ARGUMENTS: Final = 100
MAX_METHOD: Final = 100
MAX_SLASHES: Final = 2

_BAD_ID = re.compile(r"[\x00-\x1f\x7f\"'`]|\.\./|<\s*/?\s*script", re.IGNORECASE)
_METHOD = re.compile(r"[!-~]+")
_TRIPWIRES = re.compile(r"\bdrop\s+table\b|\brm\s+-rf\b|\x00", re.IGNORECASE)


def checked(raw: bytes | str, *, limit: int = MAX_BYTES) -> Any:
    """The message, decoded. Raises InvalidInputError (`mcp_message_invalid`) or LimitExceededError (`mcp_message_too_large`)."""
    size = len(raw) if isinstance(raw, bytes) else len(raw.encode())
    if size > limit:
        raise LimitExceededError(
            f"The message has {size:,} bytes; {limit:,} are accepted.", code="mcp_message_too_large", limit_bytes=limit
        )
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"it is not JSON: {error}", code="mcp_message_malformed") from error
    check(message)
    return message


def check(message: Any) -> None:
    """Raises InvalidInputError for a message that goes beyond the limits."""
    _check_shape(message)
    for one in message if isinstance(message, list) else (message,):
        if not isinstance(one, dict):
            raise _invalid("a message is an object")
        if one.get("jsonrpc") != "2.0":
            raise _invalid("`jsonrpc` has to be '2.0'")
        if isinstance(one.get("id"), str):
            _check_id(one["id"])
        if "method" in one:
            _check_method(one["method"])
            if one["method"] == "tools/call":
                _check_arguments(one.get("params"))


def _check_id(value: str) -> None:
    if len(value) > MAX_ID:
        raise _invalid(f"an id has at most {MAX_ID} characters")
    if _BAD_ID.search(value):
        raise _invalid("an id has no control characters, quotes, `../` or scripts")


def _check_method(method: Any) -> None:
    if not isinstance(method, str) or not 0 < len(method) <= MAX_METHOD:
        raise _invalid(f"a method is a text of 1 to {MAX_METHOD} characters")
    if not _METHOD.fullmatch(method) or method.count("/") > MAX_SLASHES:
        raise _invalid(f"a method has no spaces and at most {MAX_SLASHES} slashes")


def _check_arguments(params: Any) -> None:
    arguments = params.get("arguments") if isinstance(params, dict) else None
    if not isinstance(arguments, dict):
        return  # whether there have to be any is the protocol's business
    if len(arguments) > MAX_ARGUMENTS:
        raise _invalid(f"a tool is given at most {MAX_ARGUMENTS} arguments, not {len(arguments)}")
    stack: list[Any] = [arguments]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.values())
            stack.extend(value)
        elif isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, str) and (found := _TRIPWIRES.search(value)):
            raise _invalid(f"arguments with {found[0]!r} are refused", code="mcp_argument_refused")


def _check_shape(message: Any) -> None:
    level, depth = [message], 0
    while level:
        depth += 1
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(one for one in value.values() if isinstance(one, dict | list))
            elif isinstance(value, list):
                if len(value) > MAX_ITEMS:
                    raise _invalid(f"an array has at most {MAX_ITEMS:,} items, not {len(value):,}")
                below.extend(one for one in value if isinstance(one, dict | list))
        if below and depth >= MAX_DEPTH:
            raise _invalid(f"it is nested deeper than {MAX_DEPTH} levels")
        level = below


class InFlight:
    """Ids of requests that wait for their answer: of one connection, or of several that are told apart by the key."""

    def __init__(self) -> None:
        self._waiting: set[Hashable] = set()

    def claim(self, key: Hashable) -> None:
        """Raises InvalidInputError when a request with it waits already."""
        if key in self._waiting:
            raise _invalid("a request with this id waits for its answer already", code="mcp_id_in_flight")
        self._waiting.add(key)

    def release(self, key: Hashable) -> None:
        """The request is answered, or nobody waits any more."""
        self._waiting.discard(key)


def _invalid(what: str, *, code: str = "mcp_message_invalid") -> InvalidInputError:
    return InvalidInputError(f"The message is refused: {what}.", code=code)
