from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from resources.errors import ConflictError, NotFoundError
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.projection import GraphProjections
from resources.knowledge.resolution import Resolution, candidates, central
from tests.contracts.graph.given import contents, extraction, related, topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class ByFirstLetter:
    """Names of the same first letter mean the same."""

    model_id = "letters"
    dimensions = 26

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([np.eye(26, dtype=np.float32)[ord(text[0].lower()) - ord("a")] for text in texts])


@pytest.fixture
def store() -> MemoryGraphStore:
    store = MemoryGraphStore()
    names = ["Data Frame", "dataframe", "Graph", "Graphs", "application programming interface", "API", "Zebra"]
    edges = [related("data-frame", "graph"), related("data-frame", "zebra"), related("graph", "zebra")]
    store.weave(extraction("1", [topic(name) for name in names], edges), tenant="t")
    return store


@pytest.fixture
def resolution(store: MemoryGraphStore) -> Resolution:
    return Resolution(store, GraphProjections(store), embedder=ByFirstLetter)


def test_the_same_letters_are_merged_and_the_rest_is_proposed(store: MemoryGraphStore, resolution: Resolution) -> None:
    new = resolution.scan(tenant="t", now=NOW, meaning=False)
    assert {(one.alias, one.into, one.status) for one in new} == {
        ("dataframe", "data-frame", "merged"),
        ("graphs", "graph", "proposed"),
        ("application-programming-interface", "api", "proposed"),
    }
    assert "dataframe" not in {concept.id for concept in store.concepts(tenant="t")}
    assert "graphs" in {concept.id for concept in store.concepts(tenant="t")}


def test_names_that_mean_the_same_are_proposed(store: MemoryGraphStore) -> None:
    store.weave(extraction("2", [topic("Zoo")]), tenant="t")
    view = GraphProjections(store).view("t")
    vectors = ByFirstLetter().embed([view.concepts[place].name for place in central(view)])
    found = candidates(view, vectors=vectors)
    assert ("zoo", "zebra") in {(one.alias, one.into) for one in found}
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_what_was_decided_is_not_brought_up_again(resolution: Resolution) -> None:
    first = resolution.scan(tenant="t", now=NOW, meaning=False)
    proposal = next(one for one in first if one.status == "proposed")
    resolution.decide(proposal.id, "reject", by="ann", tenant="t", now=NOW + timedelta(1))
    assert resolution.scan(tenant="t", now=NOW, meaning=False) == []


def test_an_accepted_proposal_is_merged_and_can_be_undone(store: MemoryGraphStore, resolution: Resolution) -> None:
    before = contents(store, "t")
    merge = resolution.merge("Zebra", "Graph", reason="a test", by="ann", tenant="t", now=NOW)
    assert "zebra" not in {concept.id for concept in store.concepts(tenant="t")}
    undone = resolution.decide(merge.id, "undo", by="bob", tenant="t", now=NOW + timedelta(1))
    assert (undone.status, undone.by) == ("undone", "bob")
    assert contents(store, "t") == before


def test_a_decision_cannot_be_made_twice(resolution: Resolution) -> None:
    merge = resolution.merge("a", "b", reason="a test", by="ann", tenant="t", now=NOW)
    with pytest.raises(ConflictError) as caught:
        resolution.decide(merge.id, "accept", by="ann", tenant="t", now=NOW)
    assert caught.value.code == "merge_decided"


def test_an_unknown_merge_is_not_found(resolution: Resolution) -> None:
    with pytest.raises(NotFoundError, match="'x'"):
        resolution.decide("x", "undo", by="ann", tenant="t", now=NOW)


def test_another_tenants_merges_are_not_there(resolution: Resolution) -> None:
    merge = resolution.merge("a", "b", reason="a test", by="ann", tenant="t", now=NOW)
    with pytest.raises(NotFoundError):
        resolution.decide(merge.id, "undo", by="ann", tenant="other", now=NOW)
