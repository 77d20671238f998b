from __future__ import annotations

from typing import Any

import orjson
import pytest

from resources.errors import InvalidInputError, LimitExceededError
from resources.mcp.limits import MAX_ARGUMENTS, MAX_BYTES, MAX_DEPTH, MAX_ITEMS, InFlight, check, checked


def request(**changes: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "ping"} | changes


def call(arguments: Any) -> dict[str, Any]:
    return request(method="tools/call", params={"name": "search", "arguments": arguments})


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "message",
    [
        request(),
        request(method="notifications/tools/list_changed"),
        request(id="a-1"),
        call({str(number): number for number in range(MAX_ARGUMENTS)}),
        call({"query": "how do I drop a table in a test?"}),
        request(params={"_meta": nested(MAX_DEPTH - 2)}),
        request(params={"items": [0] * MAX_ITEMS}),
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        [request(), request(id=2)],
    ],
)
def test_what_the_protocol_means_is_let_through(message: Any) -> None:
    assert checked(orjson.dumps(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        "text",
        {"id": 1, "method": "ping"},
        request(jsonrpc="1.0"),
        request(id="x" * 1001),
        request(id="../../etc/passwd"),
        request(id='a"b'),
        request(id="<script>alert(1)</script>"),
        request(id="a\nb"),
        request(method=""),
        request(method=7),
        request(method="x" * 101),
        request(method="tools call"),
        request(method="a/b/c/d"),
        request(params={"_meta": nested(MAX_DEPTH)}),
        request(params={"items": [0] * (MAX_ITEMS + 1)}),
        call({str(number): number for number in range(MAX_ARGUMENTS + 1)}),
        call({"query": "x'; DROP  TABLE users"}),
        call({"command": {"lines": ["ls", "rm -rf /"]}}),
        call({"name": "nul\x00byte"}),
        call({"rm -rf /": 1}),
    ],
)
def test_what_means_harm_is_refused(message: Any) -> None:
    with pytest.raises(InvalidInputError, match="refused"):
        check(message)


def test_a_message_may_not_be_too_large() -> None:
    with pytest.raises(LimitExceededError, match="1,048,576 are accepted"):
        checked(b" " * (MAX_BYTES + 1))


def test_what_is_no_json_is_told_so() -> None:
    with pytest.raises(InvalidInputError, match="not JSON"):
        checked("{")


def test_an_id_can_be_used_again_once_it_is_answered() -> None:
    waiting = InFlight()
    waiting.claim(("a", 1))
    waiting.claim(("b", 1))
    with pytest.raises(InvalidInputError, match="waits for its answer"):
        waiting.claim(("a", 1))
    waiting.release(("a", 1))
    waiting.claim(("a", 1))
