"""The graph as a whole, and the guide that is written from what was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from assets.concepts import paths, ranking
from assets.connections import edges, vectors
from assets.graph_checks import check_edges, check_graph, check_paths
from assets.partitions import TENANT_TAG
from assets.study import STUDY_GUIDE
from resources.content.model import document_id
from resources.knowledge.model import Concept, Edge, EdgeType, Extraction
from tests.assets.conftest import failed_checks, failure_of, materialized, metadata_of

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult

    from tests.assets.conftest import Workshop

PAGE = "# {name}\n\n{name} helps people to write programs. With {name} the types of forms are checked. " * 3


@pytest.fixture
def taught(workshop: Workshop) -> Workshop:
    """Three packages, of which each requires the one before."""
    for name, requires in (("typing", ()), ("pydantic", ("typing",)), ("fastapi", ("pydantic", "typing"))):
        document = workshop.receive(f"{name}.md", PAGE.format(name=name), subject=name, requires=requires)
        assert workshop.materialize(document).success
    return workshop


def test_ranking_tells_the_size_of_the_graph_and_what_matters_in_it(taught: Workshop) -> None:
    result = taught.rank(ranking, check_graph)
    assert result.success
    told = metadata_of(result, "ranking")
    counts = taught.graph.counts(tenant=taught.tenant)
    assert (told["concepts"], told["edges"], told["documents"]) == (counts.concepts, counts.edges, 3)
    assert told["prerequisites"] >= 3
    assert told["edges_that_close_cycles"] == 0
    assert told["resources"] == 3
    assert told["chunks"] >= 3
    top = [record.data for record in told["top"].records]
    place = [row["concept"] for row in top]
    assert place.index("typing") < place.index("pydantic") < place.index("fastapi")
    assert [row["rank"] for row in top] == sorted((row["rank"] for row in top), reverse=True)
    assert failed_checks(result) == set()


def test_ranking_of_an_empty_graph_is_empty(workshop: Workshop) -> None:
    result = workshop.rank(ranking, check_graph)
    assert result.success
    told = metadata_of(result, "ranking")
    assert (told["concepts"], told["edges"], list(told["top"].records)) == (0, 0, [])


def contradiction(workshop: Workshop, *, sure: float = 1.0) -> None:
    """Two documents of which each says the opposite of the other."""
    concepts = tuple(Concept(id=name, name=name) for name in ("egg", "hen"))
    for document, one, other, weight in (("farm", "egg", "hen", sure), ("kitchen", "hen", "egg", 0.6)):
        edge = Edge(source=one, target=other, type=EdgeType.REQUIRES, weight=weight)
        said = Extraction(document_id=document, sha256="0", title=None, concepts=concepts, mentions={}, edges=(edge,))
        workshop.graph.weave(said, tenant=workshop.tenant)


def test_documents_that_contradict_each_other_lose_the_weakest_prerequisite(workshop: Workshop) -> None:
    contradiction(workshop)
    result = workshop.rank(edges, check_edges, ranking, check_graph, paths, check_paths)
    assert result.success
    assert failed_checks(result) == set()
    told = metadata_of(result, "edges")
    assert (told["cycles"], told["cut"], told["requires"]) == (1, 1, 2)
    assert [row["from"] for row in (one.data for one in told["strongest"].records)] == ["egg", "hen"]
    assert [(edge.source, edge.target) for edge in workshop.graph.cuts(tenant=workshop.tenant)] == [("hen", "egg")]
    (kept,) = workshop.graph.paths(tenant=workshop.tenant)
    assert [step.concept for step in kept.concepts] == ["hen", "egg"]


def test_a_cycle_that_is_not_cut_blocks_the_ranking(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    contradiction(workshop)
    monkeypatch.setattr(type(workshop.graph), "write_cuts", lambda *_, **__: None)
    result = workshop.rank(edges, check_edges, ranking, check_graph)
    assert not result.success
    assert failed_checks(result) == {"prerequisites_have_no_cycle"}
    (check,) = [item for item in result.get_asset_check_evaluations() if not item.passed]
    assert check.metadata["cycles"].value == [["egg", "hen"]]
    assert materialized(result) == {"edges"}


def test_a_document_that_requires_in_a_circle_is_not_published(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("egg", "hen")
    circle = Extraction(
        document_id="farm.md",
        sha256="0",
        title=None,
        concepts=tuple(Concept(id=name, name=name) for name in names),
        mentions={},
        edges=tuple(Edge(source=one, target=other, type=EdgeType.REQUIRES) for one, other in (names, names[::-1])),
    )
    monkeypatch.setattr("assets.documents.extract", lambda *_, **__: circle)
    result = workshop.materialize(workshop.receive("farm.md", PAGE.format(name="farm")))
    assert not result.success
    assert failed_checks(result) == {"requires_no_circle"}
    assert "published" not in materialized(result)


def test_names_are_embedded_once(taught: Workshop) -> None:
    first = metadata_of(taught.rank(vectors), "vectors")
    again = metadata_of(taught.rank(vectors), "vectors")
    assert first["embedded"] == first["vectors"] > 3
    assert (again["vectors"], again["embedded"]) == (first["vectors"], 0)


def test_the_longest_paths_are_planned_and_stand(taught: Workshop) -> None:
    result = taught.rank(ranking, check_graph, paths, check_paths)
    assert result.success
    told = metadata_of(result, "paths")
    first = told["targets"].records[0].data
    assert (first["target"], first["steps"]) == ("fastapi", 3)
    assert "typing" in told["longest_path"]
    assert failed_checks(result) == set()
    kept = {path.target: path for path in taught.graph.paths(tenant=taught.tenant, over="typing")}
    assert [step.concept for step in kept["fastapi"].concepts] == ["typing", "pydantic", "fastapi"]
    assert not kept["fastapi"].custom
    mine = kept["fastapi"].model_copy(update={"id": "mine", "custom": True})
    taught.graph.put_path(mine, tenant=taught.tenant)
    for document in ("fastapi.md", "pydantic.md"):
        taught.graph.retract(document_id(f"file:///docs/{document}", tenant=taught.tenant), tenant=taught.tenant)
    assert taught.rank(paths).success
    assert [path.id for path in taught.graph.paths(tenant=taught.tenant)] == ["mine"]


def test_a_graph_that_has_drifted_is_told_and_one_that_has_jumped_blocks_once(workshop: Workshop) -> None:
    def weave(edges: int) -> None:
        names = [f"c{number:02}" for number in range(30)]
        pairs = [(one, other) for one in names for other in names if one < other][:edges]
        contribution = Extraction(
            document_id="book",
            sha256="0",
            title=None,
            concepts=tuple(Concept(id=name, name=name) for name in names),
            mentions={},
            edges=tuple(Edge(source=one, target=other, type=EdgeType.RELATED_TO) for one, other in pairs),
        )
        workshop.graph.weave(contribution, tenant=workshop.tenant)

    weave(30)
    assert failed_checks(workshop.rank(ranking, check_graph)) == set()
    weave(40)
    assert failed_checks(workshop.rank(ranking, check_graph)) == set()
    weave(300)
    drifted = workshop.rank(ranking, check_graph, paths)
    assert (failed_checks(drifted), drifted.success) == ({"the_graph_has_not_drifted"}, True)
    weave(20)
    jumped = workshop.rank(ranking, check_graph, paths)
    assert (failed_checks(jumped), jumped.success) == ({"the_graph_has_not_drifted"}, False)
    assert jumped.asset_materializations_for_node("paths") == []
    assert workshop.rank(ranking, check_graph, paths).success


def guide(workshop: Workshop, **config: dict[str, Any]) -> ExecuteInProcessResult:
    names = ("embedder", "chunks", "graph")
    return STUDY_GUIDE.execute_in_process(
        run_config={"ops": {name: {"config": values} for name, values in config.items()}},
        resources={name: getattr(workshop, name) for name in names},
        tags={TENANT_TAG: workshop.tenant},
        instance=workshop.instance,
        raise_on_error=False,
    )


def test_a_study_guide_has_a_path_a_summary_and_sources_and_is_labelled_as_simulated(taught: Workshop) -> None:
    result = guide(taught, find_passages={"topic": "types of forms"}, plan_path={"target": "fastapi"})
    assert result.success
    text = result.output_for_node("write_guide")
    steps = [line.split("**")[1] for line in text.splitlines() if line[:1].isdigit() and "**" in line]
    assert steps == ["typing", "pydantic", "fastapi"]
    assert "## Summary" in text
    assert "## Sources" in text
    (handled,) = [event for event in result.events_for_node("write_guide") if event.is_successful_output]
    told = {name: value.value for name, value in handled.step_output_data.metadata.items()}
    assert told["simulated"] is True
    assert told["model"]
    assert "> " in text, "the notice of the writer is missing"
    assert told["guide"] == text


def test_a_study_guide_leaves_out_what_is_known(taught: Workshop) -> None:
    result = guide(taught, plan_path={"target": "fastapi", "known": ["pydantic", "typing"]})
    assert [step.concept.id for step in result.output_for_node("plan_path").steps] == ["fastapi"]


def test_a_study_guide_on_nothing_fails_with_codes(workshop: Workshop) -> None:
    result = guide(workshop)
    assert not result.success
    assert failure_of(result, "find_passages")["code"] == "nothing_found"
