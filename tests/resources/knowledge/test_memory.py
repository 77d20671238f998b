from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.knowledge.memory import MemoryGraphStore
from tests.contracts.graph.given import contents
from tests.contracts.graph_store import GraphStoreContract
from tests.resources.knowledge.strategies import Decide, Learn, Retract, Weave, changes

if TYPE_CHECKING:
    from resources.knowledge.state import GraphState
    from resources.knowledge.store import GraphStore


class TestMemoryGraphStore(GraphStoreContract):
    @pytest.fixture
    def store(self) -> GraphStore:
        return MemoryGraphStore()


@given(history=st.lists(changes(), max_size=10))
def test_any_history_equals_what_is_left_of_it_woven_once(history: list[Weave | Retract | Decide | Learn]) -> None:
    """Also in another order: what the last word of each document and of each decision is, is all that counts."""
    store, rebuilt = MemoryGraphStore(), MemoryGraphStore()
    last: dict[str, Weave] = {}
    for change in history:
        change.apply(store, "t")
        match change:
            case Weave(extraction):
                last[extraction.document_id] = change
            case Retract(document):
                last.pop(document, None)
    for decision in store.merges(tenant="t"):
        rebuilt.put_merge(decision, tenant="t")
    for _, weave in sorted(last.items(), reverse=True):
        weave.apply(rebuilt, "t")
    for change in history:
        if isinstance(change, Learn):
            change.apply(rebuilt, "t")
    assert contents(store, "t") == contents(rebuilt, "t")


@given(history=st.lists(changes(), max_size=10))
def test_what_was_touched_is_all_that_differs(history: list[Weave | Retract | Decide | Learn]) -> None:
    store = MemoryGraphStore()
    for change in history:
        before = store.state(tenant="t")
        change.apply(store, "t")
        after = store.state(tenant="t")
        told = store.changes(since=before.revision, tenant="t")
        assert told is not None
        assert _different(before, after) <= told.concepts
        edges = {key for key in before.edges | after.edges if before.edges.get(key) != after.edges.get(key)}
        assert edges <= told.edges


def _different(before: GraphState, after: GraphState) -> set[str]:
    return {
        key
        for key in before.concepts | after.concepts
        if before.concepts.get(key) != after.concepts.get(key) or before.mentions.get(key) != after.mentions.get(key)
    }
