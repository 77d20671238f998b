from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from resources.tenants.model import SigningKey, Tenant
from resources.tenants.notices.postgres import PostgresNotices
from resources.tenants.postgres import PostgresAccounts, PostgresCredentials, PostgresSecrets
from tests.contracts.identity_stores import NOW, IdentityContract, Stores, a_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resources.database.postgres import Database


@pytest.fixture
def stores(database: Database) -> Iterator[Stores]:
    notices = PostgresNotices(database)
    yield Stores(PostgresAccounts(database), PostgresCredentials(database), PostgresSecrets(database), notices)
    notices.close()


class UndoneError(Exception):
    """Ends a transaction."""


def test_keys_that_are_dropped_verify_nothing_any_more(database: Database) -> None:
    secrets = PostgresSecrets(database)
    hour = timedelta(hours=1)
    with suppress(UndoneError), database.together():  # others sign with the keys that are there
        for kid, retire_at in (("first", NOW + hour), ("second", NOW + hour), ("third", NOW)):
            secrets.add_signing_key(SigningKey(kid, {}, b"sealed", NOW), retire_at=retire_at)
            if kid == "second":
                assert {"first", "second"} <= {key.kid for key in secrets.signing_keys(now=NOW)}
        assert [key.kid for key in secrets.signing_keys(now=NOW)] == ["third"]
        raise UndoneError


class TestPostgresIdentity(IdentityContract):
    def listen(self, stores: Stores, heard: set[str]) -> Callable[[], None]:
        assert isinstance(stores.notices, PostgresNotices)
        self.rung = threading.Event()

        def hear(news: str) -> None:
            heard.add(news)
            self.rung.set()

        cancel = stores.notices.watch(hear)
        assert stores.notices.listening.wait(60)
        return cancel

    def await_news(self, heard: set[str], wanted: set[str]) -> None:
        deadline = time.monotonic() + 60
        while not wanted <= heard and time.monotonic() < deadline:
            self.rung.wait(1)
            self.rung.clear()
        assert wanted <= heard
        ours = {name.partition(":")[0] for name in wanted}
        assert {name.partition(":")[0] for name in heard} <= ours | {"*"}


TABLES = ["tenant", "account", "session", "refresh_token", "api_key", "provider_key"]


@pytest.mark.parametrize("table", [*TABLES, "signing_key", "login_attempt", "rate_bucket"])
def test_nobody_sees_a_row_without_a_role(database: Database, table: str) -> None:
    with database.connect() as connection:
        found = connection.execute(
            "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", (f"aiw.{table}",)
        ).fetchone()
    assert found == (True,)


@pytest.mark.parametrize("table", TABLES)
def test_a_tenant_sees_its_own_rows_alone(stores: Stores, database: Database, tenant: str, table: str) -> None:
    for one in (tenant, f"{tenant}-2"):
        stores.accounts.create_tenant(Tenant(one, "A", NOW))
        stores.accounts.create_user(a_user(one))
    column = "id" if table == "tenant" else "tenant"
    with database.transaction() as connection:
        connection.execute("SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)", (tenant,))
        found = connection.execute(f"SELECT DISTINCT {column} FROM aiw.{table}".encode()).fetchall()
    assert set(found) <= {(tenant,)}
    if table in {"tenant", "account"}:
        assert found


def test_nothing_secret_is_for_the_role_of_tenants(database: Database) -> None:
    with database.connect() as connection:
        for table in ("signing_key", "login_attempt", "rate_bucket"):
            found = connection.execute("SELECT has_table_privilege('aiw_app', %s, 'SELECT')", (f"aiw.{table}",))
            assert found.fetchone() == (False,)
