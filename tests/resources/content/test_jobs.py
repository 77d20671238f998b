"""Analysis jobs: their stores, and their work."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from resources.ai.model import CallContext
from resources.ai.providers.scripted import Line, ScriptedProvider
from resources.content.jobs.memory import MemoryAnalysisJobs
from resources.content.jobs.model import AnalysisJob, AnalysisOptions, AnalysisRequest, JobStatus
from resources.content.jobs.postgres import PostgresAnalysisJobs
from resources.content.jobs.runner import run_job
from resources.content.parsers.base import ParseLimits
from resources.errors import UnavailableError, UpstreamError
from resources.plugins.model import PluginInput, PluginOutput, Processed
from tests.contracts.analysis_jobs import NOW, AnalysisJobsContract, no_plugin
from tests.resources.ai.calls.parts import answer, memory_calls
from tests.resources.content.test_llm import SAID, TEXT

if TYPE_CHECKING:
    from resources.content.jobs.store import AnalysisJobs
    from resources.database.postgres import Database

CALLER = CallContext(tenant="t")
BY_MODEL = AnalysisOptions(provider="scripted", model="m")


class TestMemoryAnalysisJobs(AnalysisJobsContract):
    @pytest.fixture
    def jobs(self) -> AnalysisJobs:
        return MemoryAnalysisJobs()


class TestPostgresAnalysisJobs(AnalysisJobsContract):
    @pytest.fixture
    def jobs(self, database: Database) -> AnalysisJobs:
        return PostgresAnalysisJobs(database)


def done(
    *lines: Line, content: bytes = TEXT, options: AnalysisOptions | None = None, name: str = "tea.md"
) -> AnalysisJob:
    jobs = MemoryAnalysisJobs()
    request = AnalysisRequest(name=name, content=content, options=options or AnalysisOptions())
    job = jobs.add(uuid.uuid4(), request, tenant="t", now=NOW)
    calls = memory_calls(ScriptedProvider(lines))
    return run_job(
        job.id, jobs, limits=ParseLimits(), plugins=no_plugin, ai=calls, caller=CALLER, clock=lambda: datetime.now(UTC)
    )


def test_a_job_is_done_by_rule() -> None:
    job = done()
    assert job.status is JobStatus.COMPLETED
    assert job.result is not None
    assert job.result.document.title == "Green tea"
    assert job.result.structure.sections[0].section.title == "Green tea"
    assert job.result.analysis.mode == "offline"


def test_a_job_is_done_by_a_model() -> None:
    job = done(answer(json.dumps(SAID)), options=BY_MODEL)
    assert job.status is JobStatus.COMPLETED
    assert job.result is not None
    assert (job.result.analysis.mode, job.result.analysis.summary) == ("llm", "How to make green tea.")


def test_a_model_that_cannot_answer_leaves_a_part_of_the_result() -> None:
    job = done(options=BY_MODEL)
    assert job.status is JobStatus.PARTIAL
    assert [(error.code, error.part) for error in job.errors] == [("script_exhausted", "model")]
    assert job.result is not None
    assert job.result.analysis.mode == "offline"


def test_a_document_that_cannot_be_read_fails_with_its_code() -> None:
    job = done(content=b"[" * 1_000, name="a.json")
    assert (job.status, job.result) == (JobStatus.FAILED, None)
    assert [error.code for error in job.errors] == ["document_nested_too_deep"]


def test_the_work_of_a_cancelled_job_is_not_done() -> None:
    jobs = MemoryAnalysisJobs()
    job = jobs.add(uuid.uuid4(), AnalysisRequest(content=TEXT, options=BY_MODEL), tenant="t", now=NOW)
    jobs.end(job.id, JobStatus.CANCELLED, tenant="t", now=NOW)
    provider = ScriptedProvider()
    ended = run_job(
        job.id,
        jobs,
        limits=ParseLimits(),
        plugins=no_plugin,
        ai=memory_calls(provider),
        caller=CALLER,
        clock=lambda: NOW,
    )
    assert ended.status is JobStatus.CANCELLED
    assert provider.requests == []


def test_a_database_that_is_away_leaves_the_job_to_be_tried_again() -> None:
    away = UnavailableError("gone", dependency="database")
    jobs = MemoryAnalysisJobs()
    job = jobs.add(uuid.uuid4(), AnalysisRequest(content=TEXT, options=BY_MODEL), tenant="t", now=NOW)
    calls = memory_calls(ScriptedProvider([away]))
    with pytest.raises(UnavailableError):
        run_job(job.id, jobs, limits=ParseLimits(), plugins=no_plugin, ai=calls, caller=CALLER, clock=lambda: NOW)
    assert jobs.get(job.id, tenant="t").status is JobStatus.RUNNING


def test_a_plugin_that_fails_makes_the_job_partial_and_the_others_still_work() -> None:
    def shout(name: str, given: PluginInput) -> Processed:
        if name == "broken":
            raise UpstreamError("The plugin 'broken' trapped.", code="plugin_trapped")
        return Processed(PluginOutput(extracted_data={"loud": given.content.upper(), **given.config}), 1.5)

    jobs = MemoryAnalysisJobs()
    options = AnalysisOptions(plugins=("shout", "broken"), plugin_params={"shout": {"marks": 2}})
    request = AnalysisRequest(name="tea.txt", content=b"Tea is made from leaves.", options=options)
    job = jobs.add(uuid.uuid4(), request, tenant=CALLER.tenant, now=NOW)
    ended = run_job(
        job.id,
        jobs,
        limits=ParseLimits(),
        plugins=shout,
        ai=memory_calls(ScriptedProvider(())),
        caller=CALLER,
        clock=lambda: NOW,
    )
    assert ended.status is JobStatus.PARTIAL
    assert [(error.code, error.part, error.plugin) for error in ended.errors] == [
        ("plugin_trapped", "plugin", "broken")
    ]
    assert ended.result is not None
    assert ended.result.plugin_results["shout"].data == {"loud": "TEA IS MADE FROM LEAVES.", "marks": 2}


def test_parameters_of_a_plugin_that_is_not_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match="names shout"):
        AnalysisOptions(plugin_params={"shout": {}})
