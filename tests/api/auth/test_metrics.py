"""Metrics tell of all tenants together: whoever runs the platform may read them, and whom they give a key to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.auth.people import bearer

if TYPE_CHECKING:
    import httpx

    from tests.api.auth.people import People

V1 = "/api/v1"
PATHS = [f"{V1}/metrics", f"{V1}/metrics/summary", "/metrics", "/metrics/summary"]


@pytest.mark.parametrize("path", PATHS)
def test_a_tenants_own_admin_sees_nothing_of_others(guarded: httpx.Client, people: People, path: str) -> None:
    assert guarded.get(path).status_code == 401
    answer = guarded.get(path, headers=people.headers("admin"))
    assert (answer.status_code, answer.json()["scope"]) == (403, "system_read:metrics")


@pytest.mark.parametrize("role", ["member", "viewer", "agent", "service"])
def test_nor_does_everybody_in_the_platforms_own_tenant(guarded: httpx.Client, home: People, role: str) -> None:
    assert guarded.get("/metrics", headers=home.headers(role)).status_code == 403


def test_a_key_to_scrape_with_can_do_nothing_else(guarded: httpx.Client, home: People) -> None:
    admin = home.headers("admin")
    wanted = {"name": "prometheus", "scopes": ["system_read:metrics"]}
    made = guarded.post(f"{V1}/keys", json=wanted, headers=admin)
    assert made.status_code == 201, made.text
    key = bearer(made.json()["key"])
    for path in PATHS:
        assert guarded.get(path, headers=key).status_code == 200
    for path in (f"{V1}/events", f"{V1}/tenants", f"{V1}/users", "/health/detailed"):
        assert guarded.get(path, headers=key).status_code == 403


def test_no_admin_of_a_tenant_can_give_such_a_key(guarded: httpx.Client, people: People) -> None:
    wanted = {"name": "prometheus", "scopes": ["system_read:metrics"]}
    made = guarded.post(f"{V1}/keys", json=wanted, headers=people.headers("admin"))
    if made.status_code == 201:  # with what its maker holds of that, which is nothing
        assert made.json()["scopes"] == []
        assert guarded.get("/metrics", headers=bearer(made.json()["key"])).status_code == 403
    else:
        assert made.status_code == 403
