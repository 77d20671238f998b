from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_every_route_says_what_it_does_and_how_it_fails(http: httpx.Client) -> None:
    schema = http.get("/openapi.json").json()
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert len(operations) >= 11
    silent = [
        name for name, it in operations.items() if not (it.get("summary") and it.get("description") and it["tags"])
    ]
    assert silent == []
    undeclared = [
        name
        for name, it in operations.items()
        if "/api/v1" in name and "503" not in it["responses"] and "health" not in it["tags"]
    ]
    assert undeclared == []
    problems = {
        kind
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status >= "400" and "health" not in operation["tags"]
        for kind in answer["content"]
    }
    assert problems == {"application/problem+json"}


def test_every_reference_of_the_schema_leads_somewhere(http: httpx.Client) -> None:
    schema = http.get("/openapi.json").json()
    known = {f"#/components/schemas/{name}" for name in schema["components"]["schemas"]}
    assert set(references(schema)) <= known


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_needs_nothing_from_elsewhere(http: httpx.Client, path: str) -> None:
    page = http.get(path)
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    fetched = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert fetched
    for address in fetched:
        assert address.startswith("/docs/assets/")
        assert http.get(address).status_code == 200


NUL, SURROGATE = "\x00", "\\ud800"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/documents/%00", None),
        ("GET", "/api/v1/documents?after=%00", None),
        ("GET", "/api/v1/concepts/%00", None),
        ("GET", "/api/v1/concepts/%F0%9F%8D%B5", None),
        ("GET", "/api/v1/runs/%00", None),
        ("GET", "/api/v1/search?q=%00", None),
        ("GET", "/api/v1/search?q=%FF", None),
        ("GET", "/api/v1/learning-path?to=%00", None),
        ("GET", "/api/v1/events?types=%00", None),
        ("GET", f"/api/v1/events?after={2**63}", None),
        ("GET", f"/api/v1/events?after={10**30}", None),
        ("POST", "/api/v1/documents?name=%00.md", b"# A\n\nText."),
        ("POST", "/api/v1/documents?name=a.md&uri=%00", b"# A\n\nText."),
        ("POST", "/api/v1/documents?name=a.md&title=%00&tags=%00", b"# B\n\nText."),
        ("POST", "/api/v1/events", b'{"type": "run.started", "data": {"run_id": "\\u0000", "job": "x"}}'),
        ("POST", "/api/v1/events", b'{"type": "run.started", "data": {"run_id": "\\ud800", "job": "x"}}'),
        (
            "POST",
            "/api/v1/events",
            b'{"type": "run.succeeded", "data": {"run_id": "a", "job": "x", "duration_ms": 1e400}}',
        ),
        ("POST", "/api/v1/events", b'{"type": "run.started", "data": {}, "stream": "run/\\u0000"}'),
        ("POST", "/api/v1/events", b"[" * 5000),
        ("POST", "/api/v1/events", b'{"a":' * 5000),
        ("POST", "/api/v1/events", b"9" * 5000),
    ],
)
def test_hostile_input_is_the_callers_fault_and_never_the_platforms(
    http: httpx.Client, method: str, path: str, body: bytes | None
) -> None:
    headers = {"Content-Type": "application/json" if path.endswith("/events") else "application/octet-stream"}
    answer = http.request(method, path, content=body, headers=headers)
    assert answer.status_code < 500, answer.text
    if answer.is_error:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("module", ["api.app", "api.cli.app", "api.client"])
def test_importing_loads_no_heavy_library(module: str) -> None:
    heavy = (
        "dagster",
        "neo4j",
        "onnxruntime",
        "psycopg",
        "great_expectations",
        "openai",
        "anthropic",
        "boto3",
        "scipy",
    )
    program = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/workflows", {"GET", "POST"}), ("/workflows/hello", {"GET", "DELETE"}), ("/budgets", {"GET", "PUT"})],
)
def test_who_asks_by_a_wrong_method_is_told_the_right_ones(http: httpx.Client, path: str, allowed: set[str]) -> None:
    answer = http.patch(f"/api/v1{path}")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/health", "/docs", "/api/v1/workflows", f"/api/v1/documents/{'0' * 32}"])
def test_the_head_of_every_answer_can_be_asked_for_alone(http: httpx.Client, path: str) -> None:
    whole, head = http.get(path), http.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
