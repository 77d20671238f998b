"""A graph store lets one concept stand for another until that is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.errors import InvalidInputError
from resources.knowledge.model import (
    EdgeType,
)
from tests.contracts.graph.given import (
    NUMPY,
    PANDAS,
    contents,
    extraction,
    merge,
    related,
    topic,
)

if TYPE_CHECKING:
    from resources.knowledge.store import GraphStore


class MergingContract:
    def test_merged_concepts_are_one_until_that_is_undone(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        before = contents(store, tenant)
        store.put_merge(merge("array", "data-frame"), tenant=tenant)
        assert [concept.id for concept in store.concepts(tenant=tenant)] == ["data-frame", "numpy", "pandas"]
        assert store.concept("data-frame", tenant=tenant).concept.name.casefold() == "data frame"
        weights = {(e.source, e.target): e.weight for e in store.edges(tenant=tenant, type=EdgeType.RELATED_TO)}
        assert weights["data-frame", "numpy"] == 0.5
        store.put_merge(merge("array", "data-frame", status="undone"), tenant=tenant)
        assert contents(store, tenant) == before
        assert [one.status for one in store.merges(tenant=tenant)] == ["undone"]

    def test_what_comes_after_a_merge_is_merged_too(self, store: GraphStore, tenant: str) -> None:
        store.put_merge(merge("np", "numpy"), tenant=tenant)
        store.weave(extraction("1", [topic("NP"), topic("x")], [related("np", "x")]), tenant=tenant)
        assert [concept.id for concept in store.concepts(tenant=tenant)] == ["numpy", "x"]
        store.put_merge(merge("numpy", "numerical-python"), tenant=tenant)
        assert [concept.id for concept in store.concepts(tenant=tenant)] == ["numerical-python", "x"]
        store.retract("1", tenant=tenant)
        assert store.counts(tenant=tenant).concepts == 0

    def test_a_proposal_changes_nothing(self, store: GraphStore, tenant: str) -> None:
        store.weave(NUMPY, tenant=tenant)
        before = contents(store, tenant)
        store.put_merge(merge("array", "numpy", status="proposed"), tenant=tenant)
        assert contents(store, tenant) == before

    def test_a_concept_cannot_stand_for_itself(self, store: GraphStore, tenant: str) -> None:
        store.put_merge(merge("a", "b"), tenant=tenant)
        with pytest.raises(InvalidInputError) as caught:
            store.put_merge(merge("b", "a"), tenant=tenant)
        assert caught.value.code == "merge_circular"
        assert len(store.merges(tenant=tenant)) == 1
