from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from resources.content.postgres import PostgresChunkIndex, PostgresDocumentStore
from resources.database.postgres import Database
from resources.errors import UnavailableError
from tests.contracts.chunk_index import MODEL, ChunkIndexContract, make_chunks, unit
from tests.contracts.document_store import DocumentStoreContract, make_document

if TYPE_CHECKING:
    from resources.content.store import ChunkIndex, DocumentStore


class TestPostgresDocumentStore(DocumentStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> DocumentStore:
        return PostgresDocumentStore(database)


class TestPostgresChunkIndex(ChunkIndexContract):
    @pytest.fixture
    def index(self, database: Database) -> ChunkIndex:
        return PostgresChunkIndex(database)


def test_a_wrong_tenant_in_a_query_still_meets_the_wall(database: Database, tenant: str) -> None:
    PostgresDocumentStore(database).save(make_document(tenant))
    with database.transaction() as connection:
        connection.execute("SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', 'somebody', true)")
        assert connection.execute("SELECT count(*) FROM aiw.document WHERE tenant = %s", (tenant,)).fetchone() == (0,)


def test_the_index_for_384_dimensions_is_one_that_the_search_can_use(database: Database, tenant: str) -> None:
    index = PostgresChunkIndex(database)
    texts = [f"passage {number}" for number in range(400)]
    index.replace("doc", make_chunks(*texts), unit(*range(400)), model_id=MODEL, title=None, tenant=tenant)
    with database.transaction() as connection:
        connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        plan = connection.execute(
            "EXPLAIN SELECT ordinal FROM aiw.chunk WHERE dimensions = 384 AND tenant = %s AND model_id = %s "
            "ORDER BY embedding::vector(384) <=> %s::vector(384) LIMIT 5",
            (tenant, MODEL, str(unit(1)[0].tolist())),
        ).fetchall()
    assert "chunk_nearest_384" in "\n".join(row[0] for row in plan)


def test_a_database_out_of_reach_is_named() -> None:
    with (
        closing(Database("postgresql://nobody@127.0.0.1:1/none", connect_timeout=0.2)) as nowhere,
        pytest.raises(UnavailableError) as caught,
    ):
        PostgresDocumentStore(nowhere).get("x", tenant="t")
    assert caught.value.dependency == "database"
