"""The way of a document through the assets, on real stores: what is made, what is told, what is not done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from assets.partitions import CORRELATION_TAG, TENANT_TAG
from assets.table import CHECKS, DOCUMENT_ASSETS
from resources.content.model import DocumentStatus
from resources.events.model import StreamId
from tests.assets.conftest import failure_of, materialized, metadata_of

if TYPE_CHECKING:
    from tests.assets.conftest import Workshop

GUIDE = """# Typed forms

Typed forms check what people send. A form is a Python class with type hints, and validation follows from them.

## Install

Install the package with pip. It needs no compiler. Read [more](https://example.org/forms).

| field | rule |
|---|---|
| name | at least one letter |
| age | a whole number |

## Validation

Validation of a form raises an error that lists every problem, so that people can correct all of them at once.
"""
WAY = {"parsed", "analysis", "embeddings", "concepts", "published"}


def test_a_document_becomes_ready_searchable_and_connected(workshop: Workshop) -> None:
    guide = workshop.receive("guide.md", GUIDE, subject="typed-forms", requires=("python", "pydantic"))
    result = workshop.materialize(guide)
    assert result.success
    assert materialized(result) == WAY
    document = workshop.document(guide)
    assert (document.status, document.title, document.language) == (DocumentStatus.READY, "Typed forms", "en")
    assert document.chunk_count == len(workshop.chunks.chunks_of(guide, tenant=workshop.tenant)) > 0
    (vector,) = workshop.embedder.embed(["problem of a form"])
    hits = workshop.chunks.search(vector, model_id=workshop.embedder.model_id, tenant=workshop.tenant)
    assert hits[0].document_id == guide
    view = workshop.graph.concept("typed-forms", tenant=workshop.tenant)
    assert {"python", "pydantic"} <= set(view.requires)
    assert view.documents == (guide,)
    assert workshop.events_of(guide) == ["document.received", "document.ready"]


def test_numbers_are_told_as_numbers_and_texts_as_texts(workshop: Workshop) -> None:
    result = workshop.materialize(workshop.receive("guide.md", GUIDE, subject="typed-forms"))
    parsed = metadata_of(result, "parsed")
    assert (parsed["title"], parsed["media_type"]) == ("Typed forms", "text/markdown")
    assert (parsed["bytes"], parsed["sections"], parsed["tables"], parsed["links"]) == (len(GUIDE), 3, 1, 1)
    assert parsed["characters"] > 300
    assert parsed["preview"].startswith("```text\nTyped forms")
    assert parsed["table_1"] == [["field", "rule"], ["name", "at least one letter"], ["age", "a whole number"]]
    assert [record.data["title"] for record in parsed["outline"].records] == ["Typed forms", "Install", "Validation"]
    analysis = metadata_of(result, "analysis")
    assert (analysis["language"], analysis["difficulty_level"] in {"beginner", "intermediate"}) == ("en", True)
    assert {type(analysis[name]) for name in ("words", "reading_seconds", "concept_count")} == {int}
    assert {type(analysis[name]) for name in ("quality", "difficulty")} == {float}
    embeddings = metadata_of(result, "embeddings")
    assert embeddings["model"] == workshop.embedder.model_id
    assert embeddings["chunks"] == embeddings["embedded"] > 0
    concepts = metadata_of(result, "concepts")
    assert concepts["concepts"] == len(concepts["woven"].records)
    published = metadata_of(result, "published")
    assert published["chunks"] == embeddings["chunks"]
    assert published["edges"] == concepts["edges"]


def test_an_unchanged_document_is_materialised_again_without_work(workshop: Workshop) -> None:
    guide = workshop.receive("guide.md", GUIDE)
    first = workshop.materialize(guide)
    made = [str(item) for item in workshop.chunks.chunks_of(guide, tenant=workshop.tenant)]
    workshop.embedder.asked.clear()
    result = workshop.materialize(guide)
    assert result.success
    assert materialized(result) == WAY
    assert workshop.embedder.asked == []
    assert {name: metadata_of(result, name)["work_done"] for name in ("parsed", "analysis", "embeddings")} == {
        "parsed": False,
        "analysis": False,
        "embeddings": False,
    }
    embeddings = metadata_of(result, "embeddings")
    assert (embeddings["embedded"], embeddings["reused"]) == (0, metadata_of(first, "embeddings")["embedded"])
    assert [str(item) for item in workshop.chunks.chunks_of(guide, tenant=workshop.tenant)] == made
    assert workshop.document(guide).status is DocumentStatus.READY


def test_the_same_bytes_have_the_same_data_versions_and_a_new_revision_has_others(workshop: Workshop) -> None:
    guide = workshop.receive("guide.md", GUIDE)
    versions = [data_versions(workshop.materialize(guide)) for _ in range(2)]
    workshop.receive("guide.md", GUIDE.replace("Install", "Set up"))
    changed = data_versions(workshop.materialize(guide))
    assert versions[0] == versions[1]
    assert set(changed) == set(versions[0]) == WAY
    assert not set(changed.values()) & set(versions[0].values())


def data_versions(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    tag = "dagster/data_version"
    events = result.get_asset_materialization_events()
    return {event.materialization.asset_key.path[-1]: (event.materialization.tags or {})[tag] for event in events}


def test_a_new_revision_replaces_what_the_old_one_said(workshop: Workshop) -> None:
    guide = workshop.receive("guide.md", GUIDE, subject="typed-forms", requires=("pydantic",))
    workshop.materialize(guide)
    again = workshop.receive(
        "guide.md", GUIDE.replace("Validation", "Checking"), subject="typed-forms", requires=("msgspec",)
    )
    assert again == guide
    workshop.embedder.asked.clear()
    assert workshop.materialize(guide).success
    assert workshop.embedder.asked, "the new text was not embedded"
    texts = " ".join(item.text for item in workshop.chunks.chunks_of(guide, tenant=workshop.tenant))
    assert "Checking" in texts
    assert "Validation" not in texts
    required = workshop.graph.concept("typed-forms", tenant=workshop.tenant).requires
    assert "msgspec" in required
    assert "pydantic" not in required
    assert workshop.events_of(guide) == ["document.received", "document.ready"] * 2


def test_passages_that_a_revision_keeps_are_not_embedded_again(workshop: Workshop) -> None:
    sections = [f"## Part {number}\n\n" + f"Sentence about matter {number}. " * 40 for number in range(6)]
    guide = workshop.receive("guide.md", "\n\n".join(["# Guide", *sections]))
    workshop.materialize(guide)
    sections[3] = sections[3].replace("matter", "subject")
    workshop.receive("guide.md", "\n\n".join(["# Guide", *sections]))
    told = metadata_of(workshop.materialize(guide), "embeddings")
    assert 0 < told["embedded"] <= 3
    assert told["reused"] == told["chunks"] - told["embedded"] > told["embedded"]


def test_two_documents_with_the_same_passage_share_its_vector(workshop: Workshop) -> None:
    workshop.materialize(workshop.receive("one.md", GUIDE))
    told = metadata_of(workshop.materialize(workshop.receive("two.md", GUIDE + "\n")), "embeddings")
    assert (told["embedded"], told["reused"]) == (0, told["chunks"])


def test_one_step_can_be_repeated_alone(workshop: Workshop) -> None:
    guide = workshop.receive("guide.md", GUIDE)
    workshop.materialize(guide)
    result = workshop.materialize(guide, assets=[DOCUMENT_ASSETS[2]])
    assert result.success
    assert materialized(result) == {"embeddings"}
    assert metadata_of(result, "embeddings")["embedded"] == 0


def test_a_step_whose_input_is_missing_fails_with_a_code_and_does_not_reject(workshop: Workshop) -> None:
    guide = workshop.receive("guide.md", GUIDE)
    result = workshop.materialize(guide, assets=[DOCUMENT_ASSETS[1]])
    assert not result.success
    assert failure_of(result, "content__analysis")["code"] == "not_found"
    assert workshop.document(guide).status is DocumentStatus.RECEIVED
    assert workshop.rejections_of(guide) == []


def test_a_partition_without_a_document_fails_with_a_code(workshop: Workshop) -> None:
    workshop.instance.add_dynamic_partitions("documents", ["ghost-0000000000"])
    result = workshop.materialize("ghost-0000000000")
    assert failure_of(result, "content__parsed")["code"] == "not_found"
    assert materialized(result) == set()


def test_work_is_done_for_the_owner_whatever_the_tags_say(workshop: Workshop) -> None:
    guide = workshop.receive("guide.md", GUIDE)
    owner, workshop.tenant = workshop.tenant, f"{workshop.tenant}-other"
    assert workshop.materialize(guide).success
    assert workshop.documents.get(guide, tenant=owner).status is DocumentStatus.READY
    assert workshop.chunks.count(tenant=workshop.tenant) == 0
    assert workshop.graph.counts(tenant=workshop.tenant).concepts == 0


def test_events_of_a_run_carry_the_correlation_id_that_started_it(workshop: Workshop) -> None:
    guide = workshop.receive("guide.md", GUIDE)
    dg.materialize(
        [*DOCUMENT_ASSETS, *CHECKS[:3]],
        partition_key=guide,
        instance=workshop.instance,
        resources={
            name: getattr(workshop, name) for name in ("documents", "chunks", "events", "graph", "embedder", "content")
        },
        tags={TENANT_TAG: workshop.tenant, CORRELATION_TAG: "request-17"},
    )
    ready = workshop.events.read_stream(StreamId("document", guide), tenant=workshop.tenant)[-1]
    assert (ready.type, ready.metadata.correlation_id) == ("document.ready", "request-17")


@pytest.mark.parametrize("asset", DOCUMENT_ASSETS, ids=lambda asset: asset.key.path[-1])
def test_every_asset_says_who_owns_it_what_it_is_and_where_it_belongs(asset: Any) -> None:
    (spec,) = asset.specs
    assert spec.description
    assert spec.owners
    assert spec.code_version
    assert spec.group_name in {"content", "knowledge"}
    assert [tag for tag in spec.tags if tag.startswith("dagster/kind/")]
