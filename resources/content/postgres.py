"""The content slice's stores in PostgreSQL with pgvector.

A passage is kept once a document, under the hash of its text; where it stands is kept apart. A new revision touches the indexes
for what is new in it, and for nothing else. How passages are found is told in `retrieval/postgres.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from psycopg.errors import CheckViolation
from psycopg.rows import dict_row

from resources.content.model import (
    Analysis,
    Chunk,
    Document,
    DocumentStatus,
    ParsedDocument,
    SearchHit,
)
from resources.content.retrieval import postgres as retrieval
from resources.content.retrieval.model import Found, ModelShare, Wanted
from resources.content.retrieval.postgres import EF_SEARCH, FEW, vector_text
from resources.content.shapes import check_model, check_rows, check_same_dimensions, check_vector, nearest_hit
from resources.content.spool import Spooled
from resources.database.postgres import begin_as
from resources.errors import NotFoundError
from resources.tenants.quotas.model import runs_exceeded, storage_exceeded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from resources.content.retrieval.model import Facts
    from resources.database.postgres import Connection, Database

_DOCUMENT = """id, tenant, source, media_type, encode(sha256, 'hex') AS sha256, size_bytes, status, title, language,
    chunk_count, concept_count, rejection_code, rejection_reason, received_at, updated_at"""
_WANTED_AGAIN = """ON CONFLICT (sha256, tenant) DO UPDATE SET stored_at = now()
WHERE blob.stored_at < now() - interval '10 minutes'"""
_PUT_BLOB = f"INSERT INTO aiw.blob (tenant, sha256, content) VALUES (aiw.home_of(%s), %s, %b) {_WANTED_AGAIN}"
# COPY is the one statement whose data need not be in memory first; it does not write to tables with walls between tenants.
_SPOOL = "CREATE TEMPORARY TABLE spooled (content bytea STORAGE EXTERNAL) ON COMMIT DROP"
_COPY_BLOB = "COPY pg_temp.spooled FROM STDIN (FORMAT binary)"
_KEEP_SPOOLED = f"""INSERT INTO aiw.blob (tenant, sha256, content) SELECT aiw.home_of(%s), %s, content FROM pg_temp.spooled
{_WANTED_AGAIN}"""
# Of all tenants: bytes in the common tables are shared. What was stored lately may be of a document whose row is still to come.
_DROP_UNUSED = """DELETE FROM aiw.blob b
WHERE (%(sha256)s::bytea IS NULL OR b.sha256 = %(sha256)s) AND b.stored_at < now() - %(unused)s
    AND NOT EXISTS (SELECT FROM aiw.document d WHERE d.sha256 = b.sha256 AND aiw.home_of(d.tenant) = b.tenant)"""
_UNUSED: Final = timedelta(hours=1)
_COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8) + (1).to_bytes(2, "big")
_COPY_END = b"\xff\xff"
_GET_BLOB = "SELECT content FROM aiw.blob WHERE tenant = aiw.home_of(%s) AND sha256 = %s"
_GET_PIECE = """SELECT substring(content FROM %s FOR %s) FROM aiw.blob
WHERE tenant = aiw.home_of(%s) AND sha256 = %s"""
_PIECE = 8 * 1024 * 1024
_SAVE = """INSERT INTO aiw.document (tenant, id, source, media_type, sha256, size_bytes, status, title, language, chunk_count,
    concept_count, rejection_code, rejection_reason, received_at, updated_at)
VALUES (%(tenant)s, %(id)s, %(source)s::jsonb, %(media_type)s, decode(%(sha256)s, 'hex'), %(size_bytes)s, %(status)s, %(title)s,
    %(language)s, %(chunk_count)s, %(concept_count)s, %(rejection_code)s, %(rejection_reason)s, %(received_at)s, %(updated_at)s)
ON CONFLICT (tenant, id) DO UPDATE SET source = excluded.source, media_type = excluded.media_type, sha256 = excluded.sha256,
    size_bytes = excluded.size_bytes, status = excluded.status, title = excluded.title, language = excluded.language,
    chunk_count = excluded.chunk_count, concept_count = excluded.concept_count, rejection_code = excluded.rejection_code,
    rejection_reason = excluded.rejection_reason, received_at = excluded.received_at, updated_at = excluded.updated_at"""
_GET = f"SELECT {_DOCUMENT} FROM aiw.document WHERE tenant = %s AND id = %s"
_GET_MANY = f"SELECT {_DOCUMENT} FROM aiw.document WHERE tenant = %s AND id = ANY(%s)"
_OWNER = "SELECT tenant FROM aiw.document WHERE id = %s ORDER BY tenant LIMIT 1"
_BY_CONTENT = f"""SELECT {_DOCUMENT} FROM aiw.document
WHERE tenant = %s AND sha256 = decode(%s, 'hex') AND status <> 'rejected' ORDER BY id LIMIT 1"""
_LIST = f"""SELECT {_DOCUMENT} FROM aiw.document
WHERE tenant = %(tenant)s AND (%(after)s::text IS NULL OR id > %(after)s)
    AND (%(status)s::text IS NULL OR status = %(status)s) ORDER BY id LIMIT %(limit)s"""
_COUNTS = "SELECT status, count(*) FROM aiw.document WHERE tenant = %s GROUP BY status"
_SET_STATUS = """UPDATE aiw.document SET status = %(status)s, updated_at = %(now)s, title = coalesce(%(title)s, title),
    language = coalesce(%(language)s, language), chunk_count = coalesce(%(chunk_count)s, chunk_count),
    concept_count = coalesce(%(concept_count)s, concept_count),
    rejection_code = %(rejection_code)s, rejection_reason = %(rejection_reason)s
WHERE tenant = %(tenant)s AND id = %(id)s AND NOT (%(unless_rejected)s AND status = 'rejected')"""
_EXISTS = "SELECT 1 FROM aiw.document WHERE tenant = %s AND id = %s FOR KEY SHARE"
_FORGET = "DELETE FROM aiw.document WHERE tenant = %s AND id = %s RETURNING sha256"
_SAVE_PARSED = """INSERT INTO aiw.parsed_document (tenant, document_id, sha256, parsed)
VALUES (%s, %s, decode(%s, 'hex'), %s::jsonb)
ON CONFLICT (tenant, document_id) DO UPDATE SET sha256 = excluded.sha256, parsed = excluded.parsed"""
_GET_PARSED = (
    """SELECT encode(sha256, 'hex'), parsed::text FROM aiw.parsed_document WHERE tenant = %s AND document_id = %s"""
)
_SAVE_ANALYSIS = """INSERT INTO aiw.document_analysis (tenant, document_id, sha256, analysis)
VALUES (%s, %s, decode(%s, 'hex'), %s::jsonb)
ON CONFLICT (tenant, document_id) DO UPDATE SET sha256 = excluded.sha256, analysis = excluded.analysis"""
_GET_ANALYSES = """SELECT document_id, analysis::text FROM aiw.document_analysis
WHERE tenant = %s AND document_id = ANY (%s)"""
_GET_ANALYSIS = """SELECT encode(sha256, 'hex'), analysis::text FROM aiw.document_analysis
WHERE tenant = %s AND document_id = %s"""

_KNOWN_VECTORS = """SELECT DISTINCT ON (sha256) encode(sha256, 'hex'), embedding::text FROM aiw.chunk
WHERE tenant = %s AND model_id = %s AND sha256 = ANY (%s) ORDER BY sha256"""
_NOTE_MODEL = """INSERT INTO aiw.embedding_model (tenant, model_id, dimensions) VALUES (%s, %s, %s)
ON CONFLICT (tenant, model_id) DO UPDATE SET dimensions = embedding_model.dimensions RETURNING dimensions"""
_MODEL = "SELECT dimensions FROM aiw.embedding_model WHERE tenant = %s AND model_id = %s"
_OTHER_MODEL = """SELECT c.model_id FROM aiw.chunk c
WHERE c.tenant = %(tenant)s AND NOT EXISTS (SELECT 1 FROM aiw.chunk o WHERE o.tenant = %(tenant)s AND o.model_id = %(model)s)
LIMIT 1"""
_MODELS = """SELECT model_id, min(dimensions), count(DISTINCT document_id), count(*) FROM aiw.chunk
WHERE tenant = %s GROUP BY model_id ORDER BY model_id"""
_OUTDATED = """SELECT DISTINCT document_id FROM aiw.chunk
WHERE tenant = %s AND model_id <> %s ORDER BY document_id LIMIT %s"""
_LOCK_DOCUMENT = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_REMOVE_PLACES = "DELETE FROM aiw.chunk_place WHERE tenant = %s AND document_id = %s"
_REMOVE_DOCUMENT = "DELETE FROM aiw.chunk_document WHERE tenant = %s AND document_id = %s"
_REMOVE = "DELETE FROM aiw.chunk WHERE tenant = %s AND document_id = %s"
_REMOVE_OLD = """DELETE FROM aiw.chunk
WHERE tenant = %(tenant)s AND document_id = %(id)s AND (model_id <> %(model)s OR sha256 <> ALL (%(hashes)s))"""
_RENAME = """UPDATE aiw.chunk SET document_title = %(title)s
WHERE tenant = %(tenant)s AND document_id = %(id)s AND document_title IS DISTINCT FROM %(title)s"""
_KEPT = "SELECT encode(sha256, 'hex') FROM aiw.chunk WHERE tenant = %s AND document_id = %s"
_INSERT = """INSERT INTO aiw.chunk (tenant, document_id, model_id, dimensions, document_title, sha256, content, embedding)
SELECT %(tenant)s, %(id)s, %(model)s, %(dimensions)s, %(title)s, c.sha256, c.content, c.embedding::vector
FROM unnest(%(new_hashes)s::bytea[], %(contents)s::text[], %(embeddings)s::text[]) AS c (sha256, content, embedding)"""
_INSERT_PLACES = """INSERT INTO aiw.chunk_place (tenant, document_id, ordinal, start_offset, end_offset, sha256, section)
SELECT %(tenant)s, %(id)s, c.ordinal, c.starts, c.ends, c.sha256, c.section
FROM unnest(%(ordinals)s::int[], %(starts)s::int[], %(ends)s::int[], %(hashes)s::bytea[], %(sections)s::text[])
    AS c (ordinal, starts, ends, sha256, section)"""
_COUNT_CHUNKS = """INSERT INTO aiw.chunk_document (tenant, document_id, chunks) VALUES (%(tenant)s, %(id)s, %(count)s)
ON CONFLICT (tenant, document_id) DO UPDATE SET chunks = excluded.chunks"""
_DESCRIBE = """UPDATE aiw.chunk_document SET media_type = %(media_type)s, language = %(language)s, difficulty = %(difficulty)s,
    quality = %(quality)s, tags = %(tags)s, received_at = %(received_at)s
WHERE tenant = %(tenant)s AND document_id = %(id)s"""
_CHUNKS = """SELECT p.ordinal, c.content, p.start_offset, p.end_offset, p.section, encode(p.sha256, 'hex') FROM aiw.chunk_place p
JOIN aiw.chunk c ON c.tenant = p.tenant AND c.document_id = p.document_id AND c.sha256 = p.sha256
WHERE p.tenant = %(tenant)s AND p.document_id = %(id)s AND (%(model)s::text IS NULL OR c.model_id = %(model)s)
ORDER BY p.ordinal"""
_COUNT = "SELECT count(*) FROM aiw.chunk_place WHERE tenant = %s"
_CENTRE = """SELECT l2_normalize(avg(embedding))::text FROM aiw.chunk
WHERE tenant = %s AND document_id = %s AND model_id = %s"""


class _Tenants:
    """Transactions as the role that sees one tenant's rows and no others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def _transaction(self, tenant: str) -> Iterator[Connection]:
        with self._database.transaction() as connection:
            begin_as(connection, tenant)
            yield connection


class PostgresDocumentStore(_Tenants):
    """A DocumentStore in the tables blob, document, parsed_document and document_analysis."""

    def put_blob(self, content: bytes | Spooled, *, tenant: str) -> str:
        held = content if isinstance(content, Spooled) else Spooled.of(content)
        sha256 = bytes.fromhex(held.sha256)
        with self._transaction(tenant) as connection:
            if held.is_small:
                connection.execute(_PUT_BLOB, (tenant, sha256, held.whole()))
                return held.sha256
            connection.execute(_SPOOL)
            with connection.cursor().copy(_COPY_BLOB) as copy:
                copy.write(_COPY_BEGIN + held.size.to_bytes(4, "big"))
                for piece in held.pieces():
                    copy.write(piece)
                copy.write(_COPY_END)
            connection.execute(_KEEP_SPOOLED, (tenant, sha256))
        return held.sha256

    def get_blob(self, sha256: str, *, tenant: str) -> bytes:
        with self._transaction(tenant) as connection:
            row = connection.cursor(binary=True).execute(_GET_BLOB, (tenant, bytes.fromhex(sha256))).fetchone()
        if row is None:
            raise NotFoundError(f"There are no bytes with the sha256 {sha256!r}.")
        return bytes(row[0])

    def blob_pieces(self, sha256: str, *, tenant: str) -> Iterator[bytes]:
        digest, begin = bytes.fromhex(sha256), 1
        while True:
            with self._transaction(tenant) as connection:
                found = connection.cursor(binary=True).execute(_GET_PIECE, (begin, _PIECE, tenant, digest)).fetchone()
            if found is None:
                raise NotFoundError(f"There are no bytes with the sha256 {sha256!r}.")
            yield bytes(found[0])
            if len(found[0]) < _PIECE:
                return
            begin += _PIECE

    def save(self, document: Document) -> None:
        values = document.model_dump(mode="python", exclude={"source"})
        try:
            with self._transaction(document.tenant) as connection:
                connection.execute(_SAVE, {**values, "source": document.source.model_dump_json()})
        except CheckViolation as error:
            most = int(error.diag.message_detail or 0)
            match error.diag.constraint_name:
                case "storage_quota":
                    raise storage_exceeded(document.tenant, most) from error
                case "runs_quota":
                    raise runs_exceeded(document.tenant, most, now=datetime.now(UTC)) from error
                case _:
                    raise

    def get(self, document_id: str, *, tenant: str) -> Document:
        found = self._documents(_GET, (tenant, document_id), tenant)
        if not found:
            raise _unknown(document_id)
        return found[0]

    def get_many(self, document_ids: Collection[str], *, tenant: str) -> Mapping[str, Document]:
        found = self._documents(_GET_MANY, (tenant, list(document_ids)), tenant)
        return {document.id: document for document in found}

    def owner(self, document_id: str) -> str:
        with self._database.transaction() as connection:
            begin_as(connection, None)
            row = connection.execute(_OWNER, (document_id,)).fetchone()
        if row is None:
            raise _unknown(document_id)
        return str(row[0])

    def find_by_content(self, sha256: str, *, tenant: str) -> Document | None:
        found = self._documents(_BY_CONTENT, (tenant, sha256), tenant)
        return found[0] if found else None

    def list(
        self, *, tenant: str, after: str | None = None, limit: int = 100, status: DocumentStatus | None = None
    ) -> Sequence[Document]:
        return self._documents(_LIST, {"tenant": tenant, "after": after, "limit": limit, "status": status}, tenant)

    def counts(self, *, tenant: str) -> Mapping[str, int]:
        with self._transaction(tenant) as connection:
            return {row[0]: row[1] for row in connection.execute(_COUNTS, (tenant,))}

    def set_status(
        self,
        document_id: str,
        status: DocumentStatus,
        *,
        tenant: str,
        now: datetime,
        title: str | None = None,
        language: str | None = None,
        chunk_count: int | None = None,
        concept_count: int | None = None,
        rejection_code: str | None = None,
        rejection_reason: str | None = None,
        unless_rejected: bool = False,
    ) -> None:
        values = {
            "id": document_id,
            "tenant": tenant,
            "status": status,
            "now": now,
            "title": title,
            "language": language,
            "chunk_count": chunk_count,
            "concept_count": concept_count,
            "rejection_code": rejection_code,
            "rejection_reason": rejection_reason,
            "unless_rejected": unless_rejected,
        }
        with self._transaction(tenant) as connection:
            if connection.execute(_SET_STATUS, values).rowcount:
                return
            if not unless_rejected or connection.execute(_EXISTS, (tenant, document_id)).fetchone() is None:
                raise _unknown(document_id)

    def remove(self, document_id: str, *, tenant: str) -> bool:
        with self._transaction(tenant) as connection:
            row = connection.cursor(binary=True).execute(_FORGET, (tenant, document_id)).fetchone()
        if row is not None:
            self._drop_unused(row[0], _UNUSED)
        return row is not None

    def sweep(self, *, unused: timedelta = _UNUSED) -> int:
        return self._drop_unused(None, unused)

    def _drop_unused(self, sha256: bytes | None, unused: timedelta) -> int:
        with self._database.transaction() as connection:
            begin_as(connection, None)
            return connection.execute(_DROP_UNUSED, {"sha256": sha256, "unused": unused}).rowcount

    def save_parsed(self, document_id: str, sha256: str, parsed: ParsedDocument, *, tenant: str) -> None:
        self._save_result(_SAVE_PARSED, document_id, sha256, parsed.model_dump_json(), tenant)

    def get_parsed(self, document_id: str, *, tenant: str) -> tuple[str, ParsedDocument]:
        with self._transaction(tenant) as connection:
            row = connection.execute(_GET_PARSED, (tenant, document_id)).fetchone()
        if row is None:
            raise NotFoundError(f"The document {document_id!r} was not parsed yet.")
        return row[0], ParsedDocument.model_validate_json(row[1])

    def save_analysis(self, document_id: str, sha256: str, analysis: Analysis, *, tenant: str) -> None:
        self._save_result(_SAVE_ANALYSIS, document_id, sha256, analysis.model_dump_json(), tenant)

    def get_analyses(self, document_ids: Collection[str], *, tenant: str) -> Mapping[str, Analysis]:
        with self._transaction(tenant) as connection:
            rows = connection.execute(_GET_ANALYSES, (tenant, list(document_ids))).fetchall()
        return {row[0]: Analysis.model_validate_json(row[1]) for row in rows}

    def get_analysis(self, document_id: str, *, tenant: str) -> tuple[str, Analysis]:
        with self._transaction(tenant) as connection:
            row = connection.execute(_GET_ANALYSIS, (tenant, document_id)).fetchone()
        if row is None:
            raise NotFoundError(f"The document {document_id!r} was not analysed yet.")
        return row[0], Analysis.model_validate_json(row[1])

    def _save_result(self, query: str, document_id: str, sha256: str, result: str, tenant: str) -> None:
        with self._transaction(tenant) as connection:
            if connection.execute(_EXISTS, (tenant, document_id)).fetchone() is None:
                raise _unknown(document_id)
            connection.execute(query, (tenant, document_id, sha256, result))

    def _documents(self, query: str, parameters: Any, tenant: str) -> Sequence[Document]:
        with self._transaction(tenant) as connection, connection.cursor(row_factory=dict_row) as cursor:
            return [Document.model_validate(row) for row in cursor.execute(query, parameters)]


def _unknown(document_id: str) -> NotFoundError:
    return NotFoundError(f"There is no document {document_id!r}.")


class PostgresChunkIndex(_Tenants):
    """A ChunkIndex in the table chunk, with vectors of pgvector. Up to `few` passages are compared one by one."""

    def __init__(self, database: Database, *, few: int = FEW, ef_search: int = EF_SEARCH) -> None:
        super().__init__(database)
        self._few = few
        self._ef_search = ef_search

    def known_vectors(
        self, hashes: Collection[str], *, model_id: str, tenant: str
    ) -> Mapping[str, NDArray[np.float32]]:
        if not hashes:
            return {}
        wanted = [bytes.fromhex(item) for item in sorted(set(hashes))]
        with self._transaction(tenant) as connection:
            rows = connection.execute(_KNOWN_VECTORS, (tenant, model_id, wanted)).fetchall()
        return {row[0]: _vector_from(row[1]) for row in rows}

    def replace(
        self,
        document_id: str,
        chunks: Sequence[Chunk],
        vectors: NDArray[np.float32],
        *,
        model_id: str,
        title: str | None,
        tenant: str,
    ) -> None:
        dimensions = check_rows(chunks, vectors)
        if not chunks:
            self.remove(document_id, tenant=tenant)
            return
        first = {chunk.sha256: place for place, chunk in reversed(list(enumerate(chunks)))}
        values: dict[str, Any] = {
            "tenant": tenant,
            "id": document_id,
            "model": model_id,
            "dimensions": dimensions,
            "title": title,
            "count": len(first),
            "ordinals": [chunk.ordinal for chunk in chunks],
            "starts": [chunk.start for chunk in chunks],
            "ends": [chunk.end for chunk in chunks],
            "hashes": [bytes.fromhex(chunk.sha256) for chunk in chunks],
            "sections": [chunk.section for chunk in chunks],
        }
        with self._transaction(tenant) as connection:
            connection.execute(_LOCK_DOCUMENT, (f"chunks {tenant} {document_id}",))
            row = connection.execute(_NOTE_MODEL, (tenant, model_id, dimensions)).fetchone()
            check_same_dimensions(model_id, known=row[0] if row else dimensions, given=dimensions)
            connection.execute(_REMOVE_PLACES, (tenant, document_id))
            connection.execute(_REMOVE_OLD, values)
            connection.execute(_RENAME, values)
            kept = {row[0] for row in connection.execute(_KEPT, (tenant, document_id))}
            new = [place for sha256, place in first.items() if sha256 not in kept]
            values |= {
                "new_hashes": [bytes.fromhex(chunks[place].sha256) for place in new],
                "contents": [chunks[place].text for place in new],
                "embeddings": [vector_text(vectors[place]) for place in new],
            }
            connection.execute(_INSERT, values)
            connection.execute(_INSERT_PLACES, values)
            connection.execute(_COUNT_CHUNKS, values)

    def describe(self, document_id: str, facts: Facts, *, tenant: str) -> None:
        values = {**facts.model_dump(), "tags": list(facts.tags), "tenant": tenant, "id": document_id}
        with self._transaction(tenant) as connection:
            connection.execute(_DESCRIBE, values)

    def remove(self, document_id: str, *, tenant: str) -> int:
        with self._transaction(tenant) as connection:
            connection.execute(_LOCK_DOCUMENT, (f"chunks {tenant} {document_id}",))
            connection.execute(_REMOVE, (tenant, document_id))
            connection.execute(_REMOVE_DOCUMENT, (tenant, document_id))
            return connection.execute(_REMOVE_PLACES, (tenant, document_id)).rowcount

    def chunks_of(self, document_id: str, *, tenant: str, model_id: str | None = None) -> Sequence[Chunk]:
        with self._transaction(tenant) as connection:
            rows = connection.execute(_CHUNKS, {"tenant": tenant, "id": document_id, "model": model_id}).fetchall()
        return [
            Chunk(ordinal=row[0], text=row[1], start=row[2], end=row[3], section=row[4], sha256=row[5]) for row in rows
        ]

    def count(self, *, tenant: str) -> int:
        with self._transaction(tenant) as connection:
            row = connection.execute(_COUNT, (tenant,)).fetchone()
        return int(row[0]) if row else 0

    def search(
        self, vector: NDArray[np.float32], *, model_id: str, tenant: str, limit: int = 10
    ) -> Sequence[SearchHit]:
        found = self.find(Wanted(text=None, vector=vector, model_id=model_id, limit=limit), tenant=tenant)
        return [nearest_hit(hit) for hit in found.hits]

    def find(self, wanted: Wanted, *, tenant: str) -> Found:
        dimensions = None if wanted.vector is None else check_vector(wanted.vector)
        with self._database.transaction() as connection:
            found = retrieval.find(connection, wanted, tenant=tenant, few=self._few, ef_search=self._ef_search)
        if dimensions is not None and all(hit.place_by_meaning is None for hit in found.hits):
            self._check_model(wanted.model_id, dimensions, tenant)
        return found

    def _check_model(self, model_id: str, dimensions: int, tenant: str) -> None:
        """Whether nothing is near in meaning because nothing can be compared."""
        with self._transaction(tenant) as connection:
            row = connection.execute(_MODEL, (tenant, model_id)).fetchone()
            check_same_dimensions(model_id, known=row[0] if row else dimensions, given=dimensions)
            other = connection.execute(_OTHER_MODEL, {"tenant": tenant, "model": model_id}).fetchone()
        check_model(model_id, other=other[0] if other else None)

    def centre(self, document_id: str, *, model_id: str, tenant: str) -> NDArray[np.float32] | None:
        with self._transaction(tenant) as connection:
            row = connection.execute(_CENTRE, (tenant, document_id, model_id)).fetchone()
        return _vector_from(row[0]) if row and row[0] is not None else None

    def models(self, *, tenant: str) -> Sequence[ModelShare]:
        with self._transaction(tenant) as connection:
            return [ModelShare(*row) for row in connection.execute(_MODELS, (tenant,))]

    def outdated(self, *, model_id: str, tenant: str, limit: int = 1000) -> Sequence[str]:
        with self._transaction(tenant) as connection:
            return [row[0] for row in connection.execute(_OUTDATED, (tenant, model_id, limit))]


def _vector_from(text: str) -> NDArray[np.float32]:
    return np.array(text[1:-1].split(","), dtype=np.float32)
