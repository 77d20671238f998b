"""How much of what an answer rests on is among the first five documents: questions that no document answers alone.

The documents and questions are made up, so that no model knows the answers. There are two worlds of them: by the questions of the
first, `tests/data/multihop.json`, the weights of the search were chosen; the second, `multihop_held_out.json`, was written after
that and is measured alone: other subjects, other relations, other words.

The documents go the way of every document: parsed, analysed, cut, embedded, read for concepts. Beside the search along the graph:
plain BM25, our search by words alone, by meaning alone (the bundled model), and by both fused. Recall is the share of the
documents of a question that are among the first five, averaged over questions. No side calls a model that costs tokens.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from resources.content.analysers import analyse
from resources.content.chunking import chunk
from resources.content.memory import MemoryChunkIndex
from resources.content.model import Document, DocumentSource, DocumentStatus, MediaType, sha256_of
from resources.content.parse import parse_document
from resources.content.parsers.base import ParseLimits
from resources.content.retrieval.model import Filters, Mode
from resources.content.retrieval.wording import content_words
from resources.content.search import SearchService
from resources.knowledge.extraction import extract
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.projection import GraphProjections
from resources.knowledge.retrieval import GraphSearch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.ai.embedder import Embedder

DATA: Final = Path(__file__).parents[1] / "data"
CHOSEN_BY: Final = "multihop"
HELD_OUT: Final = "multihop_held_out"
FIRST: Final = 5
_TENANT: Final = "multihop"


@dataclass(frozen=True)
class Outcome:
    """Recall at five, the share of questions of which all documents are there, and milliseconds a question."""

    recall: float
    whole: float
    p95: float


def search_over(embedder: Embedder, world: str) -> GraphSearch:
    """A search over the documents of a world, each taken in as any other."""
    index, graph = MemoryChunkIndex(), MemoryGraphStore()
    for item in _read(world)["documents"]:
        content = f"# {item['title']}\n\n{item['text']}\n".encode()
        source = DocumentSource(uri=f"file:///{item['id']}.md", name=f"{item['id']}.md")
        parsed = parse_document(content, name=source.name, declared=MediaType.MARKDOWN, limits=ParseLimits())
        now = datetime(2026, 1, 1, tzinfo=UTC)
        document = Document(
            id=item["id"],
            tenant=_TENANT,
            source=source,
            media_type=parsed.media_type,
            sha256=sha256_of(content),
            size_bytes=len(content),
            status=DocumentStatus.READY,
            title=parsed.title,
            received_at=now,
            updated_at=now,
        )
        chunks = chunk(parsed)
        vectors = embedder.embed([one.text for one in chunks])
        index.replace(document.id, chunks, vectors, model_id=embedder.model_id, title=document.title, tenant=_TENANT)
        spans = [(one.start, one.end) for one in chunks]
        graph.weave(extract(document, parsed, analyse(parsed), passages=spans), tenant=_TENANT)
    return GraphSearch(SearchService(embedder, index), GraphProjections(graph))


def measure(search: GraphSearch, mode: Mode, world: str) -> Outcome:
    """What the mode finds for all questions of the world."""

    def first(question: str) -> list[str]:
        page = search.find(question, tenant=_TENANT, mode=mode, filters=Filters(), limit=50)
        return list(dict.fromkeys(hit.document_id for hit in page.hits))

    return _judged(first, world)


def plain_bm25(world: str) -> Outcome:
    """What Okapi BM25 finds (k1 1.2, b 0.75), over titles and texts, each word in its base form."""
    words = {one["id"]: Counter(content_words(f"{one['title']} {one['text']}")) for one in _read(world)["documents"]}
    average = sum(counts.total() for counts in words.values()) / len(words)
    having = Counter(word for counts in words.values() for word in counts)

    def weight(asked: list[str], counts: Counter[str]) -> float:
        long = 1.2 * (0.25 + 0.75 * counts.total() / average)
        rarity = {word: math.log(1 + (len(words) - having[word] + 0.5) / (having[word] + 0.5)) for word in asked}
        return sum(rarity[word] * counts[word] * 2.2 / (counts[word] + long) for word in asked)

    def first(question: str) -> list[str]:
        asked = content_words(question)
        return sorted(words, key=lambda document: (-weight(asked, words[document]), document))

    return _judged(first, world)


def _judged(first: Callable[[str], Sequence[str]], world: str) -> Outcome:
    recalls, times = [], []
    for item in _read(world)["questions"]:
        started = time.perf_counter()
        found = first(item["question"])
        times.append((time.perf_counter() - started) * 1000)
        wanted = set(item["documents"])
        recalls.append(len(wanted & set(found[:FIRST])) / len(wanted))
    whole = sum(recall == 1 for recall in recalls) / len(recalls)
    return Outcome(float(np.mean(recalls)), whole, float(np.percentile(times, 95)))


def _read(world: str) -> Any:
    return json.loads((DATA / f"{world}.json").read_text(encoding="utf-8"))
