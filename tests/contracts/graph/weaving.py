"""A graph store takes in what documents say, and lets go of exactly that."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from resources.errors import ConflictError, InvalidInputError, NotFoundError
from resources.knowledge.curation import Relation, Statement, curation_of, extraction_of
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.model import (
    Concept,
    EdgeType,
    Extraction,
    GraphCounts,
    Stated,
)
from tests.contracts.graph.given import (
    NOW,
    NUMPY,
    PAGE,
    PANDAS,
    contents,
    extraction,
    related,
    requires,
    subject,
    topic,
)

if TYPE_CHECKING:
    from resources.knowledge.store import GraphStore


class WeavingContract:
    def test_a_document_is_woven_into_concepts_and_edges(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        assert list(store.concepts(tenant=tenant)) == [topic("data frame"), subject("NumPy"), PANDAS.concepts[0]]
        assert list(store.edges(tenant=tenant)) == [
            related("pandas", "data-frame", 0.8),
            requires("pandas", "numpy"),
        ]
        assert store.counts(tenant=tenant) == GraphCounts(concepts=3, edges=2, documents=1)

    def test_weaving_again_changes_nothing(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        before = contents(store, tenant)
        store.weave(PANDAS, tenant=tenant)
        assert contents(store, tenant) == before

    def test_a_new_revision_replaces_exactly_what_the_document_said(self, store: GraphStore, tenant: str) -> None:
        store.weave(NUMPY, tenant=tenant)
        store.weave(PANDAS, tenant=tenant)
        revision = extraction(
            "pandas.md", [subject("Polars"), topic("data frame")], mentions={"data-frame": 0.1}, sha256="1" * 64
        )
        store.weave(revision, tenant=tenant)
        rebuilt = MemoryGraphStore()
        rebuilt.weave(NUMPY, tenant=tenant)
        rebuilt.weave(revision, tenant=tenant)
        assert contents(store, tenant) == contents(rebuilt, tenant)

    def test_what_another_document_supports_survives_a_retraction(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        before = contents(store, tenant)
        store.weave(NUMPY, tenant=tenant)
        assert store.retract("numpy.md", tenant=tenant)
        assert contents(store, tenant) == before

    def test_the_last_retraction_leaves_nothing(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        store.retract("pandas.md", tenant=tenant)
        store.retract("numpy.md", tenant=tenant)
        assert store.counts(tenant=tenant) == GraphCounts(concepts=0, edges=0, documents=0)

    def test_what_a_person_states_speaks_first_and_alone_stays(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        before = contents(store, tenant)
        statement = Statement(name="pandas", minutes=5, relations=(Relation(target="Cats", type=EdgeType.RELATED_TO),))
        stated = extraction_of(statement, Stated(by="ada", version=1, created_at=NOW, updated_at=NOW))
        store.weave(stated, tenant=tenant)
        assert store.concept("pandas", tenant=tenant).concept.minutes == 5
        assert (store.counts(tenant=tenant).documents, store.counts(tenant=tenant).curations) == (1, 1)
        assert curation_of(stated).statement == statement
        store.retract("pandas.md", tenant=tenant)
        assert [one.id for one in store.concepts(tenant=tenant)] == ["cats", "pandas"]
        assert store.said(stated.document_id, tenant=tenant) == stated
        store.weave(PANDAS, tenant=tenant)
        store.retract(stated.document_id, tenant=tenant)
        assert contents(store, tenant) == before

    def test_who_revises_sees_what_was_said_and_may_refuse(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        before = contents(store, tenant)

        def refuse(said: Extraction | None) -> Extraction | None:
            assert said == PANDAS
            raise ConflictError("No.")

        with pytest.raises(ConflictError):
            store.revise("pandas.md", refuse, tenant=tenant)
        assert not store.revise("none.md", lambda said: said, tenant=tenant)
        assert contents(store, tenant) == before

    def test_a_tenant_is_forgotten_and_no_other(self, store: GraphStore, tenant: str) -> None:
        for name in (tenant, f"{tenant}-other"):
            store.weave(PANDAS, tenant=name)
            store.weave(NUMPY, tenant=name)
        before = contents(store, f"{tenant}-other")
        store.forget(tenant)
        assert store.counts(tenant=tenant) == GraphCounts(concepts=0, edges=0, documents=0)
        assert store.revision(tenant=tenant) == 0
        assert contents(store, f"{tenant}-other") == before

    def test_retracting_an_unknown_document_changes_nothing(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        assert not store.retract("unknown.md", tenant=tenant)
        assert store.counts(tenant=tenant).documents == 1

    def test_a_concept_looks_the_same_in_whichever_order_its_documents_came(
        self, store: GraphStore, tenant: str
    ) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        store.weave(NUMPY, tenant=f"{tenant}-reversed")
        store.weave(PANDAS, tenant=f"{tenant}-reversed")
        assert contents(store, tenant) == contents(store, f"{tenant}-reversed")

    def test_an_edge_of_two_documents_has_the_higher_weight(self, store: GraphStore, tenant: str) -> None:
        ends = [subject("a"), subject("b")]
        store.weave(extraction("1", ends, [requires("a", "b", 0.3)]), tenant=tenant)
        store.weave(extraction("2", ends, [requires("a", "b", 0.7)]), tenant=tenant)
        assert list(store.edges(tenant=tenant)) == [requires("a", "b", 0.7)]
        assert store.counts(tenant=tenant).edges == 1
        store.retract("2", tenant=tenant)
        assert list(store.edges(tenant=tenant)) == [requires("a", "b", 0.3)]

    def test_tenants_do_not_see_each_other(self, store: GraphStore, tenant: str) -> None:
        other = f"{tenant}-other"
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=other)
        store.retract("pandas.md", tenant=other)
        assert store.counts(tenant=tenant) == GraphCounts(concepts=3, edges=2, documents=1)
        assert store.concept("numpy", tenant=other).required_by == ()
        assert store.documents_of(["data-frame"], tenant=other) == {"data-frame": ["numpy.md"]}
        assert list(store.find("pandas", tenant=other)) == []
        with pytest.raises(NotFoundError):
            store.concept("pandas", tenant=other)

    @pytest.mark.parametrize(
        ("broken", "problem"),
        [
            (extraction("1", [topic("a")], [requires("a", "b")]), "'b' is not among the concepts"),
            (extraction("1", [topic("a")], [requires("a", "a")]), "'a' points to itself"),
            (extraction("1", [topic("a")], mentions={"b": 1}), "is not among the concepts"),
            (extraction("1", [topic("a")], mentions={"a": 2}), "not between 0 and 1"),
            (extraction("1", [topic("a"), topic("A")]), "'a' is there twice"),
            (extraction("1", [Concept(id="", name="?")]), "is empty"),
        ],
    )
    def test_an_extraction_that_does_not_fit_together_is_refused(
        self, store: GraphStore, tenant: str, broken: Extraction, problem: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=problem) as caught:
            store.weave(broken, tenant=tenant)
        assert caught.value.code == "extraction_invalid"
        assert store.counts(tenant=tenant).documents == 0

    def test_weaves_at_the_same_time_all_succeed_and_are_exact(self, store: GraphStore, tenant: str) -> None:
        def document(number: int, revision: int) -> Extraction:
            shared = [topic(f"shared {n}") for n in range(3)]
            own = subject(f"own {number}", description=f"revision {revision}")
            return extraction(
                f"{number}.md",
                [own, *shared, topic(f"revision {revision}")],
                [related(own.id, concept.id, (number + 1) / 10) for concept in shared]
                + [related("shared-0", "shared-1", (number + 1) / 10)],
                mentions={"shared-0": (number + 1) / 10},
                sha256=str(revision) * 64,
            )

        writers = 4
        start = threading.Barrier(writers)

        def write(number: int) -> None:
            start.wait()
            for revision in range(3):
                store.weave(document(number, revision), tenant=tenant)
            if number == writers - 1:
                store.retract(f"{number}.md", tenant=tenant)

        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(write, range(writers)))
        rebuilt = MemoryGraphStore()
        for number in range(writers - 1):
            rebuilt.weave(document(number, 2), tenant=tenant)
        assert contents(store, tenant) == contents(rebuilt, tenant)

    def test_a_hub_keeps_all_its_edges(self, store: GraphStore, tenant: str) -> None:
        spokes = [topic(f"spoke {n}") for n in range(400)]
        hub = extraction("hub", [topic("hub"), *spokes], [requires(s.id, "hub") for s in spokes])
        store.weave(hub, tenant=tenant)
        assert len(store.concept("hub", tenant=tenant).required_by) == 400
        store.retract("hub", tenant=tenant)
        assert store.counts(tenant=tenant) == GraphCounts(concepts=0, edges=0, documents=0)

    def test_what_another_run_reads_again_stays_as_it_is(self, store: GraphStore, tenant: str) -> None:
        assert store.weave(PAGE.model_copy(update={"run_id": "first"}), tenant=tenant)
        revision = store.revision(tenant=tenant)
        assert not store.weave(PAGE.model_copy(update={"run_id": "second"}), tenant=tenant)
        assert store.revision(tenant=tenant) == revision
        assert [one.run_id for one in store.support("pandas", tenant=tenant)] == ["first"]
