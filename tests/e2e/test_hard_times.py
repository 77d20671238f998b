"""Servers that go away while documents come in, and a platform that is stopped: nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from functools import partial
from typing import TYPE_CHECKING

import pytest

from api.client import ApiClient
from resources.content.model import DocumentStatus
from resources.errors import UnavailableError
from tests.e2e.conftest import PAGE, wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import Stage

pytestmark = pytest.mark.timeout(240)


def test_a_killed_database_is_named_and_nothing_acknowledged_is_lost(stage: Stage) -> None:
    acknowledged: list[str] = []
    refused: list[UnavailableError] = []
    enough, stopped = threading.Event(), threading.Event()

    def send() -> None:
        with ApiClient(stage.api.url) as api:
            while not stopped.is_set() and len(acknowledged) < 500:
                content = PAGE.format(title="storms", mark=uuid.uuid4().hex).encode()
                try:
                    receipt = api.upload(content, name=f"storm-{uuid.uuid4().hex[:8]}.md")
                except UnavailableError as error:
                    refused.append(error)
                    stopped.wait(0.2)
                    continue
                acknowledged.append(receipt.document.id)
                if len(acknowledged) >= 8:
                    enough.set()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert enough.wait(30)
        assert stage.postgres.pid is not None
        os.kill(stage.postgres.pid, signal.SIGKILL)
        wait_for(lambda: refused, "a refusal")
        answer = stage.http.post("/api/v1/documents?name=late.md", content=b"# Late\n\nToo late for today.")
        assert (answer.status_code, answer.json()["dependency"]) == (503, "database")
        assert "retry-after" in answer.headers
    finally:
        stopped.set()
        sender.join()
        stage.postgres.stop()
        stage.postgres.start()
    wait_for(partial(ui_answers, stage), "an answer of the UI")
    assert {error.dependency for error in refused} == {"database"}
    stage.ready(*acknowledged, seconds=120)
    assert stage.api.health_detailed().checks["database"].status == "healthy"


def ui_answers(stage: Stage) -> bool:
    """Dagster's webserver finds out with its next query that its connections have ended, and opens others."""
    query = "{ runsOrError(limit: 1) { ... on Runs { results { id } } } }"
    return "errors" not in stage.ui.post("/graphql", json={"query": query}).json()


def failed_run(stage: Stage, document: str) -> str | None:
    """The id of a run of the document that has failed."""
    return next((run["id"] for run in stage.runs_of(document) if run["status"] == "FAILURE"), None)


RETRY = """mutation($p: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $p) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


def test_a_stopped_graph_fails_runs_cleanly_and_they_are_executed_again_when_it_is_back(stage: Stage) -> None:
    stage.arcadedb.stop()
    try:
        documents = [stage.hand_in(f"drought-{number}") for number in range(2)]
        answer = stage.http.get("/api/v1/learning-path", params={"to": "soil"})
        assert (answer.status_code, answer.json()["dependency"]) == (503, "graph")
        failed = {document: wait_for(partial(failed_run, stage, document), "the failed run") for document in documents}
        for document in documents:
            known = stage.api.document(document)
            assert (known.status, known.rejection_code) == (DocumentStatus.EMBEDDED, None)
            assert "document.rejected" not in stage.events_of(document)
        run = stage.api.run(failed[documents[0]])
        assert run.status == "failure"
        assert "graph" in (run.error or "").lower()
    finally:
        stage.arcadedb.start()
    for run_id in failed.values():
        told = stage.graphql(RETRY, p={"parentRunId": run_id, "strategy": "FROM_FAILURE"})["launchRunReexecution"]
        assert told["__typename"] == "LaunchRunSuccess", told
    stage.ready(*documents)


def test_a_restart_keeps_everything_and_takes_the_same_addresses(stage: Stage) -> None:
    document = stage.hand_in("winter", uri="file:///winter.md")
    stage.ready(document)
    before = stage.api.statistics()
    runs = stage.runs_of(document)
    addresses = (stage.platform.state.ui_url, stage.platform.state.api_url)
    events = stage.api.read_events(limit=1).head
    stage.restart()
    assert (stage.platform.state.ui_url, stage.platform.state.api_url) == addresses
    assert stage.api.statistics() == before
    assert stage.runs_of(document) == runs
    assert stage.api.read_events(limit=1).head >= events
    hits = stage.api.search("vegetable beds in winter", limit=50).hits
    assert document in {hit.document_id for hit in hits}
    stage.ready(stage.hand_in("spring"))


def test_health_names_all_that_the_platform_needs(stage: Stage) -> None:
    told = stage.api.health_detailed()
    assert set(told.checks) >= {"database", "graph", "embedder", "dagster"}
    assert stage.http.get("/docs").status_code == 200
