"""Agents register, tell that they live, and are found."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

PATH = "/api/v1/registry/agents"


def register(http: httpx.Client, name: str, *capabilities: str, **fields: Any) -> dict[str, Any]:
    body = {"name": name, "endpoint": "https://agents.example/x", "capabilities": capabilities, **fields}
    answer = http.post(PATH, json=body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_agent_registers_tells_that_it_lives_and_leaves(http: httpx.Client) -> None:
    agent = register(http, "ada", "research", "summarise")
    assert agent["status"] == "healthy"
    beat = http.post(f"{PATH}/{agent['id']}/heartbeat", json={"status": "draining", "connections": 3}).json()
    assert (beat["status"], beat["next_within_seconds"]) == ("draining", 60)
    assert http.get(f"{PATH}/{agent['id']}").json()["connections"] == 3
    assert http.delete(f"{PATH}/{agent['id']}").status_code == 204
    assert http.post(f"{PATH}/{agent['id']}/heartbeat").json()["code"] == "agent_not_found"


def test_registering_again_is_no_second_agent(http: httpx.Client) -> None:
    first = register(http, "ada", "research")
    again = http.post(PATH, json={"name": "ada", "endpoint": "https://new.example", "capabilities": ["research"]})
    assert again.status_code == 200
    assert again.json()["id"] == first["id"]
    assert again.json()["endpoint"] == "https://new.example"


def test_agents_are_found_by_all_that_they_can_do(http: httpx.Client) -> None:
    register(http, "both", "research", "summarise")
    register(http, "one", "research")
    found = http.get(f"{PATH}/discover", params={"capability": ["research", "summarise"]}).json()
    assert [agent["name"] for agent in found["agents"]] == ["both"]
    assert found["chosen"]["name"] == "both"
    assert http.get(f"{PATH}/discover", params={"capability": "cook"}).json() == {
        "agents": [],
        "total_count": 0,
        "chosen": None,
    }


def test_turns_are_taken(http: httpx.Client) -> None:
    for name in ("a", "b"):
        register(http, name, "research")
    asked = [http.get(f"{PATH}/discover", params={"capability": "research"}).json() for _ in range(2)]
    assert {found["chosen"]["name"] for found in asked} == {"a", "b"}


def test_a_list_comes_in_pages(http: httpx.Client) -> None:
    for name in ("a", "b", "c"):
        register(http, name, "research")
    page = http.get(PATH, params={"limit": 2}).json()
    assert (page["total_count"], page["active_count"], page["next_after"]) == (2, 2, "b")
    assert [it["name"] for it in http.get(PATH, params={"after": "b"}).json()["agents"]] == ["c"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"capabilities": []},
        {"capabilities": ["Not One"]},
        {"endpoint": "file:///etc/passwd"},
        {"endpoint": "https://"},
        {"name": "../x"},
        {"weight": 0},
        {"health_url": "javascript:alert(1)"},
        {"metadata": {"x": "\x00"}},
        {"more": 1},
    ],
)
def test_what_is_not_right_is_refused(http: httpx.Client, wrong: dict[str, Any]) -> None:
    body = {"name": "ada", "endpoint": "https://agents.example", "capabilities": ["a"], **wrong}
    assert http.post(PATH, json=body).status_code == 422


def test_who_is_unknown_is_told_to_register(http: httpx.Client) -> None:
    answer = http.post(f"{PATH}/{uuid.uuid4()}/heartbeat")
    assert answer.status_code == 404
    assert "register" in answer.json()["detail"]
