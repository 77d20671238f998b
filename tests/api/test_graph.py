"""The graph of knowledge over HTTP: what the client asks is answered, and mistakes are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.errors import ConflictError, InvalidInputError, NotFoundError
from resources.knowledge.model import EdgeType

if TYPE_CHECKING:
    from api.client import ApiClient

pytestmark = pytest.mark.usefixtures("taught")


def test_the_graph_is_asked_in_every_way(client: ApiClient) -> None:
    assert (client.graph().concepts, client.graph().levels) == (4, (2, 1, 1))
    assert client.graph_concepts("te", limit=1).total == 2
    assert client.graph_ranking(limit=1)[0].concept.id == "fire"
    assert client.graph_ranking(seeds=["tea"])[0].concept.id == "water"
    (way,) = client.graph_ways("Tea", "fire", algorithm="astar", count=3).ways
    assert [concept.id for concept in way.concepts] == ["tea", "water", "fire"]
    assert client.graph_ways("tea", "coffee").ways == ()
    assert sum(group.size for group in client.graph_communities().communities) == 4
    assert [one.concept.id for one in client.graph_neighbours("tea", types=[EdgeType.REQUIRES])] == ["water", "fire"]
    assert {one.concept.id for one in client.graph_similar("tea")} == {"water", "fire", "coffee"}
    assert client.graph_spanning("tea").size == 3
    assert client.graph_scores("tea") is None
    assert [one.title for one in client.graph_support("tea")] == ["Notes"]
    assert client.graph_support("tea", target="water", type=EdgeType.REQUIRES)[0].weight == 1
    assert client.graph_support("tea", target="fire", type=EdgeType.REQUIRES) == []


def test_concepts_are_merged_and_that_is_undone(client: ApiClient) -> None:
    merge = client.merge_concepts("Coffee", "Tea", reason="both are drunk")
    assert client.graph().concepts == 3
    assert client.graph_neighbours("coffee", depth=1)[0].concept.id == "water"
    assert [one.id for one in client.graph_merges(status="merged")] == [merge.id]
    assert client.decide_merge(merge.id, "undo").status == "undone"
    assert client.graph().concepts == 4
    assert client.scan_merges(meaning=False) == []


def test_mistakes_are_named(client: ApiClient) -> None:
    with pytest.raises(NotFoundError) as missing:
        client.graph_neighbours("Zebras")
    assert missing.value.code == "concept_not_found"
    with pytest.raises(NotFoundError):
        client.decide_merge("nothing", "undo")
    with pytest.raises(InvalidInputError) as circular:
        client.merge_concepts("tea", "Tea")
    assert circular.value.code == "merge_circular"
    merge = client.merge_concepts("coffee", "tea")
    with pytest.raises(ConflictError):
        client.decide_merge(merge.id, "accept")
