from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from resources.content.model import Document, DocumentSource, DocumentStatus, MediaType, document_id, sha256_of
from resources.content.postgres import PostgresDocumentStore
from resources.errors import LimitExceededError
from resources.tenants.model import Limits, Tenant
from resources.tenants.postgres import PostgresAccounts
from resources.tenants.quotas.model import STORAGE
from resources.tenants.quotas.postgres import PostgresQuotas
from tests.contracts.quotas import NOON, QuotaContract

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.database.postgres import Database


@pytest.fixture
def quotas(database: Database) -> PostgresQuotas:
    return PostgresQuotas(database)


@pytest.fixture
def allow(database: Database, tenant: str) -> Callable[[Limits], None]:
    def limit(limits: Limits) -> None:
        PostgresAccounts(database).create_tenant(Tenant(tenant, "A", NOON, limits=limits))

    return limit


class TestPostgresQuotas(QuotaContract):
    pass


def a_document(tenant: str, number: int, size: int) -> Document:
    uri, now = f"file:///{number}", datetime.now(UTC)
    return Document(
        id=document_id(uri, tenant=tenant),
        tenant=tenant,
        source=DocumentSource(uri=uri, name=f"{number}.txt"),
        media_type=MediaType.TEXT,
        sha256=sha256_of(str(number).encode()),
        size_bytes=size,
        status=DocumentStatus.RECEIVED,
        received_at=now,
        updated_at=now,
    )


def test_documents_fit_to_the_byte_whoever_stores_them(
    quotas: PostgresQuotas, database: Database, allow: Callable[[Limits], None], tenant: str
) -> None:
    allow(Limits(storage_bytes=100))
    documents = PostgresDocumentStore(database)

    def save(number: int) -> str | None:
        try:
            documents.save(a_document(tenant, number, 25))
        except LimitExceededError as error:
            return error.code
        return None

    with ThreadPoolExecutor(6) as pool:
        assert sorted(map(str, pool.map(save, range(12)))) == ["None"] * 4 + [STORAGE] * 8
    found = quotas.consumption(tenant, now=NOON)
    assert (found.documents, found.storage_bytes) == (4, 100)
    assert len(documents.list(tenant=tenant)) == 4


def test_a_document_that_shrinks_makes_room(
    quotas: PostgresQuotas, database: Database, allow: Callable[[Limits], None], tenant: str
) -> None:
    allow(Limits(storage_bytes=100))
    documents = PostgresDocumentStore(database)
    documents.save(a_document(tenant, 1, 90))
    with pytest.raises(LimitExceededError):
        documents.save(a_document(tenant, 2, 20))
    documents.save(a_document(tenant, 1, 80))
    documents.save(a_document(tenant, 2, 20))
    assert quotas.consumption(tenant, now=NOON).storage_bytes == 100


def test_who_lets_runs_begin_is_told_the_quota(
    database: Database, allow: Callable[[Limits], None], tenant: str
) -> None:
    allow(Limits(concurrent_runs=3))
    with database.connect() as connection:
        assert connection.execute("SELECT aiw.concurrent_runs(%s)", (tenant,)).fetchone() == (3,)
        assert connection.execute("SELECT aiw.concurrent_runs('nobody')").fetchone() == (None,)
        found = connection.execute("SELECT most FROM aiw.all_concurrent_runs() WHERE tenant = %s", (tenant,))
        assert found.fetchall() == [(3,)]
