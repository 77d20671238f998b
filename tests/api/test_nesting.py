"""JSON that is nested too deep, and names that nothing can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.middleware.limits import MAX_DEPTH, Nesting

if TYPE_CHECKING:
    import httpx


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":', b'{"\\"]]]":'])
def test_what_is_nested_too_deep_is_refused_while_it_arrives(opening: bytes) -> None:
    levels = opening.replace(b'"\\"]]]"', b"").count(b"[") + opening.count(b"{")
    deep = opening * (MAX_DEPTH // levels)
    assert not Nesting().too_deep(deep)
    nesting = Nesting()
    assert [nesting.too_deep(part) for part in (deep, opening)] == [False, True]


def test_brackets_in_strings_and_beside_each_other_are_none() -> None:
    assert not Nesting().too_deep(b'["' + b"[" * 10_000 + b'"]')
    assert not Nesting().too_deep(b"[" + b"[]," * 10_000 + b"[]]")


def test_deep_json_is_told(http: httpx.Client) -> None:
    body = b'{"type": "x", "data": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    answer = http.post("/api/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "nested" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/v1/workflows/instances?workflow=a%00", "/api/v1/runs/a%00"])
def test_a_nul_in_the_address_is_refused(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 422
