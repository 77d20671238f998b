"""A tenant that lives apart: its rows are in its schema and nowhere else, behind the same wall, and go with it."""

from __future__ import annotations

import hashlib
import uuid
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from resources.content.model import sha256_of
from resources.content.postgres import PostgresChunkIndex, PostgresDocumentStore
from resources.content.retrieval.model import Wanted
from resources.database.migrations import load, migrate
from resources.database.postgres import Database
from resources.errors import ConflictError, NotFoundError
from resources.tenants.model import Tenant
from resources.tenants.postgres import PostgresAccounts
from resources.tenants.schemas.postgres import PostgresSchemas
from tests.contracts.chunk_index import MODEL, make_chunks, unit
from tests.contracts.document_store import PARSED, make_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.content.model import Document
    from resources.database.postgres import Connection

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BYTES = b"bytes that two tenants have"
STORED = {"blob", "document", "parsed_document", "chunk", "chunk_place", "chunk_document", "embedding_model"}


@pytest.fixture(scope="module")
def schemas(database: Database) -> PostgresSchemas:
    return PostgresSchemas(database)


@pytest.fixture(scope="module")
def apart(database: Database, schemas: PostgresSchemas) -> Iterator[str]:
    """A tenant with a document, in a schema of its own."""
    tenant = f"apart-{uuid.uuid4().hex[:12]}"
    schemas.make(tenant)
    PostgresAccounts(database).create_tenant(Tenant(tenant, "Apart", NOW, own_schema=True))
    fill(database, tenant)
    yield tenant
    schemas.drop(tenant)


def fill(database: Database, tenant: str) -> Document:
    documents, index = PostgresDocumentStore(database), PostgresChunkIndex(database)
    document = make_document(tenant, content=BYTES)
    documents.put_blob(BYTES, tenant=tenant)
    documents.save(document)
    documents.save_parsed(document.id, document.sha256, PARSED, tenant=tenant)
    index.replace(document.id, make_chunks("roses", "orchids"), unit(0, 1), model_id=MODEL, title=None, tenant=tenant)
    return document


def places(connection: Connection, tenant: str) -> dict[str, set[str]]:
    """Which tables hold rows of the tenant, by schema."""
    tables = connection.execute("SELECT name FROM aiw.partitioned_by_tenant").fetchall()
    found: dict[str, set[str]] = {}
    for (name,) in tables:
        query = f"SELECT DISTINCT tableoid::regclass::text FROM aiw.{name} WHERE tenant = %s"
        for (place,) in connection.execute(query.encode(), (tenant,)):
            found.setdefault(place.partition(".")[0] if "." in place else "aiw", set()).add(name)
    return found


def test_its_rows_are_in_its_schema_and_nowhere_else(database: Database, apart: str) -> None:
    with database.connect() as connection:
        assert places(connection, apart) == {f'"tenant_{apart}"': STORED}


def test_the_others_rows_are_not(database: Database, apart: str, tenant: str) -> None:
    fill(database, tenant)
    with database.connect() as connection:
        assert places(connection, tenant) == {"aiw": STORED - {"blob"}}  # the bytes are everybody's
        assert connection.execute(
            f'SELECT count(*) FROM "tenant_{apart}".document WHERE tenant <> %s'.encode(), (apart,)
        ).fetchone() == (0,)


def test_it_is_found_by_the_same_statements(database: Database, apart: str) -> None:
    documents, index = PostgresDocumentStore(database), PostgresChunkIndex(database)
    [document] = documents.list(tenant=apart)
    assert documents.get_blob(document.sha256, tenant=apart) == BYTES
    found = index.find(Wanted("orchids", unit(1)[0], MODEL), tenant=apart)
    assert found.hits[0].text == "orchids"


def test_a_tenant_among_the_others_does_not_get_its_bytes(database: Database, apart: str, tenant: str) -> None:
    secret = apart.encode()
    documents = PostgresDocumentStore(database)
    documents.put_blob(secret, tenant=apart)
    with pytest.raises(NotFoundError):
        documents.get_blob(sha256_of(secret), tenant=tenant)


def test_the_wall_holds_where_its_tables_are_read_directly(database: Database, apart: str, tenant: str) -> None:
    counts = {}
    for name in (apart, tenant):
        for table in sorted(STORED):
            with database.transaction() as connection:
                connection.execute(
                    "SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)", (name,)
                )
                row = connection.execute(f'SELECT count(*) FROM "tenant_{apart}".{table}'.encode()).fetchone()
                assert row is not None
                counts[name, table] = row[0] > 0
    assert counts == {(name, table): name == apart for name in (apart, tenant) for table in STORED}


def test_every_part_has_the_wall_the_keys_and_the_indexes_of_the_whole(database: Database, apart: str) -> None:
    with database.connect() as connection:
        parts = connection.execute(
            """SELECT p.name, p."table"::oid, format('%%I.%%I', 'tenant_' || %s, p.name)::regclass::oid, p.common::oid
            FROM aiw.partitioned_by_tenant p""",
            (apart,),
        ).fetchall()
        assert len(parts) == 12
        for name, whole, own, common in parts:
            assert wall(connection, own) == wall(connection, whole) == wall(connection, common), name
            assert indexes(connection, own) == indexes(connection, common), name
            assert keys(connection, own) == keys(connection, common), name


def wall(connection: Connection, table: int) -> tuple[object, ...]:
    forced = connection.execute(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s", (table,)
    ).fetchone()
    policies = connection.execute(
        """SELECT polname, polcmd, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
        FROM pg_policy WHERE polrelid = %s ORDER BY polname""",
        (table,),
    ).fetchall()
    grants = connection.execute(
        """SELECT a.grantee::regrole::text, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = %s AND a.grantee <> c.relowner ORDER BY 1, 2""",
        (table,),
    ).fetchall()
    triggers = connection.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal ORDER BY tgname", (table,)
    ).fetchall()
    assert policies
    return forced, policies, grants, triggers


def indexes(connection: Connection, table: int) -> list[str]:
    """What follows the name of the table in their definitions."""
    rows = connection.execute("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s", (table,))
    return sorted(definition.split(" USING ", 1)[1] for (definition,) in rows)


def keys(connection: Connection, table: int) -> list[tuple[str, list[str]]]:
    """Foreign keys: the columns, and the name of the table that they lead to."""
    rows = connection.execute(
        """SELECT r.relname, k.conkey::text FROM pg_constraint k JOIN pg_class r ON r.oid = k.confrelid
        WHERE k.conrelid = %s AND k.contype = 'f'""",
        (table,),
    )
    return sorted((name.removesuffix("_shared"), columns) for name, columns in rows)


def test_when_it_goes_all_goes_and_nobody_else_loses_anything(
    database: Database, schemas: PostgresSchemas, tenant: str
) -> None:
    going = f"{tenant}-x"
    schemas.make(going)
    PostgresAccounts(database).create_tenant(Tenant(going, "Going", NOW, own_schema=True))
    fill(database, going)
    kept = fill(database, tenant)
    schemas.drop(going)
    documents = PostgresDocumentStore(database)
    with database.connect() as connection:
        assert places(connection, going) == {}
        assert places(connection, tenant) == {"aiw": STORED - {"blob"}}
    assert documents.get_blob(kept.sha256, tenant=tenant) == BYTES
    with pytest.raises(NotFoundError):  # the foreign key is still there
        documents.save_parsed("unknown", kept.sha256, PARSED, tenant=tenant)
    schemas.drop(going)


def test_who_has_content_among_the_others_stays_there(
    database: Database, schemas: PostgresSchemas, tenant: str
) -> None:
    fill(database, tenant)
    with pytest.raises(ConflictError) as refused:
        schemas.make(tenant)
    assert refused.value.code == "tenant_has_rows"
    with database.connect() as connection:
        assert places(connection, tenant) == {"aiw": STORED - {"blob"}}
        assert connection.execute("SELECT to_regnamespace(%s)", (f'"tenant_{tenant}"',)).fetchone() == (None,)
    fill(database, tenant)


def test_what_was_interrupted_is_finished(database: Database, schemas: PostgresSchemas, tenant: str) -> None:
    with database.connect() as connection:
        connection.execute("SELECT aiw.make_schema(%s)", (tenant,))
        connection.execute("ALTER TABLE aiw.chunk_shared ADD CONSTRAINT apart CHECK (tenant <> 'x') NOT VALID")
    schemas.make(tenant)
    PostgresAccounts(database).create_tenant(Tenant(tenant, "Apart", NOW, own_schema=True))
    fill(database, tenant)
    with database.connect() as connection:
        assert places(connection, tenant) == {f'"tenant_{tenant}"': STORED}
    schemas.drop(tenant)


def test_a_database_with_content_is_migrated_without_copying_it(empty_database_url: str) -> None:
    migrations = load()
    with closing(Database(empty_database_url)) as database:
        migrate(database, migrations=[one for one in migrations if one.version < 130])
        digest = hashlib.sha256(BYTES).digest()
        with database.connect() as connection:
            connection.execute("INSERT INTO aiw.blob (sha256, content) VALUES (%s, %s)", (digest, BYTES))
            connection.execute(
                """INSERT INTO aiw.document (tenant, id, source, media_type, sha256, size_bytes, status, received_at, updated_at)
                VALUES ('old', 'd', '{"uri": "file:///d", "name": "d"}', 'text/plain', %s, 9, 'received', now(), now())""",
                (digest,),
            )
            before = connection.execute("SELECT pg_relation_filenode('aiw.document')").fetchone()
        migrate(database)
        documents = PostgresDocumentStore(database)
        assert documents.get_blob(documents.get("d", tenant="old").sha256, tenant="old") == BYTES
        with database.connect() as connection:
            assert connection.execute("SELECT pg_relation_filenode('aiw.document_shared')").fetchone() == before
            assert connection.execute("SELECT bytes FROM aiw.tenant_storage WHERE tenant = 'old'").fetchone() == (9,)
