"""Retrieval along the graph: passages that answer only together with what the question leads to.

A question about the river of the town where something is made names neither the river nor the town. What it names, and what words
and meaning find, tell which concepts it is about; personalised PageRank carries their weight along the graph of knowledge
(compare HippoRAG, Gutiérrez et al. 2024), and the documents where it arrives are searched once more. Both lists are fused by
rank. No model is called but the embedder for the question: it costs no tokens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from resources.knowledge.algorithms.ranking import pagerank
from resources.knowledge.model import concept_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from resources.content.retrieval.model import Filters, Mode
    from resources.content.search import PassageHit, SearchPage, SearchService
    from resources.knowledge.projection import GraphProjections
    from resources.knowledge.view import GraphView

SEEDS: Final = 5
"""So many of the first documents say what the question is about."""
REACHED: Final = 30
"""So many of the documents that the graph leads to are searched."""
_READ: Final = 0.05
"""What the first documents are about counts so much, beside what the question names."""
_NEAR: Final = 3
_SHARED: Final = 0.5
"""So many concepts that share words with the question, or its meaning, are taken; the first of them counts so much."""
_FUSION: Final = 10
_GRAPH_SHARE: Final = 4.0
"""A place in the list of the graph counts so much, beside one in the list of words and meaning."""
_LONGEST_NAME: Final = 5
_MOST: Final = 100
_THROUGH: Final = 3
_WORD: Final = re.compile(r"[\w+#'-]+")


class GraphSearch:
    """Searches as SearchService does, and along the graph where the mode asks for it. Safe to share between threads."""

    def __init__(self, search: SearchService, views: GraphProjections) -> None:
        self._search = search
        self._views = views

    def find(
        self,
        query: str,
        *,
        tenant: str,
        mode: Mode,
        filters: Filters,
        limit: int = 10,
        cursor: str | None = None,
        rerank: bool = False,
    ) -> SearchPage:
        """One page of passages. Along the graph there are 200 passages at most on all pages.

        Raises what SearchService.find and GraphProjections.view raise.
        """
        if mode.value != "graph":
            return self._search.find(
                query, tenant=tenant, mode=mode, filters=filters, limit=limit, cursor=cursor, rerank=rerank
            )
        pages = self._search.pages(query, mode=mode, filters=filters, rerank=rerank)
        offset = pages.offset(cursor)
        first = self._search.find(query, tenant=tenant, mode=mode, filters=filters, limit=_MOST, rerank=rerank)
        view = self._views.view(tenant)
        ranks = self._ranks(query, first.hits, view, tenant=tenant)
        reached = _documents(view, ranks)
        if filters.documents:
            reached = {document: score for document, score in reached.items() if document in set(filters.documents)}
        followed: Sequence[PassageHit] = ()
        if reached:
            within = filters.model_copy(update={"documents": tuple(reached)})
            followed = self._search.find(query, tenant=tenant, mode=mode, filters=within, limit=_MOST).hits
        hits = _fused(first.hits, _best_of_each(followed, list(reached)), view, ranks)
        after = offset + limit
        following = pages.cursor(after) if after < len(hits) else None
        return first.model_copy(
            update={"hits": tuple(hits[offset:after]), "total": len(hits), "next_cursor": following}
        )

    def _ranks(self, query: str, hits: Sequence[PassageHit], view: GraphView, *, tenant: str) -> NDArray[np.float64]:
        """How much each concept has to do with the question.

        What it names counts most, then what shares its rare words, or, where it names nothing, what is nearest in meaning; and a
        little what the first documents are about.
        """
        store = self._views.store
        seeds = {view.ids[place]: _specific(place, view) for place in _named(query, view)}
        if not seeds:
            vector = self._search.vector(query)
            near = store.nearest(vector, model_id=self._search.model_id, tenant=tenant, limit=_NEAR)
            seeds = {key: cosine * _specific(view.place[key], view) for key, cosine in near if key in view.place}
            seeds = {key: weight for key, weight in seeds.items() if weight > 0}
        for number, key in enumerate(store.matching(query, tenant=tenant, limit=_NEAR), 1):
            if key in view.place:
                seeds[key] = seeds.get(key, 0.0) + _SHARED * _specific(view.place[key], view) / number
        for number, document in enumerate(list(dict.fromkeys(hit.document_id for hit in hits))[:SEEDS], 1):
            for place, weight in view.documents.get(document, ()):
                key = view.ids[place]
                seeds[key] = seeds.get(key, 0.0) + _READ * weight * _specific(place, view) / number
        if not seeds:
            return np.zeros(len(view))
        return pagerank(view, seeds=seeds, both_ways=True)


def _specific(concept: int, view: GraphView) -> float:
    """What everybody mentions says little."""
    return 1.0 / max(1, len(view.mentions.get(view.ids[concept], ())))


def _named(text: str, view: GraphView) -> set[int]:
    """The concepts whose names stand in the text, but for those that are a part of a longer one there."""
    words = _WORD.findall(text)
    found: set[int] = set()
    start = 0
    while start < len(words):
        for length in range(_LONGEST_NAME, 0, -1):
            name = concept_id(" ".join(words[start : start + length]))
            if (place := view.place.get(view.aliases.get(name, name))) is not None:
                found.add(place)
                start += length
                break
        else:
            start += 1
    return found


def _documents(view: GraphView, ranks: NDArray[np.float64]) -> dict[str, float]:
    """The documents that the weight reaches, with how much of it; what everybody mentions leads nowhere in particular."""
    scores: dict[str, float] = {}
    for place in np.flatnonzero(ranks > 0).tolist():
        mentioned = view.mentions.get(view.ids[place], {})
        for document, weight in mentioned.items():
            scores[document] = scores.get(document, 0.0) + float(ranks[place]) * weight / len(mentioned)
    first = sorted(scores, key=lambda document: (-scores[document], document))[:REACHED]
    return {document: scores[document] for document in first}


def _best_of_each(hits: Sequence[PassageHit], documents: Sequence[str]) -> list[PassageHit]:
    """The passage of each document that has most to do with the question, in order of documents."""
    best: dict[str, PassageHit] = {}
    for hit in hits:
        best.setdefault(hit.document_id, hit)
    return [best[document] for document in documents if document in best]


def _fused(
    first: Sequence[PassageHit], followed: Sequence[PassageHit], view: GraphView, ranks: NDArray[np.float64]
) -> list[PassageHit]:
    """Reciprocal-rank fusion of what words and meaning found and of where the graph leads."""
    passages = {hit.citation: hit for hit in (*followed, *first)}
    by_words = {hit.citation: place for place, hit in enumerate(first, 1)}
    by_graph = {hit.citation: place for place, hit in enumerate(followed, 1)}
    whole = (1 + _GRAPH_SHARE) / (_FUSION + 1)
    scores = {
        key: (
            (1 / (_FUSION + by_words[key]) if key in by_words else 0.0)
            + (_GRAPH_SHARE / (_FUSION + by_graph[key]) if key in by_graph else 0.0)
        )
        / whole
        for key in passages
    }
    ordered = sorted(passages, key=lambda key: (-scores[key], key))
    return [
        passages[key].model_copy(
            update={
                "score": scores[key],
                "place_by_graph": by_graph.get(key),
                "through": _through(passages[key], view, ranks) if key in by_graph else (),
            }
        )
        for key in ordered
    ]


def _through(hit: PassageHit, view: GraphView, ranks: NDArray[np.float64]) -> tuple[str, ...]:
    """The names of the concepts that led to the passage's document most."""
    concepts = view.documents.get(hit.document_id, ())
    best = sorted(concepts, key=lambda item: (-float(ranks[item[0]]) * item[1], item[0]))[:_THROUGH]
    return tuple(view.concepts[place].name for place, _ in best if ranks[place] > 0)
