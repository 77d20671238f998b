"""The search of passages in PostgreSQL: one statement, whatever is asked for.

By words: a GIN index gives the passages that hold the essential words of the question (`aiw.asked_words`, which bounds how many
that are); they are ranked by the rarity of the words (idf) and how often and where each stands (`ts_rank`, which saturates).
By meaning: an HNSW index over half-precision vectors. A filter is applied while the index is scanned, and the scan goes on until
enough passed it (`hnsw.iterative_scan`, pgvector 0.8). The two lists are fused by rank.

Where few passages pass a filter at all, these are read by their documents, and compared and ranked one by one: that is exact, and
faster than to look through what does not pass.

Row-level security keeps PostgreSQL from using an index for `@@`, as that operator is not leakproof. The statement runs as
aiw_system therefore, and says the tenant for each table it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

from resources.content.retrieval.model import FUSION, POOL, Facts, Found, FoundChunk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.content.retrieval.model import Filters, Wanted
    from resources.database.postgres import Connection

FEW: Final = 2000
"""As many passages are compared one by one."""
EF_SEARCH: Final = 120
_MAX_SCANNED: Final = 40_000
_MOST_RANKED: Final = 2000
_MOST_FILLED: Final = 400
_MOST_READ: Final = 2000
"""Of the passages that have common words alone, so many are looked at for those that pass a filter."""

_PREPARE = """SELECT set_config('role', 'aiw_system', true), set_config('aiw.tenant', %(tenant)s, true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', %(ef)s, true),
    set_config('hnsw.max_scan_tuples', %(scanned)s, true), set_config('jit', 'off', true),
    set_config('plan_cache_mode', 'force_generic_plan', true)"""

_CONDITIONS: Final = {
    "types": "d.media_type = ANY (%(types)s)",
    "languages": "d.language = ANY (%(languages)s)",
    "difficulties": "d.difficulty = ANY (%(difficulties)s)",
    "tags": "d.tags @> %(tags)s",
    "min_quality": "d.quality >= %(min_quality)s",
    "since": "d.received_at >= %(since)s",
    "until": "d.received_at < %(until)s",
    "documents": "d.document_id = ANY (%(documents)s)",
    "without": "d.document_id <> ALL (%(without)s)",
}
_CHOSEN = """chosen AS MATERIALIZED (
    SELECT d.document_id, d.chunks FROM aiw.chunk_document d WHERE d.tenant = %(tenant)s{conditions}
)"""
_ALL_FEW = """few AS MATERIALIZED (SELECT coalesce(sum(chunks), 0) <= %(few)s AS few FROM (
    SELECT d.chunks FROM aiw.chunk_document d WHERE d.tenant = %(tenant)s LIMIT %(few)s + 1) AS d)"""
_CHOSEN_FEW = "few AS MATERIALIZED (SELECT coalesce(sum(chunks), 0) <= %(few)s AS few FROM chosen)"
_NEAREST = """nearest AS MATERIALIZED (
    (SELECT c.document_id, c.sha256, c.embedding::{kind} <=> %(vector)s::{kind} AS distance FROM aiw.chunk c
        WHERE NOT (SELECT few FROM few) AND c.dimensions = {dimensions} AND c.tenant = %(tenant)s AND c.model_id = %(model)s
            {narrowed}
        ORDER BY c.embedding::{kind} <=> %(vector)s::{kind} LIMIT {pool})
    UNION ALL
    (SELECT c.document_id, c.sha256, c.embedding <=> %(vector)s::vector AS distance FROM aiw.chunk c
        WHERE (SELECT few FROM few) AND c.dimensions = {dimensions} AND c.tenant = %(tenant)s AND c.model_id = %(model)s
            {among}
        ORDER BY c.embedding <=> %(vector)s::vector LIMIT {pool})
), by_meaning AS (
    SELECT document_id, sha256, row_number() OVER (ORDER BY distance, document_id, sha256) AS place FROM nearest
)"""
_NO_MEANING = (
    'by_meaning AS (SELECT NULL::text COLLATE "C" AS document_id, NULL::bytea AS sha256, 0 AS place WHERE false)'
)
_MATCHING = """asked AS MATERIALIZED (SELECT a.essential, a.others, a.terms, a.weights FROM aiw.asked_words(%(text)s) a),
matching AS MATERIALIZED (
    (SELECT c.document_id, c.sha256, c.words || ''::tsvector AS words FROM aiw.chunk c
        WHERE {many}c.words @@ (SELECT essential FROM asked) AND c.tenant = %(tenant)s {narrowed} LIMIT {ranked})
    UNION ALL
    (SELECT c.document_id, c.sha256, c.words || ''::tsvector AS words FROM (
        SELECT c.document_id, c.sha256, c.words FROM aiw.chunk c
        WHERE {many}c.words @@ (SELECT others FROM asked) AND (c.words @@ (SELECT essential FROM asked)) IS NOT TRUE
            AND c.tenant = %(tenant)s LIMIT {read}) AS c
        WHERE true {narrowed} LIMIT {filled}){of_few}
), by_words AS (
    SELECT document_id, sha256, row_number() OVER (ORDER BY weight DESC, document_id, sha256) AS place FROM (
        SELECT m.document_id, m.sha256, (
            SELECT sum(w.weight * ts_rank(m.words, w.term)) FROM unnest(a.terms, a.weights) AS w (term, weight)
        ) AS weight
        FROM matching m, asked a ORDER BY weight DESC, m.document_id, m.sha256 LIMIT {pool}) AS ranked
)"""
_OF_FEW = """
    UNION ALL
    (SELECT c.document_id, c.sha256, c.words || ''::tsvector AS words FROM aiw.chunk c
        WHERE (SELECT few FROM few) AND c.tenant = %(tenant)s {among}
            AND c.words @@ (SELECT string_agg(t.term::text, ' | ')::tsquery FROM asked a, unnest(a.terms) AS t (term)))"""
_NO_WORDS = 'by_words AS (SELECT NULL::text COLLATE "C" AS document_id, NULL::bytea AS sha256, 0 AS place WHERE false)'
_FUSED = """fused AS (
    SELECT document_id, sha256, m.place AS place_by_meaning, w.place AS place_by_words,
        coalesce(1.0::float8 / (%(fusion)s + m.place), 0) + coalesce(1.0::float8 / (%(fusion)s + w.place), 0) AS score
    FROM by_meaning m FULL JOIN by_words w USING (document_id, sha256)
), placed AS MATERIALIZED (
    SELECT f.*, row_number() OVER (ORDER BY f.score DESC, f.document_id, f.sha256) AS place, count(*) OVER () AS total
    FROM fused f
), known AS MATERIALIZED (
    SELECT d.document_id, d.media_type, d.language, d.difficulty, d.quality, d.tags, d.received_at FROM aiw.chunk_document d
    WHERE d.tenant = %(tenant)s AND d.document_id IN (SELECT p.document_id FROM placed p)
), facets AS MATERIALIZED (
    SELECT jsonb_object_agg(t.facet, t.counts) AS facets FROM (
        SELECT v.facet, jsonb_object_agg(v.value, v.count) AS counts FROM (
            SELECT x.facet, x.value, count(*) AS count FROM placed p JOIN known k USING (document_id), LATERAL (
                VALUES ('type', k.media_type), ('language', k.language), ('difficulty', k.difficulty)
                UNION ALL SELECT 'tags', tag FROM unnest(k.tags) AS tag) AS x (facet, value)
            WHERE x.value IS NOT NULL GROUP BY x.facet, x.value) AS v
        GROUP BY v.facet) AS t
)
SELECT p.document_id, c.document_title, at.ordinal, c.content AS text, at.section, at.start_offset AS start,
    at.end_offset AS end, p.score * (%(fusion)s + 1) / %(lists)s AS score, p.place_by_meaning, p.place_by_words,
    CASE WHEN c.model_id = %(model)s AND c.dimensions = %(dimensions)s THEN 1 - (c.embedding <=> %(vector)s::vector) END
        AS similarity,
    p.total, f.facets, k.media_type, k.language, k.difficulty, k.quality, k.tags, k.received_at
FROM placed p
JOIN aiw.chunk c ON c.tenant = %(tenant)s AND c.document_id = p.document_id AND c.sha256 = p.sha256
JOIN LATERAL (
    SELECT s.ordinal, s.start_offset, s.end_offset, s.section FROM aiw.chunk_place s
    WHERE s.tenant = %(tenant)s AND s.document_id = p.document_id AND s.sha256 = p.sha256 ORDER BY s.ordinal LIMIT 1
) AS at ON true
LEFT JOIN known k ON k.document_id = p.document_id
CROSS JOIN facets f
WHERE p.place > %(offset)s AND p.place <= %(offset)s + %(limit)s
ORDER BY p.place"""
_NARROWED = "AND (c.document_id IN (SELECT document_id FROM chosen)) IS TRUE"
_AMONG = "AND c.document_id = ANY (ARRAY(SELECT document_id FROM chosen))"
_FACTS: Final = tuple(Facts.model_fields)
_FOUND: Final = tuple(name for name in FoundChunk.model_fields if name != "facts")
_INDEXED: Final = frozenset({384})


def find(connection: Connection, wanted: Wanted, *, tenant: str, few: int = FEW, ef_search: int = EF_SEARCH) -> Found:
    """The passages, within a transaction that does nothing else."""
    dimensions = 0 if wanted.vector is None else len(wanted.vector)
    values: dict[str, Any] = {
        **_given(wanted.filters),
        "tenant": tenant,
        "text": wanted.text,
        "vector": None if wanted.vector is None else vector_text(wanted.vector),
        "dimensions": dimensions,
        "model": wanted.model_id,
        "lists": (wanted.text is not None) + (wanted.vector is not None),
        "few": few,
        "fusion": FUSION,
        "limit": wanted.limit,
        "offset": wanted.offset,
    }
    connection.execute(_PREPARE, {"tenant": tenant, "ef": str(ef_search), "scanned": str(_MAX_SCANNED)})
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement(wanted, dimensions).encode(), values, prepare=True).fetchall()
    if not rows:
        return Found()
    total, facets = rows[0]["total"], rows[0]["facets"] or {}
    return Found(tuple(map(_hit, rows)), total, facets)


def statement(wanted: Wanted, dimensions: int) -> str:
    """The SQL for what is wanted: only the parts that it needs, so that the planner sees what there is to plan.

    It is planned once a connection, as planning takes longer than searching. Limits that decide on the plan are written out.
    """
    parts = []
    narrowed = among = many = of_few = ""
    if not wanted.filters.empty:
        conditions = "".join(f" AND {_CONDITIONS[name]}" for name in _given(wanted.filters))
        parts += [_CHOSEN.format(conditions=conditions), _CHOSEN_FEW]
        narrowed, among, many = _NARROWED, _AMONG, "NOT (SELECT few FROM few) AND "
        of_few = _OF_FEW.format(among=among)
    elif wanted.vector is not None:
        parts.append(_ALL_FEW)
    if wanted.vector is not None:
        kind = f"{'halfvec' if dimensions in _INDEXED else 'vector'}({dimensions})"
        parts.append(
            _NEAREST.format(kind=kind, dimensions=dimensions, narrowed=narrowed, among=among, pool=POOL),
        )
    else:
        parts.append(_NO_MEANING)
    if wanted.text is not None:
        parts.append(
            _MATCHING.format(
                narrowed=narrowed,
                many=many,
                of_few=of_few,
                pool=POOL,
                ranked=_MOST_RANKED,
                filled=_MOST_FILLED,
                read=_MOST_READ,
            )
        )
    else:
        parts.append(_NO_WORDS)
    parts.append(_FUSED)
    return "WITH " + ", ".join(parts)


def vector_text(vector: Any) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def _given(filters: Filters) -> Mapping[str, Any]:
    """The filters that are set, as values that can be bound."""
    values = filters.model_dump(mode="python", exclude_defaults=True)
    return {name: list(map(str, value)) if isinstance(value, tuple) else value for name, value in values.items()}


def _hit(row: dict[str, Any]) -> FoundChunk:
    facts = {name: row[name] for name in _FACTS if row[name] is not None}
    return FoundChunk(**{name: row[name] for name in _FOUND}, facts=Facts(**facts))
