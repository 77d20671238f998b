from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from resources.content.model import MediaType
from resources.content.postgres import PostgresChunkIndex, PostgresDocumentStore
from resources.content.retrieval.model import POOL, Facts, Filters, Wanted
from resources.content.retrieval.postgres import statement
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


@pytest.fixture(scope="module")
def crowded(database: Database) -> str:
    """A tenant with more passages than are compared one by one."""
    tenant = f"crowd-{uuid.uuid4().hex[:12]}"
    index = PostgresChunkIndex(database)
    texts = [f"passage {number} about {'orchids' if number % 130 == 0 else 'roses'}" for number in range(400)]
    for start in range(0, len(texts), 100):
        part = texts[start : start + 100]
        vectors = unit(*range(start, start + len(part)), dimensions=384)
        index.replace(f"doc-{start}", make_chunks(*part), vectors, model_id=MODEL, title=None, tenant=tenant)
        tags = ("rare",) if start == 200 else ()
        index.describe(f"doc-{start}", Facts(media_type="text/plain", tags=tags), tenant=tenant)
    return tenant


def plan_of(database: Database, wanted: Wanted, tenant: str) -> str:
    values = {
        "tenant": tenant,
        "model": MODEL,
        "text": wanted.text,
        "vector": str(unit(1)[0].tolist()),
        "dimensions": 384,
    }
    values |= {
        "lists": 2,
        "pool": 100,
        "few": 100,
        "ranked": 2000,
        "filled": 400,
        "fusion": 60,
        "limit": 10,
        "offset": 0,
    }
    with database.transaction() as connection:
        connection.execute("SELECT set_config('role', 'aiw_system', true)")
        connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        rows = connection.execute(f"EXPLAIN {statement(wanted, 384)}".encode(), values).fetchall()
    return "\n".join(row[0] for row in rows)


def test_a_search_can_use_the_index_of_vectors_and_that_of_words(database: Database, crowded: str) -> None:
    plan = plan_of(database, Wanted(text="orchids", vector=unit(1)[0], model_id=MODEL), crowded)
    assert "chunk_nearest_384" in plan
    assert "chunk_by_words" in plan


def test_the_nearest_of_many_are_found_through_the_index(database: Database, crowded: str) -> None:
    index = PostgresChunkIndex(database, few=50)
    for number in (3, 177, 301):
        found = index.find(Wanted(text=None, vector=unit(number)[0], model_id=MODEL), tenant=crowded)
        assert found.hits[0].text.startswith(f"passage {number} ")
        assert found.total == POOL


def test_a_filter_among_many_leaves_the_nearest_that_pass(database: Database, crowded: str) -> None:
    index = PostgresChunkIndex(database, few=50)
    everything = Filters(types=(MediaType.TEXT,))
    for filters, number in ((Filters(tags=("rare",)), 201), (everything, 5)):
        wanted = Wanted(text=None, vector=unit(number)[0], model_id=MODEL, filters=filters)
        found = index.find(wanted, tenant=crowded)
        assert found.hits[0].text.startswith(f"passage {number} ")
        assert len(found.hits) == 10


def test_rare_words_are_found_among_many_common_ones(database: Database, crowded: str) -> None:
    with database.transaction() as connection:
        connection.execute("ANALYZE aiw.chunk")
    wanted = Wanted(text="which passages are about roses and orchids?", vector=None, model_id=MODEL, limit=100)
    found = PostgresChunkIndex(database, few=50).find(wanted, tenant=crowded)
    assert ["orchids" in hit.text for hit in found.hits[:5]] == [True, True, True, True, False]


def test_an_unchanged_passage_is_not_written_again(database: Database, tenant: str) -> None:
    index = PostgresChunkIndex(database)

    def rows() -> dict[str, str]:
        with database.transaction(tenant=tenant) as connection:
            found = connection.execute("SELECT content, xmin::text FROM aiw.chunk WHERE tenant = %s", (tenant,))
            return dict(found.fetchall())

    index.replace("doc", make_chunks("one", "two"), unit(1, 2), model_id=MODEL, title="T", tenant=tenant)
    before = rows()
    index.replace("doc", make_chunks("new", "one", "two"), unit(3, 1, 2), model_id=MODEL, title="T", tenant=tenant)
    after = rows()
    assert {text: after[text] for text in before} == before
    assert [item.text for item in index.chunks_of("doc", tenant=tenant)] == ["new", "one", "two"]


def test_a_database_out_of_reach_is_named() -> None:
    with (
        closing(Database("postgresql://nobody@127.0.0.1:1/none", connect_timeout=0.2)) as nowhere,
        pytest.raises(UnavailableError) as caught,
    ):
        PostgresDocumentStore(nowhere).get("x", tenant="t")
    assert caught.value.dependency == "database"
