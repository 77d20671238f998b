from __future__ import annotations

import pytest

from resources.content.search import SearchService
from resources.errors import InvalidInputError
from tests.contracts.chunk_index import make_chunks
from tests.resources.content.doubles import TENANT, World


@pytest.fixture
def world() -> World:
    world = World()
    chunks = make_chunks("an event loop", "bread and butter")
    vectors = world.embedder.embed([chunk.text for chunk in chunks])
    world.index.replace("doc", chunks, vectors, model_id=world.embedder.model_id, title="Doc", tenant=TENANT)
    return world


def test_the_passage_that_means_the_same_comes_first(world: World) -> None:
    hits = SearchService(world.embedder, world.index).search("  an event\nloop ", tenant=TENANT, limit=1)
    assert [(hit.text, round(hit.score, 4)) for hit in hits] == [("an event loop", 1.0)]


def test_another_tenant_finds_nothing(world: World) -> None:
    assert list(SearchService(world.embedder, world.index).search("an event loop", tenant="other")) == []


@pytest.mark.parametrize(
    ("query", "limit", "paths"),
    [
        ("", 10, ["query"]),
        (" \n ", 10, ["query"]),
        ("x" * 1001, 10, ["query"]),
        ("x", 0, ["limit"]),
        ("x", 101, ["limit"]),
        ("", 0, ["query", "limit"]),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(world: World, query: str, limit: int, paths: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        SearchService(world.embedder, world.index).search(query, tenant=TENANT, limit=limit)
    assert caught.value.code == "query_invalid"
    assert [problem.path for problem in caught.value.problems] == paths
    assert world.embedder.seen == ["an event loop", "bread and butter"]
