"""The OpenAPI document is one that a client can be generated from, and that people like to read."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

from api.app import create_app
from resources.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = create_app(MagicMock(rate_buckets=None), Settings(_env_file=None)).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        yield from part.get("mapping", {}).values() if isinstance(part.get("mapping"), dict) else ()
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_operations_have_names_of_their_own() -> None:
    names = Counter(operation["operationId"] for operation in OPERATIONS.values())
    assert [
        name for name, times in names.items() if times > 1 or not re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name)
    ] == []
    assert OPERATIONS["GET /api/v1/workflows"]["operationId"] == "list_workflows"
    assert [name for name in names if "api_v1" in name and "_at_" not in name] == []


def test_schemas_have_plain_names() -> None:
    assert [name for name in DOCUMENT["components"]["schemas"] if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name)] == []


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    used = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}
    assert used == set(DOCUMENT["components"]["schemas"])


def test_operations_are_told_and_sorted() -> None:
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    assert {label for label, one in OPERATIONS.items() if not one.get("summary") or len(one["tags"]) != 1} == set()
    assert {tag for one in OPERATIONS.values() for tag in one["tags"]} == tags
