"""Search: by words, by meaning, or by both; what is like a document; and which passages each page shows.

The two ways find different things: words find names and numbers that a model has never seen, meaning finds what is said in other
words. Reciprocal-rank fusion joins the lists by place alone, as their scores cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

from resources.content.model import SearchHit
from resources.content.retrieval.cursors import Pages
from resources.content.retrieval.model import Facts, Filters, FoundChunk, Mode, Wanted
from resources.content.retrieval.wording import content_words, highlights
from resources.errors import InvalidInputError, NotFoundError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from resources.ai.embedder import Embedder
    from resources.content.retrieval.model import Found
    from resources.content.store import ChunkIndex

MAX_QUERY = 1000
MAX_LIMIT = 100
RERANKED: Final = 50
"""So many passages, the first ones, are put in a new order when that is asked for."""
_SIMILARITY_SHARE = 0.6
_NO_FILTERS: Final = Filters()


class PassageHit(FoundChunk):
    """A passage that was found, and how to cite it."""

    highlights: tuple[tuple[int, int], ...] = Field(
        default=(), description="Where words of the question stand: offsets in the document's text, half-open"
    )
    citation: str = Field(description="document_id:start-end, in characters of the document's text")
    place_by_graph: int | None = Field(
        default=None, description="Its place among those that the graph leads to, from 1"
    )
    through: tuple[str, ...] = Field(default=(), description="Names of the concepts that led to it along the graph")


class SearchPage(BaseModel):
    """One page of passages, the best first."""

    model_config = ConfigDict(frozen=True)

    hits: tuple[PassageHit, ...]
    total: int = Field(description="Passages on all pages: at most 100 found by words and 100 by meaning")
    facets: dict[str, dict[str, int]] = Field(description="Passages on all pages by type, language, difficulty and tag")
    next_cursor: str | None = Field(description="Continues after this page; null on the last one")


class SimilarDocument(BaseModel):
    """A document that is like another one, and its passage that is most like it."""

    model_config = ConfigDict(frozen=True)

    document_id: str
    title: str | None
    similarity: float = Field(description="Cosine of its best passage and the middle of the other document")
    facts: Facts
    passage: SearchHit


@dataclass(frozen=True, slots=True)
class IndexState:
    """Which model's vectors a tenant has, and which documents have another's."""

    model_id: str
    documents: int
    chunks: int
    others: tuple[str, ...]
    outdated: tuple[str, ...]


class SearchService:
    """Finds passages. Safe for threads if the embedder is."""

    def __init__(self, embedder: Embedder, index: ChunkIndex) -> None:
        self._embedder = embedder
        self._index = index

    def search(self, query: str, *, tenant: str, limit: int = 10) -> Sequence[SearchHit]:
        """The passages nearest in meaning, best first, with their cosine.

        Raises InvalidInputError for a blank query, one of more than 1,000 characters, or a limit outside of 1..100; ConflictError
        when the passages have vectors of another model alone.
        """
        text = _checked(query, limit)
        return self._index.search(self.vector(text), model_id=self._embedder.model_id, tenant=tenant, limit=limit)

    def find(
        self,
        query: str,
        *,
        tenant: str,
        mode: Mode = Mode.HYBRID,
        filters: Filters = _NO_FILTERS,
        limit: int = 10,
        cursor: str | None = None,
        rerank: bool = False,
    ) -> SearchPage:
        """One page of passages. Raises as `search` does, and InvalidInputError for a cursor of another search.

        With `rerank` the first 50 are ordered by how near in meaning they are and how many of the question's words they hold.
        """
        text = _checked(query, limit)
        pages = self.pages(text, mode=mode, filters=filters, rerank=rerank)
        offset = pages.offset(cursor)
        wanted = Wanted(
            text=None if mode is Mode.MEANING else text,
            vector=None if mode is Mode.WORDS else self.vector(text),
            model_id=self._embedder.model_id,
            filters=filters,
            limit=limit,
            offset=offset,
        )
        asked = frozenset(content_words(text))
        if rerank and offset < RERANKED:
            found, hits = self._reranked(wanted, asked, tenant)
        else:
            found = self._index.find(wanted, tenant=tenant)
            hits = found.hits
        after = offset + len(hits)
        return SearchPage(
            hits=tuple(_cited(hit, asked) for hit in hits),
            total=found.total,
            facets={facet: dict(counts) for facet, counts in found.facets.items()},
            next_cursor=pages.cursor(after) if hits and after < found.total else None,
        )

    def similar(
        self, document_id: str, *, tenant: str, limit: int = 10, filters: Filters = _NO_FILTERS
    ) -> Sequence[SimilarDocument]:
        """Documents that are about the same, best first, as far as one of their passages is among the 100 nearest.

        Raises NotFoundError for a document without passages of the model in use.
        """
        centre = self._index.centre(document_id, model_id=self._embedder.model_id, tenant=tenant)
        if centre is None:
            raise NotFoundError(f"There is no document {document_id!r} with passages that can be compared.")
        others = filters.model_copy(update={"without": (*filters.without, document_id)})
        wanted = Wanted(None, centre, self._embedder.model_id, others, limit=MAX_LIMIT)
        best: dict[str, FoundChunk] = {}
        for hit in self._index.find(wanted, tenant=tenant).hits:
            best.setdefault(hit.document_id, hit)
        return [
            SimilarDocument(
                document_id=hit.document_id,
                title=hit.document_title,
                similarity=hit.similarity or 0.0,
                facts=hit.facts,
                passage=SearchHit(**{name: getattr(hit, name) for name in SearchHit.model_fields}),
            )
            for hit in list(best.values())[:limit]
        ]

    def state(self, *, tenant: str, limit: int = 1000) -> IndexState:
        """How much of what the tenant has can be found by meaning, and the first documents that have to be embedded anew."""
        shares = {share.model_id: share for share in self._index.models(tenant=tenant)}
        ours = shares.pop(self._embedder.model_id, None)
        return IndexState(
            model_id=self._embedder.model_id,
            documents=ours.documents if ours else 0,
            chunks=ours.chunks if ours else 0,
            others=tuple(shares),
            outdated=tuple(self._index.outdated(model_id=self._embedder.model_id, tenant=tenant, limit=limit)),
        )

    def pages(self, query: str, *, mode: Mode, filters: Filters, rerank: bool) -> Pages:
        """The pages of a search, for whoever adds to what it finds."""
        return Pages.of(query, mode, filters, rerank=rerank)

    @property
    def model_id(self) -> str:
        """Of the model that `vector` asks."""
        return self._embedder.model_id

    def vector(self, text: str) -> NDArray[np.float32]:
        """What a question means, to be compared with what else is embedded by the same model."""
        vector: NDArray[np.float32] = self._embedder.embed([text])[0]
        return vector

    def _reranked(self, wanted: Wanted, asked: frozenset[str], tenant: str) -> tuple[Found, tuple[FoundChunk, ...]]:
        """The page out of the first passages in their new order, which end where those that keep theirs begin."""
        end = wanted.offset + wanted.limit
        found = self._index.find(
            Wanted(wanted.text, wanted.vector, wanted.model_id, wanted.filters, limit=max(RERANKED, end)), tenant=tenant
        )

        def worth(hit: FoundChunk) -> float:
            held = len(asked.intersection(content_words(hit.text))) / len(asked) if asked else 0.0
            return _SIMILARITY_SHARE * (hit.similarity or 0.0) + (1 - _SIMILARITY_SHARE) * held

        first = sorted(found.hits[:RERANKED], key=worth, reverse=True)
        return found, tuple([*first, *found.hits[RERANKED:]][wanted.offset : end])


def _checked(query: str, limit: int) -> str:
    text = " ".join(query.replace("\0", " ").split())
    problems = []
    if not text or len(text) > MAX_QUERY:
        problems.append(Problem("query", f"must have 1 to {MAX_QUERY} characters", f"it has {len(text)}"))
    if not 1 <= limit <= MAX_LIMIT:
        problems.append(Problem("limit", f"must be between 1 and {MAX_LIMIT}", f"it is {limit}"))
    if problems:
        raise InvalidInputError(
            "The search cannot be made: " + "; ".join(map(str, problems)) + ".",
            code="query_invalid",
            problems=tuple(problems),
        )
    return text


def _cited(hit: FoundChunk, asked: frozenset[str]) -> PassageHit:
    places = tuple((hit.start + start, hit.start + end) for start, end in highlights(hit.text, asked))
    fields = {name: getattr(hit, name) for name in FoundChunk.model_fields}
    return PassageHit(**fields, highlights=places, citation=f"{hit.document_id}:{hit.start}-{hit.end}")
