"""Documents that cannot be used: the run fails with the reason, the document is rejected with an event, alone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from dagster import AssetCheckSeverity

from assets.documents import concepts
from assets.failures import RETRY_POLICY
from assets.table import CHECKS, DOCUMENT_ASSETS
from resources.content.model import DocumentStatus, MediaType
from resources.errors import UnavailableError, UpstreamError
from resources.events.model import StreamId
from resources.settings import ContentSettings
from tests.assets.conftest import failed_checks, failure_of, materialized, metadata_of
from tests.fixtures.pdf import make_pdf

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult

    from resources.knowledge.model import Extraction
    from resources.knowledge.store import GraphStore
    from tests.assets.conftest import Workshop

TEXT = """# A good neighbour

This page is about garden design. Garden design asks for patience: a garden design grows over years, and soil quality
decides what grows. Soil quality can be measured, and good garden design begins with soil quality.
"""
GARBAGE = random.Random(7).randbytes(2000)
BAD = [
    ("nothing.md", b"", MediaType.MARKDOWN, "document_empty", {}),
    ("scan.pdf", make_pdf([[]]), MediaType.PDF, "document_empty", {}),
    ("garbage.md", GARBAGE, MediaType.MARKDOWN, "document_binary", {}),
    ("latin.txt", bytes(range(128, 256)) * 30, MediaType.TEXT, "document_binary", {}),
    ("page.json", b"<!DOCTYPE html><html><body>Not found</body></html>", MediaType.JSON, "content_type_mismatch", {}),
    ("secret.pdf", make_pdf([["Secret"]], encrypted=True), MediaType.PDF, "document_encrypted", {}),
    ("deep.json", b'{"a":' * 1000 + b'"x"' + b"}" * 1000, MediaType.JSON, "document_nested_too_deep", {}),
    ("half.json", b'{"a": [1, 2', MediaType.JSON, "PARSE_ERROR", {}),
    (
        "laughs.xml",
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>',
        MediaType.XML,
        "PARSE_ERROR",
        {},
    ),
    ("huge.md", TEXT.encode() * 20, MediaType.MARKDOWN, "CONTENT_TOO_LARGE", {"max_bytes": 1000}),
    ("book.pdf", make_pdf([["Words"]] * 4), MediaType.PDF, "CONTENT_TOO_LARGE", {"max_pages": 3}),
    ("slow.md", TEXT.encode() * 2000, MediaType.MARKDOWN, "TIMEOUT", {"parse_timeout": 0.001}),
]


@pytest.mark.parametrize(
    ("name", "content", "media_type", "code", "limits"), BAD, ids=[f"{case[3]} {case[0]}" for case in BAD]
)
def test_what_cannot_be_read_fails_its_run_with_the_code_and_is_rejected(
    workshop: Workshop, name: str, content: bytes, media_type: MediaType, code: str, limits: dict[str, float]
) -> None:
    bad = workshop.keep(name, content, media_type)
    result = workshop.materialize(bad, content=ContentSettings(**limits))
    assert not result.success
    failure = failure_of(result, "content__parsed")
    assert (failure["code"], failure["retryable"]) == (code, False)
    assert materialized(result) == set()
    document = workshop.document(bad)
    assert (document.status, document.rejection_code) == (DocumentStatus.REJECTED, code)
    assert document.rejection_reason
    assert workshop.rejections_of(bad) == [code]
    assert attempts(result, "content__parsed") == 1


def attempts(result: ExecuteInProcessResult, step: str) -> int:
    begins = {"STEP_START", "STEP_RESTARTED"}
    return sum(event.step_key == step and event.event_type_value in begins for event in result.all_events)


def test_a_neighbour_of_a_bad_document_becomes_ready(workshop: Workshop) -> None:
    before = workshop.receive("before.md", TEXT)
    workshop.materialize(before)
    bad = workshop.keep("bad.json", b"{", MediaType.JSON)
    after = workshop.receive("after.md", TEXT.replace("garden", "forest"))
    assert not workshop.materialize(bad).success
    assert workshop.materialize(after).success
    assert {workshop.document(item).status for item in (before, after)} == {DocumentStatus.READY}
    assert workshop.rejections_of(before) == workshop.rejections_of(after) == []


def test_a_rejected_document_becomes_ready_with_good_bytes(workshop: Workshop) -> None:
    first = workshop.receive("note.md", "x")
    assert not workshop.materialize(first).success
    assert workshop.document(first).status is DocumentStatus.REJECTED
    assert workshop.receive("note.md", TEXT) == first
    assert workshop.materialize(first).success
    document = workshop.document(first)
    assert (document.status, document.rejection_code, document.rejection_reason) == (DocumentStatus.READY, None, None)


def test_a_check_that_blocks_stops_what_comes_after_and_rejects_the_document(workshop: Workshop) -> None:
    thin = workshop.receive("thin.md", "a b c !!!!!! ?????? ------")
    result = workshop.materialize(thin)
    assert materialized(result) == {"parsed"}
    assert failed_checks(result) == {"has_text"}
    document = workshop.document(thin)
    assert (document.status, document.rejection_code) == (DocumentStatus.REJECTED, "document_check_failed")
    assert "has_text" in (document.rejection_reason or "")
    assert workshop.rejections_of(thin) == ["document_check_failed"]
    assert workshop.chunks.chunks_of(thin, tenant=workshop.tenant) == []
    assert workshop.graph.counts(tenant=workshop.tenant).concepts == 0
    assert workshop.embedder.asked == []


def test_a_failed_check_says_what_was_expected_and_what_was_found(workshop: Workshop) -> None:
    result = workshop.materialize(workshop.receive("thin.txt", "abc"))
    (check,) = [item for item in result.get_asset_check_evaluations() if item.check_name == "has_text"]
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.ERROR)
    told = {name: value.value for name, value in check.metadata.items()}
    assert told["characters: expect_column_values_to_be_between, unexpected"] == 1
    assert told["characters: expect_column_values_to_be_between, for example"] == ["3"]


def test_a_check_that_warns_stops_nothing(workshop: Workshop) -> None:
    result = workshop.materialize(workshop.receive("few.txt", "zzzz qqqq wwww vvvvvvv"))
    assert "has_words" in failed_checks(result)
    assert result.success
    assert "published" in materialized(result)


def test_every_check_of_a_good_document_is_evaluated_and_passes(workshop: Workshop) -> None:
    result = workshop.materialize(workshop.receive("good.md", TEXT))
    expected = {key.name for one in (*CHECKS[:3], concepts) for key in one.check_keys}
    assert {item.check_name for item in result.get_asset_check_evaluations()} == expected
    assert failed_checks(result) == set()


def test_a_document_that_a_check_rejected_stays_rejected_when_other_steps_go_on(workshop: Workshop) -> None:
    """The check of one branch must not be undone by the other branch."""
    good = workshop.receive("good.md", TEXT)
    result = workshop.materialize(good, documents=WrongScores(workshop.documents))
    assert failed_checks(result) == {"scores_are_scores"}
    assert "published" not in materialized(result)
    document = workshop.document(good)
    assert (document.status, document.rejection_code) == (DocumentStatus.REJECTED, "document_check_failed")
    assert workshop.events_of(good) == ["document.received", "document.rejected"]


class WrongScores:
    """A document store with analyses that no analyser of ours makes."""

    def __init__(self, documents: object) -> None:
        self._documents = documents

    def __getattr__(self, name: str) -> object:
        return getattr(self._documents, name)

    def get_analysis(self, document_id: str, *, tenant: str) -> tuple[str, object]:
        sha256, found = self._documents.get_analysis(document_id, tenant=tenant)  # type: ignore[attr-defined]
        return sha256, found.model_copy(update={"quality": 7.0})


class UncertainGraph:
    """A graph that cannot be reached `failures` times."""

    def __init__(self, graph: GraphStore, failures: int) -> None:
        self._graph = graph
        self.failures = failures
        self.error: Exception = UnavailableError("The graph cannot be reached.", dependency="graph")

    def weave(self, extraction: Extraction, *, tenant: str) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error
        self._graph.weave(extraction, tenant=tenant)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without the seconds between them."""
    for asset in DOCUMENT_ASSETS:
        assert asset.op.retry_policy is RETRY_POLICY
        monkeypatch.setattr(asset.op, "_retry_policy", RETRY_POLICY._replace(delay=0.01, backoff=None, jitter=None))


@pytest.mark.usefixtures("impatient")
def test_a_graph_that_comes_back_is_waited_for(workshop: Workshop) -> None:
    good = workshop.receive("good.md", TEXT)
    result = workshop.materialize(good, graph=UncertainGraph(workshop.graph, failures=2))
    assert result.success
    assert attempts(result, "knowledge__concepts") == 3
    assert workshop.document(good).status is DocumentStatus.READY
    assert workshop.events_of(good) == ["document.received", "document.ready"]


@pytest.mark.usefixtures("impatient")
def test_a_graph_that_stays_away_fails_the_run_and_not_the_document(workshop: Workshop) -> None:
    good = workshop.receive("good.md", TEXT)
    result = workshop.materialize(good, graph=UncertainGraph(workshop.graph, failures=99))
    assert not result.success
    failure = failure_of(result, "knowledge__concepts")
    assert (failure["code"], failure["retryable"], failure["dependency"]) == ("dependency_unavailable", True, "graph")
    assert attempts(result, "knowledge__concepts") == 1 + RETRY_POLICY.max_retries
    document = workshop.document(good)
    assert (document.status, document.rejection_code) == (DocumentStatus.EMBEDDED, None)
    assert workshop.rejections_of(good) == []
    again = workshop.materialize(good)
    assert again.success
    assert metadata_of(again, "embeddings")["embedded"] == 0
    assert workshop.document(good).status is DocumentStatus.READY


@pytest.mark.usefixtures("impatient")
def test_an_error_that_a_repetition_cannot_mend_is_not_retried(workshop: Workshop) -> None:
    good = workshop.receive("good.md", TEXT)
    graph = UncertainGraph(workshop.graph, failures=99)
    graph.error = UpstreamError("The graph says no.", code="graph_refused")
    result = workshop.materialize(good, graph=graph)
    assert failure_of(result, "knowledge__concepts")["code"] == "graph_refused"
    assert attempts(result, "knowledge__concepts") == 1


def test_a_rejected_document_cannot_be_published_by_hand(workshop: Workshop) -> None:
    good = workshop.receive("good.md", TEXT)
    workshop.materialize(good)
    revised = workshop.receive("good.md", "x")
    workshop.materialize(revised)
    result = workshop.materialize(revised, assets=[DOCUMENT_ASSETS[4]])
    assert failure_of(result, "content__published")["code"] == "document_rejected"
    (last,) = workshop.events.read_stream(StreamId("document", good), tenant=workshop.tenant, backwards=True, limit=1)
    assert last.type == "document.rejected"
