"""Lists that come page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from api.app import create_app
from api.client import ApiClient
from resources.settings import Settings

if TYPE_CHECKING:
    import httpx

V1 = "/api/v1"
BY_POSITION = {"after", "after_version", "before", "offset"}
"""Lists that are as long as history say with one of these where to go on."""
WITHOUT_PAGES = {
    "/documents/{document_id}/similar": "the best so many",
    "/graph": "figures on the whole graph",
    "/graph/communities": "the largest so many",
    "/graph/concepts/{concept}/neighbours": "the nearest so many",
    "/graph/concepts/{concept}/resources": "the best so many",
    "/graph/concepts/{concept}/similar": "the best so many",
    "/graph/concepts/{concept}/spanning": "one tree",
    "/graph/concepts/{concept}/support": "the strongest so many",
    "/graph/ranking": "the best so many",
    "/graph/support": "the strongest so many",
    "/graph/ways": "the best so many",
    "/events/statistics": "sums",
    "/learning-path": "one path",
    "/mcp-servers/{name}/tools": "all that a server lists now",
    "/messages/search": "the newest so many",
    "/messages/{message_id}/deliveries": "the readers of one message",
    "/node-types": "the building blocks of this version",
    "/recommendations/{user}": "the best so many",
    "/registry/agents/discover": "those to choose from",
    "/related/{concept}": "the nearest so many",
    "/search/state": "figures on the index",
    "/usage/recommendations": "the greatest savings",
    "/usage/series": "sums, one for each stretch of time",
    "/usage/summary": "sums",
    "/usage/totals": "sums",
    "/workflows/{name}/diff": "one comparison",
}
ONE_THING = {"status", "whoami"}


def lists(document: dict[str, Any]) -> dict[str, set[str]]:
    """The parameters of each GET that answers an array or an object that holds nothing else of note."""

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def is_list(schema: dict[str, Any]) -> bool:
        return any(resolved(each).get("type") == "array" for each in (schema, *resolved(schema).get("anyOf", ())))

    found = {}
    for path, operations in document["paths"].items():
        answers = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        schema = resolved(answers.get("application/json", {}).get("schema", {}))
        thing = path.endswith("}") or path.rpartition("/")[2] in ONE_THING
        if is_list(schema) or (not thing and any(map(is_list, schema.get("properties", {}).values()))):
            found[path.removeprefix(V1)] = {each["name"] for each in operations["get"].get("parameters", ())}
    return found


def test_every_list_comes_in_pages() -> None:
    app = create_app(MagicMock(rate_buckets=None, lookups=None), Settings(_env_file=None))
    endless = {
        path
        for path, parameters in lists(app.openapi()).items()
        if "limit" not in parameters or not parameters & {"cursor", *BY_POSITION}
    }
    assert endless == {*WITHOUT_PAGES, "/.well-known/jwks.json"}


def budget(http: httpx.Client, subject: str) -> str:
    wanted = {"scope": "user", "subject": subject, "limit": "5"}
    return str(http.put(f"{V1}/budgets", json=wanted).raise_for_status().json()["budget_id"])


def rule(http: httpx.Client, name: str) -> None:
    body = {"types": ["run.*"], "action": {"kind": "workflow", "workflow": "study_guide"}}
    http.put(f"{V1}/routes/{name}", json=body).raise_for_status()


def test_what_is_added_between_pages_moves_nothing(http: httpx.Client) -> None:
    for name in ("b", "d", "f", "h", "j"):
        rule(http, name)
    first = http.get(f"{V1}/routes", params={"limit": 2})
    rule(http, "a")
    rule(http, "e")
    second = http.get(first.links["next"]["url"])
    rule(http, "c")
    third = http.get(second.links["next"]["url"])
    assert [[each["name"] for each in page.json()] for page in (first, second, third)] == [
        ["b", "d"],
        ["e", "f"],
        ["h", "j"],
    ]
    assert "next" not in third.links


def test_the_newest_come_first_and_once(http: httpx.Client) -> None:
    for _ in range(3):
        rule(http, "a")
        assert http.delete(f"{V1}/routes/a").status_code == 200
    page = http.get(f"{V1}/routes/a/versions", params={"limit": 3})
    versions = [each["version"] for each in page.json()]
    rule(http, "a")
    while "next" in page.links:
        page = http.get(page.links["next"]["url"])
        versions += [each["version"] for each in page.json()]
    assert versions == [6, 5, 4, 3, 2, 1]


def test_a_page_keeps_what_was_asked(http: httpx.Client) -> None:
    first = http.get(f"{V1}/prompts", params={"limit": 1, "context": "nothing-of-the-kind"})
    assert (first.json(), "next" in first.links) == ([], False)
    calls = http.get(f"{V1}/usage/calls", params={"limit": 1, "run_id": "r"})
    assert calls.json() == []


@pytest.mark.parametrize("cursor", ["x", "W10x", "W1tdXQ", "WzFd", "é", ""])
def test_a_cursor_of_another_list_is_refused(http: httpx.Client, cursor: str) -> None:
    rule(http, "a")
    answer = http.get(f"{V1}/routes", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")


def test_a_client_gives_all_pages(http: httpx.Client, api_url: str) -> None:
    wanted = {budget(http, f"u{number}") for number in range(52)}
    assert len(http.get(f"{V1}/budgets").json()) == 50
    with ApiClient(api_url) as client:
        found = [each["budget_id"] for each in client.budgets()]
    assert (len(found), set(found)) == (52, wanted)
