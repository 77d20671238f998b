"""A tenant with a schema of its own uses everything as others do, and can be erased."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from resources.knowledge import queries
from tests.api.auth.people import PASSWORD, People, bearer
from tests.contracts.graph.given import PANDAS

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services
    from resources.database.postgres import Database
    from tests.api.auth.conftest import Aiw

V1 = "/api/v1"
TEXT = b"# Orchids\n\nOrchids grow on trees. They take water from the air.\n"


def left_of(database: Database, tenant: str) -> set[str]:
    """The tables that have rows of the tenant."""
    with database.connect() as connection:
        tables = connection.execute(
            """SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE a.attname = 'tenant' AND c.relkind IN ('r', 'p') AND c.relnamespace = 'aiw'::regnamespace"""
        ).fetchall()
        counts = {
            name: connection.execute(
                f"SELECT count(*) FROM aiw.{name} WHERE tenant = %s".encode(), (tenant,)
            ).fetchone()
            for (name,) in tables
        }
    return {name for name, count in counts.items() if count != (0,)}


def schema_of(database: Database, tenant: str) -> object:
    with database.connect() as connection:
        row = connection.execute("SELECT to_regnamespace(%s)::text", (f'"tenant_{tenant}"',)).fetchone()
    return row and row[0]


def test_it_is_made_used_suspended_and_erased(
    guarded: httpx.Client, home: People, services: Services, database: Database, tenant: str
) -> None:
    admin, path = home.headers("admin"), f"{V1}/tenants/{tenant}"
    body = {"id": tenant, "own_schema": True, "admin": "grace", "admin_password": PASSWORD, "limits": {"sockets": 9}}
    made = guarded.post(f"{V1}/tenants", json=body, headers=admin)
    assert (made.status_code, made.json()["own_schema"]) == (201, True)
    assert guarded.post(f"{V1}/tenants", json=body, headers=admin).status_code == 409

    login = {"username": "grace", "password": PASSWORD, "tenant": tenant}
    grace = bearer(guarded.post("/login", json=login).json()["access_token"])
    files = {"file": ("orchids.md", TEXT, "text/markdown")}
    document = guarded.post(f"{V1}/documents", files=files, headers=grace).json()["document"]
    assert guarded.get(f"{V1}/documents/{document['id']}", headers=grace).json()["sha256"] == document["sha256"]
    assert services.documents.get_blob(document["sha256"], tenant=tenant) == TEXT
    assert guarded.get(f"{V1}/tenants/{tenant}/quota", headers=grace).json()["documents"] == 1
    assert guarded.post(f"{V1}/keys", json={"name": "ci"}, headers=grace).status_code == 201
    services.graph.weave(PANDAS, tenant=tenant)
    assert not {name for name in left_of(database, tenant) if name.endswith("_shared")}

    early = guarded.delete(path, headers=admin)
    assert (early.status_code, early.json()["code"]) == (409, "tenant_active")
    assert guarded.patch(path, json={"status": "suspended"}, headers=admin).status_code == 200
    erased = guarded.delete(path, headers=admin)
    assert (erased.status_code, erased.json()["limits"]) == (200, {})
    assert left_of(database, tenant) == {"event"}
    assert schema_of(database, tenant) is None
    assert services.graph.counts(tenant=tenant).concepts == 0
    assert guarded.delete(path, headers=admin).status_code == 200  # as where it was interrupted
    again = guarded.patch(path, json={"status": "active"}, headers=admin)
    assert (again.status_code, again.json()["code"]) == (409, "tenant_erased")
    assert guarded.post(f"{V1}/tenants", json={"id": tenant}, headers=admin).status_code == 409
    assert guarded.post("/login", json=login).status_code == 401


def test_who_shares_tables_is_not_erased(guarded: httpx.Client, home: People, people: People) -> None:
    refused = guarded.delete(f"{V1}/tenants/{people.tenant}", headers=home.headers("admin"))
    assert (refused.status_code, refused.json()["code"]) == (409, "tenant_not_apart")


def test_an_id_that_is_too_long_for_a_schema_is_refused(guarded: httpx.Client, home: People) -> None:
    body = {"id": "a" * 57, "own_schema": True}
    assert guarded.post(f"{V1}/tenants", json=body, headers=home.headers("admin")).status_code == 422


def test_it_is_made_and_erased_from_the_shell(aiw: Aiw, home: People, database: Database, tenant: str) -> None:
    made = aiw("tenants", "create", tenant, "--own-schema")
    assert made.exit_code == 0, made.stderr
    assert schema_of(database, tenant) == f'"tenant_{tenant}"'
    token = home.pair("admin").access_token
    assert aiw("tenants", "suspend", tenant, token=token).exit_code == 0
    assert aiw("tenants", "erase", tenant, stdin="n\n", token=token).exit_code != 0
    erased = aiw("tenants", "erase", tenant, "--yes", token=token)
    assert erased.exit_code == 0, erased.stderr
    assert schema_of(database, tenant) is None


def test_no_kind_of_node_is_forgotten() -> None:
    described = set(re.findall(r"\(:(\w+) \{tenant", queries.__doc__ or ""))
    assert described == set(queries.LABELS)
