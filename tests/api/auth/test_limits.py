from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from api.app import create_app
from api.auth.limiter import Buckets, Leases, Rate
from resources.settings import LimitSettings
from resources.tenants.buckets.postgres import PostgresBuckets
from resources.tenants.model import Limits
from tests.api.auth.people import People, bearer

if TYPE_CHECKING:
    from api.dependencies import Services
    from resources.database.postgres import Database
    from resources.settings import Settings

RATE = Rate(per_minute=60, burst=3)


def test_a_bucket_gives_its_burst_and_fills_again() -> None:
    now = [0.0]
    buckets = Buckets(lambda: now[0])
    assert [buckets.take("principal", "ada", RATE).remaining for _ in range(3)] == [2, 1, 0]
    empty = buckets.take("principal", "ada", RATE)
    assert (empty.allowed, empty.retry_after) == (False, 1.0)
    assert buckets.take("principal", "bob", RATE).allowed
    now[0] = 2.0
    assert [buckets.take("principal", "ada", RATE).allowed for _ in range(3)] == [True, True, False]
    now[0] = 1000.0
    assert buckets.take("principal", "ada", RATE).remaining == 2


def test_what_is_idle_is_forgotten_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.limiter._MOST_BUCKETS", 10)
    now = [0.0]
    buckets = Buckets(lambda: now[0])
    for number in range(100):
        now[0] += 1
        buckets.take("address", str(number), RATE)
        assert len(buckets._buckets) <= 10


def test_processes_share_a_bucket(database: Database) -> None:
    shared, key = PostgresBuckets(database), uuid.uuid4().hex

    def lease(tokens: int) -> int:
        return shared.lease(key, per_second=0.001, burst=10, tokens=tokens)

    assert [lease(4), lease(4), lease(4), lease(4)] == [4, 4, 2, 0]
    assert shared.lease(key, per_second=1e9, burst=10, tokens=4) == 4


def test_a_lease_is_used_up_before_another_is_taken(database: Database) -> None:
    leases, rate = Leases(PostgresBuckets(database)), Rate(per_minute=1, burst=20)
    key = uuid.uuid4().hex
    assert leases.take("principal", key, rate) is None
    assert leases.lease("principal", key, rate).remaining == 1
    assert leases.take("principal", key, rate) is not None
    assert leases.take("principal", key, rate) is None
    taken = 0
    while leases.lease("principal", key, rate).allowed:
        taken += 1
        while leases.take("principal", key, rate) is not None:
            pass
    assert taken == 9


async def asked(
    services: Services, settings: Settings, token: str, times: int, **limits: object
) -> list[httpx.Response]:
    settings = settings.model_copy(update={"limits": LimitSettings.model_validate(limits)})
    app = create_app(services, settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return [await client.get("/api/v1/auth/whoami", headers=bearer(token)) for _ in range(times)]


@pytest.mark.parametrize("name", ["principal", "tenant", "address"])
async def test_too_many_requests_are_refused_with_the_time_to_wait(
    services: Services, guarded_settings: Settings, people: People, name: str
) -> None:
    token = people.pair("member").access_token
    answers = await asked(services, guarded_settings, token, 4, **{f"{name}_per_minute": 6, f"{name}_burst": 3})
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    refused = answers[-1]
    assert (refused.json()["code"], refused.json()["limit"]) == ("rate_limited", name)
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert refused.headers["ratelimit-policy"] == f'"{name}";q=6;w=60'
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]


async def test_a_tenants_own_limit_holds(services: Services, guarded_settings: Settings, people: People) -> None:
    services.identity.administration.change_tenant(people.tenant, limits=Limits(requests_per_minute=2), actor=None)
    answers = await asked(services, guarded_settings, people.pair("member").access_token, 3)
    assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_who_guesses_tokens_is_slowed_down(services: Services, guarded_settings: Settings) -> None:
    answers = await asked(services, guarded_settings, "nonsense", 4, address_per_minute=6, address_burst=3)
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]


async def test_limits_are_shared_through_the_database(
    services: Services, guarded_settings: Settings, people: People, database: Database
) -> None:
    from dataclasses import replace

    token = people.pair("member").access_token
    sharing = replace(services, rate_buckets=PostgresBuckets(database))
    limits = {"tenant_per_minute": 1, "tenant_burst": 4}
    both = await asyncio.gather(*(asked(sharing, guarded_settings, token, 4, **limits) for _ in range(2)))
    codes = [answer.status_code for answers in both for answer in answers]
    assert (codes.count(200), codes.count(429)) == (4, 4)


async def test_the_local_admin_is_not_limited(services: Services, api_settings: Settings) -> None:
    settings = api_settings.model_copy(update={"limits": LimitSettings(address_per_minute=1, address_burst=1)})
    app = create_app(services, settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert [(await client.get("/api/v1/auth/whoami")).status_code for _ in range(3)] == [200, 200, 200]


async def test_pages_of_other_origins_may_call_only_if_they_are_named(
    services: Services, guarded_settings: Settings
) -> None:
    named = guarded_settings.api.model_copy(update={"cors_origins": "https://app.example.org, https://b.example.org"})
    app = create_app(services, guarded_settings.model_copy(update={"api": named}))
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        good = await client.options("/api/v1/events", headers={"Origin": "https://app.example.org", **wanted})
        bad = await client.options("/api/v1/events", headers={"Origin": "https://evil.example.org", **wanted})
        page = await client.get("/api/v1/events", headers={"Origin": "https://app.example.org"})
    assert good.headers["access-control-allow-origin"] == "https://app.example.org"
    assert "access-control-allow-origin" not in bad.headers
    assert page.status_code == 401
    assert {"Link", "ETag", "RateLimit"} <= set(page.headers["access-control-expose-headers"].split(", "))
