from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from resources.content.model import MediaType
from resources.content.postgres import PostgresChunkIndex, PostgresDocumentStore
from resources.content.retrieval.model import POOL, Facts, Filters, Wanted
from resources.content.retrieval.postgres import statement
from resources.database.postgres import Database, begin_as
from resources.errors import NotFoundError, UnavailableError
from tests.contracts.chunk_index import MODEL, ChunkIndexContract, make_chunks, unit
from tests.contracts.document_store import DocumentStoreContract, make_document

if TYPE_CHECKING:
    from resources.content.model import Document
    from resources.content.store import ChunkIndex, DocumentStore


class TestPostgresDocumentStore(DocumentStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> DocumentStore:
        return PostgresDocumentStore(database)


def test_bytes_come_in_pieces_whatever_their_number(
    database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.content.postgres._PIECE", 100)
    store = PostgresDocumentStore(database)
    for size in (0, 99, 100, 250):
        content = (tenant.encode() * 100)[:size]
        sha256 = store.put_blob(content, tenant=tenant)
        assert b"".join(store.blob_pieces(sha256, tenant=tenant)) == content


@pytest.fixture
def stored_long_ago(database: Database, tenant: str) -> tuple[PostgresDocumentStore, Document]:
    store = PostgresDocumentStore(database)
    sha256 = store.put_blob(tenant.encode(), tenant=tenant)
    document = make_document(tenant).model_copy(update={"sha256": sha256})
    store.save(document)
    with database.transaction() as connection:
        begin_as(connection, None)
        connection.execute(
            "UPDATE aiw.blob SET stored_at = now() - interval '2 hours' WHERE tenant = '' AND sha256 = %s",
            (bytes.fromhex(sha256),),
        )
    return store, document


def test_the_bytes_of_a_removed_document_go_with_it(
    stored_long_ago: tuple[PostgresDocumentStore, Document], tenant: str
) -> None:
    store, document = stored_long_ago
    assert store.remove(document.id, tenant=tenant)
    with pytest.raises(NotFoundError):
        store.get_blob(document.sha256, tenant=tenant)


def test_bytes_that_are_on_their_way_in_again_outlive_the_document_that_is_removed(
    stored_long_ago: tuple[PostgresDocumentStore, Document], tenant: str
) -> None:
    store, document = stored_long_ago
    store.put_blob(tenant.encode(), tenant=f"{tenant}-other")  # its document is saved after the removal
    assert store.remove(document.id, tenant=tenant)
    store.sweep()
    assert store.get_blob(document.sha256, tenant=f"{tenant}-other") == tenant.encode()


class TestPostgresChunkIndex(ChunkIndexContract):
    @pytest.fixture
    def index(self, database: Database) -> ChunkIndex:
        return PostgresChunkIndex(database)


def test_a_wrong_tenant_in_a_query_still_meets_the_wall(database: Database, tenant: str) -> None:
    PostgresDocumentStore(database).save(make_document(tenant))
    with database.transaction() as connection:
        connection.execute("SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', 'somebody', true)")
        assert connection.execute("SELECT count(*) FROM aiw.document WHERE tenant = %s", (tenant,)).fetchone() == (0,)


CROWD = "crowd"


@pytest.fixture(scope="module")
def crowded(own_database: Database) -> Database:
    """More passages than are compared one by one, in a database of their own: its plans depend on nothing else."""
    _fill(PostgresChunkIndex(own_database), CROWD)
    with own_database.transaction() as connection:
        connection.execute("ANALYZE aiw.chunk, aiw.chunk_document")
    return own_database


def _fill(index: PostgresChunkIndex, tenant: str) -> None:
    texts = [f"passage {number} about {'orchids' if number % 130 == 0 else 'roses'}" for number in range(400)]
    for start in range(0, len(texts), 100):
        part = texts[start : start + 100]
        vectors = unit(*range(start, start + len(part)), dimensions=384)
        index.replace(f"doc-{start}", make_chunks(*part), vectors, model_id=MODEL, title=None, tenant=tenant)
        tags = ("rare",) if start == 200 else ()
        index.describe(f"doc-{start}", Facts(media_type="text/plain", tags=tags), tenant=tenant)


def plan_of(database: Database, wanted: Wanted, *, without: str) -> str:
    """How a search would be done if `without` it there were no other way than by an index."""
    values = {
        "tenant": CROWD,
        "model": MODEL,
        "text": wanted.text,
        "vector": None if wanted.vector is None else str(wanted.vector.tolist()),
        "dimensions": 384,
        "lists": 1,
        "few": 100,
        "fusion": 60,
        "limit": 10,
        "offset": 0,
    }
    with database.transaction() as connection:
        connection.execute("SELECT set_config('role', 'aiw_system', true)")
        connection.execute(f"SET LOCAL enable_seqscan = off; SET LOCAL {without} = off".encode())
        rows = connection.execute(f"EXPLAIN {statement(wanted, 384)}".encode(), values).fetchall()
    return "\n".join(row[0] for row in rows)


def test_a_search_by_meaning_can_use_the_index_of_vectors(crowded: Database) -> None:
    plan = plan_of(crowded, Wanted(text=None, vector=unit(1)[0], model_id=MODEL), without="enable_sort")
    assert "chunk_nearest_384" in plan


def test_a_search_by_words_can_use_the_index_of_words(crowded: Database) -> None:
    plan = plan_of(crowded, Wanted(text="orchids", vector=None, model_id=MODEL), without="enable_indexscan")
    assert "chunk_by_words" in plan


def test_the_nearest_of_many_are_found_through_the_index(crowded: Database) -> None:
    index = PostgresChunkIndex(crowded, few=50)
    for number in (3, 177, 301):
        found = index.find(Wanted(text=None, vector=unit(number)[0], model_id=MODEL), tenant=CROWD)
        assert found.hits[0].text.startswith(f"passage {number} ")
        assert found.total == POOL


def test_a_filter_among_many_leaves_the_nearest_that_pass(crowded: Database) -> None:
    index = PostgresChunkIndex(crowded, few=50)
    everything = Filters(types=(MediaType.TEXT,))
    for filters, number in ((Filters(tags=("rare",)), 201), (everything, 5)):
        wanted = Wanted(text=None, vector=unit(number)[0], model_id=MODEL, filters=filters)
        found = index.find(wanted, tenant=CROWD)
        assert found.hits[0].text.startswith(f"passage {number} ")
        assert len(found.hits) == 10


@pytest.mark.parametrize("few", [50, 200])
def test_common_words_are_found_among_what_passes_a_filter(crowded: Database, few: int) -> None:
    wanted = Wanted(text="roses", vector=None, model_id=MODEL, filters=Filters(tags=("rare",)), limit=100)
    found = PostgresChunkIndex(crowded, few=few).find(wanted, tenant=CROWD)
    assert {hit.document_id for hit in found.hits} == {"doc-200"}
    assert found.total == 99  # one is about orchids


def test_rare_words_are_found_among_many_common_ones(crowded: Database) -> None:
    wanted = Wanted(text="which passages are about roses and orchids?", vector=None, model_id=MODEL, limit=100)
    found = PostgresChunkIndex(crowded, few=50).find(wanted, tenant=CROWD)
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
