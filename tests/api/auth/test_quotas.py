"""What tenants may use, and what they are told when it is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.client import ApiClient
from resources.errors import ConflictError, LimitExceededError
from resources.tenants.model import Limits

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services
    from tests.api.auth.people import People

V1 = "/api/v1"


def test_documents_beyond_the_quota_are_refused_with_what_to_do(guarded: httpx.Client, people: People) -> None:
    headers = people.headers("member")
    people.identity.administration.change_tenant(people.tenant, limits=Limits(storage_bytes=30), actor=None)
    text = {"Content-Type": "text/plain"}
    taken = guarded.post(f"{V1}/documents?name=a.txt", content=b"A small text of 26 bytes.\n", headers=headers | text)
    refused = guarded.post(f"{V1}/documents?name=b.txt", content=b"One text more.\n", headers=headers | text)
    assert (taken.status_code, refused.status_code) == (202, 429)
    problem = refused.json()
    assert (problem["code"], problem["quota"], problem["limit"]) == ("storage_quota_exceeded", "storage_bytes", 30)
    assert "aiw tenants quota" in problem["detail"]
    assert "Retry-After" not in refused.headers
    found = guarded.get(f"{V1}/tenants/{people.tenant}/quota", headers=headers).json()
    assert (found["storage_bytes"], found["documents"]) == ({"used": 26, "limit": 30}, 1)


def test_admins_of_the_platform_change_single_limits(guarded_url: str, people: People, home: People) -> None:
    with ApiClient(guarded_url, token=home.pair("admin").access_token) as api:
        api.change_limits(people.tenant, {"runs_per_day": 5, "usd_per_month": "2.5"})
        api.change_limits(people.tenant, {"runs_per_day": -1, "sockets": 3})
        found = api.quota(people.tenant)
    assert (found.runs_per_day.limit, found.sockets.limit) == (None, 3)
    assert (str(found.usd_per_month.used), str(found.usd_per_month.limit)) == ("0", "2.5")


def test_a_tenant_sees_its_own_quota_and_no_other(guarded: httpx.Client, people: People, strangers: People) -> None:
    headers = people.headers("viewer")
    assert guarded.get(f"{V1}/tenants/{people.tenant}/quota", headers=headers).status_code == 200
    assert guarded.get(f"{V1}/tenants/{strangers.tenant}/quota", headers=headers).status_code == 404


def test_its_budget_is_not_for_the_tenant_to_change(guarded_url: str, services: Services, people: People) -> None:
    from decimal import Decimal

    limits = Limits(usd_per_month=Decimal(1))
    people.identity.administration.change_tenant(people.tenant, limits=limits, actor=None)
    with ApiClient(guarded_url, token=people.pair("admin").access_token) as api:
        api.put_budget(Decimal(1000), scope="tenant", period="month")
        for budget in api.budgets():
            api.remove_budget(budget["budget_id"])
        assert api.quota(people.tenant).usd_per_month.limit == Decimal(1)
    kept = [one.limit for one in services.ai.budgets.list(tenant=None) if one.subject == people.tenant]
    assert kept == [Decimal(1)]


def test_limits_are_not_replaced_unseen(guarded: httpx.Client, people: People, home: People) -> None:
    headers, path = home.headers("admin"), f"{V1}/tenants/{people.tenant}"
    change = {"limits": {"sockets": 2}}
    blind = guarded.patch(path, json=change, headers=headers)
    assert (blind.status_code, blind.json()["code"]) == (428, "precondition_required")
    seen = guarded.get(path, headers=headers).headers["ETag"]
    assert guarded.patch(path, json=change, headers=headers | {"If-Match": seen}).status_code == 200
    stale = guarded.patch(path, json={"name": "Late"}, headers=headers | {"If-Match": seen})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert guarded.patch(path, json=change, headers=headers | {"If-Match": "*"}).status_code == 200


def test_users_and_rules_are_changed_as_they_were_seen(guarded: httpx.Client, people: People) -> None:
    headers = people.headers("admin")
    user = f"{V1}/users/{people.user('viewer').id}"
    seen = guarded.get(user, headers=headers).headers["ETag"]
    changed = guarded.patch(user, json={"role": "member"}, headers=headers | {"If-Match": seen})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != seen
    assert guarded.patch(user, json={"role": "operator"}, headers=headers | {"If-Match": seen}).status_code == 412
    assert guarded.get(user, headers=headers | {"If-None-Match": changed.headers["ETag"]}).status_code == 304

    rule, body = f"{V1}/routes/told", {"types": ["run.*"], "action": {"kind": "topic", "topic": "runs_told"}}
    assert guarded.put(rule, json=body, headers=headers | {"If-Match": "*"}).status_code == 412  # there is none yet
    made = guarded.put(rule, json=body, headers=headers)
    assert made.status_code == 201, made.text
    other = {**body, "types": ["document.*"]}
    assert guarded.put(rule, json=other, headers=headers | {"If-Match": made.headers["ETag"]}).status_code == 200
    assert guarded.put(rule, json=body, headers=headers | {"If-Match": made.headers["ETag"]}).status_code == 412


def test_the_client_tells_a_change_that_came_too_late(guarded_url: str, people: People, home: People) -> None:
    with ApiClient(guarded_url, token=home.pair("admin").access_token) as api, pytest.raises(ConflictError) as late:
        api.send_json("PATCH", f"/tenants/{people.tenant}", {"limits": {}})
    assert late.value.code == "precondition_required"


def test_runs_beyond_the_quota_of_the_day_are_not_taken(services: Services, people: People) -> None:
    from datetime import UTC, datetime

    people.identity.administration.change_tenant(people.tenant, limits=Limits(runs_per_day=0), actor=None)
    with pytest.raises(LimitExceededError):
        services.quotas.take_run(people.tenant, now=datetime.now(UTC))


def test_a_document_takes_the_run_that_it_starts_and_waits_outside_where_there_is_none(
    guarded: httpx.Client, services: Services, people: People
) -> None:
    headers = people.headers("member") | {"Content-Type": "text/plain"}
    administration, tenant = people.identity.administration, people.tenant
    administration.change_tenant(tenant, limits=Limits(runs_per_day=1), actor=None)

    def send(name: str, text: bytes) -> httpx.Response:
        return guarded.post(f"{V1}/documents?name={name}", content=text, headers=headers)

    outcomes = [send("a.txt", b"The first text.\n").json()["outcome"] for _ in range(2)]
    assert outcomes == ["received", "unchanged"]  # which starts no other
    refused = send("b.txt", b"The second text.\n")
    assert (refused.status_code, refused.json()["code"]) == (429, "runs_quota_exceeded")
    assert int(refused.headers["Retry-After"]) > 0
    assert [document.source.name for document in services.documents.list(tenant=tenant)] == ["a.txt"]
    found = guarded.get(f"{V1}/tenants/{tenant}/quota", headers=headers).json()
    assert found["runs_per_day"] == {"used": 1, "limit": 1}
    administration.change_tenant(tenant, limits=Limits(runs_per_day=2), actor=None)
    assert send("b.txt", b"The second text.\n").status_code == 202


def test_sockets_beyond_the_quota_are_refused_and_those_of_others_are_not(
    guarded_url: str, people: People, strangers: People
) -> None:
    people.identity.administration.change_tenant(people.tenant, limits=Limits(sockets=1), actor=None)
    address = guarded_url.replace("http", "ws", 1) + "/ws?token="
    mine, another = (people.pair(role).access_token for role in ("member", "viewer"))
    with connect(address + mine, proxy=None) as first:
        first.recv(30)
        with pytest.raises(InvalidStatus) as refused, connect(address + another, proxy=None):
            pass
        assert refused.value.response.status_code == 429
        assert orjson.loads(refused.value.response.body)["code"] == "too_many_sockets"
        with connect(address + strangers.pair("member").access_token, proxy=None) as theirs:
            theirs.recv(30)
