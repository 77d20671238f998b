"""How much of what an answer rests on is among the first five documents: questions that no document answers alone.

The documents and questions (`tests/data/multihop.json`) are made up, so that no model knows the answers. They go the way of every
document: parsed, analysed, cut, embedded, read for concepts. Beside the search along the graph: by words alone (tf-idf with
saturation, as BM25), by meaning alone (the bundled model), and both fused. Recall is the share of a question's documents that are
among the first five, averaged over questions. No side calls a model that costs tokens.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from resources.content.analysers import analyse
from resources.content.chunking import chunk
from resources.content.memory import MemoryChunkIndex
from resources.content.model import Document, DocumentSource, DocumentStatus, MediaType, sha256_of
from resources.content.parse import parse_document
from resources.content.parsers.base import ParseLimits
from resources.content.retrieval.model import Filters, Mode
from resources.content.search import SearchService
from resources.knowledge.extraction import extract
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.projection import GraphProjections
from resources.knowledge.retrieval import GraphSearch

if TYPE_CHECKING:
    from resources.ai.embedder import Embedder

DATA: Final = Path(__file__).parents[1] / "data" / "multihop.json"
FIRST: Final = 5
_TENANT: Final = "multihop"


@dataclass(frozen=True)
class Outcome:
    """Recall at five, the share of questions of which all documents are there, and milliseconds a question."""

    recall: float
    whole: float
    p95: float


def search_over(embedder: Embedder) -> GraphSearch:
    """A search over the documents, each taken in as any other."""
    index, graph = MemoryChunkIndex(), MemoryGraphStore()
    for item in json.loads(DATA.read_text(encoding="utf-8"))["documents"]:
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


def measure(search: GraphSearch, mode: Mode) -> Outcome:
    """What the mode finds for all questions."""
    recalls, times = [], []
    for item in json.loads(DATA.read_text(encoding="utf-8"))["questions"]:
        started = time.perf_counter()
        page = search.find(item["question"], tenant=_TENANT, mode=mode, filters=Filters(), limit=50)
        times.append((time.perf_counter() - started) * 1000)
        first = list(dict.fromkeys(hit.document_id for hit in page.hits))[:FIRST]
        wanted = set(item["documents"])
        recalls.append(len(wanted & set(first)) / len(wanted))
    whole = sum(recall == 1 for recall in recalls) / len(recalls)
    return Outcome(float(np.mean(recalls)), whole, float(np.percentile(times, 95)))
