"""Data of whatever form, as the first API took it: stored in any case, and told apart by whether a rule works with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import httpx

from api.app import create_app
from resources.errors import UnavailableError

if TYPE_CHECKING:
    import pytest

    from api.dependencies import Services
    from resources.settings import Settings

V1 = "/api/v1"
RULE = {"types": ["data.*"], "action": {"kind": "workflow", "workflow": "study_guide"}}


def test_bare_data_is_an_event_like_others(http: httpx.Client) -> None:
    answer = http.post("/events", json={"data": {"temperature": 96}}, headers={"X-Correlation-ID": "a" * 36})
    told = answer.json()
    assert (answer.status_code, set(told), told["status"]) == (200, {"message", "event_id", "status"}, "stored_only")
    (event,) = http.get(f"{V1}/events").json()["events"]
    assert (event["event_id"], event["type"]) == (told["event_id"], "data.received")
    assert (event["data"], event["stream"]) == ({"data": {"temperature": 96}}, f"data/{told['event_id']}")
    assert event["metadata"]["correlation_id"] == answer.headers["x-correlation-id"]


def test_a_rule_that_works_with_it_is_told(http: httpx.Client) -> None:
    made = http.put(f"{V1}/routes/brew", json=RULE)
    assert made.is_success, made.text
    assert http.post("/events", json={"data": 1}).json()["status"] == "queued"


async def test_it_is_stored_also_while_the_rules_cannot_be_read(
    services: Services, api_settings: Settings, monkeypatch: pytest.MonkeyPatch, tenant: str
) -> None:
    class Away:
        def list(self, *, tenant: str) -> NoReturn:
            raise UnavailableError(f"The rules of {tenant!r} are away.", dependency="database")

    app = create_app(replace(services, rules=Away()), api_settings)  # type: ignore[arg-type]  # a fault
    monkeypatch.setattr(app.state, "tenant", tenant)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.post("/events", json={"data": 1})
    assert (answer.status_code, answer.json()["status"]) == (200, "stored_not_queued")
    assert [str(event.event_id) for event in services.events.read_all(tenant=tenant)] == [answer.json()["event_id"]]


def test_what_is_no_json_is_a_problem(http: httpx.Client) -> None:
    answer = http.post("/events", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
