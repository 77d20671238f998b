"""The graph in the replies of the first API: every address of it, and every type of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import NotFoundError

if TYPE_CHECKING:
    from api.client import ApiClient

pytestmark = pytest.mark.usefixtures("taught")


def test_every_type_of_query_is_answered(client: ApiClient) -> None:
    def ask(query_type: str, **parameters: Any) -> Any:
        reply = client.graph_query(query_type, **parameters)
        assert (reply["success"], reply["error"]) == (True, None)
        assert reply["execution_time_ms"] >= 0
        return reply["data"]

    found = ask("shortest_path", from_concept="Tea", to_concept="fire", algorithm="bfs")
    assert [one["id"] for one in found["path"]] == ["tea", "water", "fire"]
    assert found["metadata"]["difficulty_progression"] == [None, None, None]
    assert ask("shortest_path", from_concept="tea", to_concept="coffee")["total_cost"] is None
    assert [one["id"] for one in ask("get_prerequisites", concept_id="tea")] == ["fire", "water"]
    assert ask("get_concept", id="tea")["requires"] == ["water"]
    made = ask("create_concept", name="Cup", category="ware", qualityScore=0.9, estimatedTime=5)
    assert (made["id"], made["statement"]["quality"], made["statement"]["minutes"]) == ("cup", 0.9, 5)
    ask("create_concept", name="Bowl", category="ware")
    assert [one["concept"]["id"] for one in ask("find_similar", concept_id="cup")] == ["bowl"]
    assert ask("update_concept", concept_id="cup", name="Cup", minutes=6)["version"] == 2
    page = ask("search_concepts", q="e", sort_by="name", sort_order="desc", limit=2, offset=1)
    assert [one["name"] for one in page["concepts"]] == ["Tea", "Fire"]
    assert page["pagination"] == {"total_count": 4, "limit": 2, "offset": 1, "has_next": True, "has_prev": True}
    assert ask("delete_concept", concept_id="cup") == {"deleted": "cup"}


def test_the_other_addresses_are_answered(client: ApiClient) -> None:
    assert [one.concept.id for one in client.relationships("tea", relationship_types=["prerequisites"])] == [
        "water",
        "fire",
    ]
    assert client.find_path("tea", "fire", algorithm="astar", alternatives=0)["total_cost"] == 2
    assert client.similarity("tea") == []
    assert client.search_concepts("tea")["pagination"]["total_count"] == 1
    part = client.graph_subgraph(["tea"], depth=1)
    assert ([one.id for one in part.concepts], len(part.edges), part.complete) == (["tea", "water"], 1, True)
    assert client.graph_subgraph(["tea"], depth=2, limit=2).complete is False
    assert client.set_progress_of("tea", status="completed").percent == 100


def test_a_reply_that_failed_says_so_in_both_forms(client: ApiClient) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.graph_query("get_concept", concept_id="zebra")
    assert caught.value.code == "concept_not_found"
    assert (caught.value.details["success"], caught.value.details["data"]) == (False, None)
