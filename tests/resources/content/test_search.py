from __future__ import annotations

import pytest

from resources.content.model import MediaType
from resources.content.retrieval.model import Facts, Filters, Mode
from resources.content.search import SearchService
from resources.errors import ConflictError, InvalidInputError, NotFoundError
from tests.contracts.chunk_index import make_chunks
from tests.resources.content.doubles import TENANT, CountingEmbedder, World


@pytest.fixture
def world() -> World:
    world = World()
    teach(world, "doc", "an event loop", "bread and butter")
    return world


def teach(world: World, document: str, *texts: str, facts: Facts | None = None) -> None:
    chunks = make_chunks(*texts)
    vectors = world.embedder.embed([chunk.text for chunk in chunks])
    model_id = world.embedder.model_id
    world.index.replace(document, chunks, vectors, model_id=model_id, title=document.title(), tenant=TENANT)
    world.index.describe(document, facts or Facts(), tenant=TENANT)


def service(world: World) -> SearchService:
    return SearchService(world.embedder, world.index)


def test_the_passage_that_means_the_same_comes_first(world: World) -> None:
    hits = service(world).search("  an event\nloop ", tenant=TENANT, limit=1)
    assert [(hit.text, round(hit.score, 4)) for hit in hits] == [("an event loop", 1.0)]


def test_another_tenant_finds_nothing(world: World) -> None:
    assert list(service(world).search("an event loop", tenant="other")) == []
    assert service(world).find("an event loop", tenant="other").hits == ()


@pytest.mark.parametrize(
    ("query", "limit", "paths"),
    [
        ("", 10, ["query"]),
        (" \n ", 10, ["query"]),
        ("\0", 10, ["query"]),
        ("x" * 1001, 10, ["query"]),
        ("x", 0, ["limit"]),
        ("x", 101, ["limit"]),
        ("", 0, ["query", "limit"]),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(world: World, query: str, limit: int, paths: list[str]) -> None:
    for search in (service(world).search, service(world).find):
        with pytest.raises(InvalidInputError) as caught:
            search(query, tenant=TENANT, limit=limit)
        assert caught.value.code == "query_invalid"
        assert [problem.path for problem in caught.value.problems] == paths
    assert world.embedder.seen == ["an event loop", "bread and butter"]


def test_words_alone_need_no_model(world: World) -> None:
    page = service(world).find("butter", tenant=TENANT, mode=Mode.WORDS)
    assert [hit.text for hit in page.hits] == ["bread and butter"]
    assert world.embedder.seen == ["an event loop", "bread and butter"]


def test_highlights_and_citations_are_offsets_of_the_document(world: World) -> None:
    text = "an event loop" + "bread and butter"
    (hit,) = service(world).find("Buttered breads!", tenant=TENANT, mode=Mode.WORDS).hits
    assert [text[start:end] for start, end in hit.highlights] == ["bread", "butter"]
    assert hit.citation == f"doc:{hit.start}-{hit.end}"
    assert text[hit.start : hit.end] == hit.text


def test_pages_are_followed_by_their_cursors(world: World) -> None:
    teach(world, "many", *(f"kettle number {number}" for number in range(25)))
    seen, cursor = [], None
    while True:
        page = service(world).find("kettle", tenant=TENANT, limit=10, cursor=cursor, mode=Mode.WORDS)
        seen += [hit.ordinal for hit in page.hits]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == page.total == 25


@pytest.mark.parametrize("cursor", ["", "!", "AAAA", "MTAuYWJjZGVmMDEyMzQ1"])
def test_a_cursor_that_is_none_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        service(world).find("kettle", tenant=TENANT, cursor=cursor)
    assert caught.value.code == "cursor_invalid"


def test_a_cursor_of_another_search_is_refused(world: World) -> None:
    teach(world, "many", *(f"kettle number {number}" for number in range(5)))
    cursor = service(world).find("kettle", tenant=TENANT, limit=2).next_cursor
    assert cursor is not None
    for query, filters in (("pots", Filters()), ("kettle", Filters(tags=("a",)))):
        with pytest.raises(InvalidInputError):
            service(world).find(query, tenant=TENANT, limit=2, filters=filters, cursor=cursor)


def test_reranking_puts_what_holds_all_words_first_on_every_page(world: World) -> None:
    teach(world, "many", *(f"kettle number {number}" for number in range(60)), "a copper kettle that whistles")
    query = "copper kettle whistling"
    plain = service(world).find(query, tenant=TENANT, limit=100)
    first = service(world).find(query, tenant=TENANT, limit=10, rerank=True)
    assert first.hits[0].text == "a copper kettle that whistles"
    hits, cursor = list(first.hits), first.next_cursor
    while cursor is not None:
        page = service(world).find(query, tenant=TENANT, limit=30, rerank=True, cursor=cursor)
        hits += page.hits
        cursor = page.next_cursor
    assert sorted(hit.citation for hit in hits) == sorted(hit.citation for hit in plain.hits)


def test_documents_about_the_same_are_found_but_not_the_document_itself(world: World) -> None:
    teach(world, "twin", "an event loop", "bread and butter", "something else")
    teach(world, "stranger", "a river", facts=Facts(media_type=MediaType.HTML))
    found = service(world).similar("doc", tenant=TENANT)
    assert [item.document_id for item in found] == ["twin", "stranger"]
    assert found[0].passage.text in {"an event loop", "bread and butter"}
    narrowed = service(world).similar("doc", tenant=TENANT, filters=Filters(types=(MediaType.HTML,)))
    assert [item.document_id for item in narrowed] == ["stranger"]


def test_a_document_without_passages_has_no_similar_ones(world: World) -> None:
    with pytest.raises(NotFoundError):
        service(world).similar("nothing", tenant=TENANT)


def test_after_a_change_of_the_model_searches_by_meaning_are_refused_until_documents_are_embedded(world: World) -> None:
    teach(world, "other", "a river")
    world.embedder = CountingEmbedder("counting@2")
    with pytest.raises(ConflictError) as caught:
        service(world).find("butter", tenant=TENANT)
    assert caught.value.code == "embedding_model_changed"
    assert len(service(world).find("butter", tenant=TENANT, mode=Mode.WORDS).hits) == 1
    state = service(world).state(tenant=TENANT)
    assert (state.documents, state.others, state.outdated) == (0, ("counting@1",), ("doc", "other"))
    teach(world, "doc", "an event loop", "bread and butter")
    assert service(world).find("butter", tenant=TENANT).total >= 2
    assert service(world).state(tenant=TENANT).outdated == ("other",)
