"""A graph store keeps what is learned from: resources, paths, and how far users are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.errors import NotFoundError
from resources.knowledge.model import (
    EdgeType,
    Evidence,
    GraphCounts,
    Origin,
    Support,
    evidence_key,
)
from resources.knowledge.state import ChunkNames
from tests.contracts.graph.given import (
    NUMPY,
    PAGE,
    PANDAS,
    contents,
    learned,
    merge,
    resource,
    saved_path,
    vector,
)

if TYPE_CHECKING:
    from resources.knowledge.store import GraphStore


class LessonsContract:
    def test_support_names_documents_passages_runs_and_calls(self, store: GraphStore, tenant: str) -> None:
        said = PANDAS.model_copy(
            update={
                "run_id": "run-1",
                "evidence": {
                    "pandas": Evidence(origin=Origin.STRUCTURE, chunks=(0, 2)),
                    evidence_key("pandas", "numpy", EdgeType.REQUIRES): Evidence(
                        origin=Origin.MODEL, calls=("call-1",)
                    ),
                },
            }
        )
        store.weave(said, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        (pandas,) = store.support("pandas", tenant=tenant)
        assert pandas == Support(
            document_id="pandas.md", title="Pandas", weight=1.0, run_id="run-1", evidence=(said.evidence["pandas"],)
        )
        (edge,) = store.support("pandas", "numpy", EdgeType.REQUIRES, tenant=tenant)
        assert edge.evidence[0].calls == ("call-1",)
        assert [one.document_id for one in store.support("numpy", tenant=tenant)] == ["numpy.md", "pandas.md"]
        assert list(store.support("numpy", "pandas", EdgeType.REQUIRES, tenant=tenant)) == []
        assert list(store.support("pandas", tenant=f"{tenant}-other")) == []

    def test_a_document_is_a_resource_with_passages_that_name_concepts(self, store: GraphStore, tenant: str) -> None:
        store.weave(PAGE, tenant=tenant)
        (told,) = store.resources({"pandas": ["pandas.md"]}, tenant=tenant)["pandas"]
        assert (told.title, told.minutes, told.weight, told.passages) == ("Pandas", 7, 1.0, ((0, 100), (200, 260)))
        assert list(store.named_in("pandas.md", tenant=tenant)) == [
            ChunkNames(0, 0, 100, ("pandas",)),
            ChunkNames(1, 80, 200, ("data-frame",)),
            ChunkNames(2, 200, 260, ("pandas",)),
        ]
        counts = store.counts(tenant=tenant)
        assert (counts.chunks, counts.resources) == (3, 1)

    def test_another_text_replaces_passages_and_what_they_name(self, store: GraphStore, tenant: str) -> None:
        store.weave(PAGE, tenant=tenant)
        evidence = {"pandas": Evidence(origin=Origin.STRUCTURE, chunks=(1,))}
        changed = {"passages": ((0, 100), (100, 150)), "evidence": evidence, "resource": resource("Pandas", minutes=3)}
        store.weave(PAGE.model_copy(update=changed), tenant=tenant)
        assert list(store.named_in("pandas.md", tenant=tenant)) == [
            ChunkNames(0, 0, 100, ()),
            ChunkNames(1, 100, 150, ("pandas",)),
        ]
        found = store.resources({"pandas": ["pandas.md"], "data-frame": ["pandas.md"]}, tenant=tenant)
        assert [(one.minutes, one.passages) for several in found.values() for one in several] == [
            (3, ((100, 150),)),
            (3, ()),
        ]

    def test_a_retracted_document_takes_its_passages_along(self, store: GraphStore, tenant: str) -> None:
        store.weave(PAGE, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        store.retract("pandas.md", tenant=tenant)
        assert store.resources({"data-frame": ["pandas.md"]}, tenant=tenant) == {"data-frame": []}
        assert list(store.named_in("pandas.md", tenant=tenant)) == []
        assert store.counts(tenant=tenant) == GraphCounts(concepts=3, edges=2, documents=1)

    def test_a_path_is_kept_and_found_by_what_it_leads_over(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        kept = saved_path("tables", "numpy", "pandas")
        store.put_path(saved_path("tables", "array", "pandas"), tenant=tenant)
        store.put_path(kept, tenant=tenant)
        assert store.path("tables", tenant=tenant) == kept
        assert list(store.paths(tenant=tenant)) == [kept]
        assert list(store.paths(tenant=tenant, over="numpy")) == [kept]
        assert list(store.paths(tenant=tenant, over="array")) == []
        assert store.drop_path("tables", tenant=tenant)
        assert not store.drop_path("tables", tenant=tenant)
        with pytest.raises(NotFoundError):
            store.path("tables", tenant=tenant)

    def test_learners_are_joined_to_concepts_that_come_and_go(self, store: GraphStore, tenant: str) -> None:
        store.put_progress([learned("ada", "numpy"), learned("bob", "numpy", "in_progress")], tenant=tenant)
        store.put_path(saved_path("tables", "numpy", "pandas"), tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {}
        store.weave(PANDAS, tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {"completed": 1, "in_progress": 1}
        store.retract("pandas.md", tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {"completed": 1, "in_progress": 1}
        assert [path.id for path in store.paths(tenant=tenant, over="numpy")] == ["tables"]
        store.put_progress([learned("bob", "numpy")], tenant=tenant)
        store.drop_progress("ada", "numpy", tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {"completed": 1}

    def test_learners_follow_a_merge_and_come_back_when_it_is_undone(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        store.put_progress([learned("ada", "array"), learned("bob", "numpy")], tenant=tenant)
        store.put_merge(merge("array", "numpy", id="one"), tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {"completed": 2}
        store.put_merge(merge("array", "numpy", id="one", status="undone"), tenant=tenant)
        assert store.learners("array", tenant=tenant) == {"completed": 1}
        assert store.learners("numpy", tenant=tenant) == {"completed": 1}

    def test_tenants_with_the_same_names_do_not_see_each_others_lessons(self, store: GraphStore, tenant: str) -> None:
        other = f"{tenant}-other"
        for one in (tenant, other):
            store.weave(PAGE, tenant=one)
            store.write_vectors({"pandas": vector(1, 0)}, model_id="m", tenant=one)
            store.put_progress([learned("ada", "pandas")], tenant=one)
            store.put_path(saved_path("tables", "pandas"), tenant=one)
        before = contents(store, other), store.nearest(vector(1, 0), model_id="m", tenant=other)
        assert store.learners("pandas", tenant=other) == {"completed": 1}
        store.retract("pandas.md", tenant=tenant)
        store.drop_path("tables", tenant=tenant)
        store.drop_progress("ada", "pandas", tenant=tenant)
        assert (contents(store, other), store.nearest(vector(1, 0), model_id="m", tenant=other)) == before
        assert store.counts(tenant=tenant) == GraphCounts(concepts=0, edges=0, documents=0)
        assert store.matching("pandas", tenant=tenant) == []
