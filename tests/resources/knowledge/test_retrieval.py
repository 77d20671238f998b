from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from resources.ai.memory import HashingEmbedder
from resources.content.memory import MemoryChunkIndex
from resources.content.model import Chunk, sha256_of
from resources.content.retrieval.model import Filters, Mode
from resources.content.search import SearchService
from resources.errors import InvalidInputError
from resources.knowledge.dialects import DIMENSIONS
from resources.knowledge.meaning import ConceptVectors
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.model import Concept, Extraction
from resources.knowledge.projection import GraphProjections
from resources.knowledge.retrieval import GraphSearch
from tests.contracts.graph.given import vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from resources.content.search import SearchPage

TENANT = "t"
PAGES = {
    "kestrel": ("The Kestrel is a glider made by Orlan Works.", ("Kestrel", "Orlan Works")),
    "orlan": ("Orlan Works has its halls at Tessin.", ("Orlan Works", "Tessin")),
    "tessin": ("Barges reach Tessin by the Vilder.", ("Tessin", "Vilder")),
    "rivers": ("Which river a town lies on: a river gives water to a town.", ("river",)),
    "towns": ("A town that lies on a river has a mill, and a river has a town.", ("town",)),
    "gliders": ("Where gliders are made there is wind; a town on a river seldom has it.", ("wind",)),
    "mills": ("A mill stands on the river in a town.", ("mill",)),
}
QUESTION = "On which river lies the town where the Kestrel is made?"


@pytest.fixture
def search() -> GraphSearch:
    index, graph, embedder = MemoryChunkIndex(), MemoryGraphStore(), HashingEmbedder()
    for document, (text, names) in PAGES.items():
        chunk = Chunk(ordinal=0, text=text, section=None, start=0, end=len(text), sha256=sha256_of(text.encode()))
        vectors = np.asarray(embedder.embed([text]), dtype=np.float32)
        index.replace(document, [chunk], vectors, model_id=embedder.model_id, title=None, tenant=TENANT)
        concepts = [Concept(id=name.lower().replace(" ", "-"), name=name) for name in names]
        extraction = Extraction(
            document_id=document,
            sha256="0" * 64,
            title=None,
            concepts=tuple(concepts),
            mentions={concept.id: 1.0 for concept in concepts},
            edges=(),
        )
        graph.weave(extraction, tenant=TENANT)
        if len(concepts) > 1:
            edge = {"source": concepts[0].id, "target": concepts[1].id, "type": "RELATED_TO", "weight": 0.8}
            graph.weave(Extraction.model_validate(extraction.model_dump() | {"edges": (edge,)}), tenant=TENANT)
    return GraphSearch(SearchService(embedder, index), GraphProjections(graph))


class Riverish:
    """Rivers mean the same in every language, and nothing else does."""

    model_id = "riverish"
    dimensions = DIMENSIONS

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([vector(1, 0) if text in {"river", "Wasserlauf"} else vector(0, 1) for text in texts])


def found(search: GraphSearch, mode: Mode, *, limit: int = 3, filters: Filters = Filters()) -> list[str]:  # noqa: B008  frozen
    page = search.find(QUESTION, tenant=TENANT, mode=mode, filters=filters, limit=limit)
    return [hit.document_id for hit in page.hits]


def test_documents_that_only_the_graph_leads_to_come_first(search: GraphSearch) -> None:
    assert found(search, Mode.GRAPH)[0] == "kestrel"
    assert {"orlan", "tessin"} <= set(found(search, Mode.GRAPH, limit=5))
    assert not {"orlan", "tessin"} & set(found(search, Mode.WORDS, limit=5))


def test_a_hit_tells_which_concepts_led_to_it(search: GraphSearch) -> None:
    page = search.find(QUESTION, tenant=TENANT, mode=Mode.GRAPH, filters=Filters(), limit=10)
    (hit,) = [hit for hit in page.hits if hit.document_id == "orlan"]
    assert "Orlan Works" in hit.through
    assert hit.place_by_graph is not None
    assert hit.citation.startswith("orlan:0-")
    assert [one.score for one in page.hits] == sorted((one.score for one in page.hits), reverse=True)


def test_filters_hold_along_the_graph_too(search: GraphSearch) -> None:
    assert set(found(search, Mode.GRAPH, limit=10, filters=Filters(documents=("orlan", "mills")))) <= {"orlan", "mills"}
    assert "orlan" not in found(search, Mode.GRAPH, limit=10, filters=Filters(without=("orlan",)))


def test_without_a_graph_it_is_the_hybrid_search(search: GraphSearch) -> None:
    page = search.find(QUESTION, tenant="nobody", mode=Mode.GRAPH, filters=Filters())
    assert page.hits == ()


def test_pages_along_the_graph_follow_each_other(search: GraphSearch) -> None:
    def page(cursor: str | None) -> SearchPage:
        return search.find(QUESTION, tenant=TENANT, mode=Mode.GRAPH, filters=Filters(), limit=3, cursor=cursor)

    pages = [page(None)]
    while pages[-1].next_cursor is not None:
        pages.append(page(pages[-1].next_cursor))
    whole = search.find(QUESTION, tenant=TENANT, mode=Mode.GRAPH, filters=Filters(), limit=100)
    assert [hit.citation for one in pages for hit in one.hits] == [hit.citation for hit in whole.hits]
    assert {one.total for one in pages} == {len(whole.hits)}
    with pytest.raises(InvalidInputError, match="not one of this search"):
        search.find("Another", tenant=TENANT, mode=Mode.GRAPH, filters=Filters(), cursor=pages[0].next_cursor)


def test_a_question_that_names_nothing_is_led_by_its_meaning(search: GraphSearch) -> None:
    views = search._views
    ConceptVectors(views.store, Riverish()).of(views.view(TENANT).concepts, tenant=TENANT)
    blind = GraphSearch(SearchService(Riverish(), MemoryChunkIndex()), views)
    ranks = blind._ranks("Wasserlauf", (), views.view(TENANT), tenant=TENANT)
    assert views.view(TENANT).ids[int(ranks.argmax())] == "river"


def test_other_modes_are_as_they_are(search: GraphSearch) -> None:
    page = search.find(QUESTION, tenant=TENANT, mode=Mode.WORDS, filters=Filters(), limit=2)
    assert page.next_cursor is not None
    more = search.find(QUESTION, tenant=TENANT, mode=Mode.WORDS, filters=Filters(), limit=2, cursor=page.next_cursor)
    assert {hit.citation for hit in more.hits}.isdisjoint(hit.citation for hit in page.hits)
