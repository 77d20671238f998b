"""What every store of analysis jobs promises. Subclass and give the store."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from resources.content.jobs.model import (
    AnalysisJob,
    AnalysisOptions,
    AnalysisRequest,
    AnalysisResult,
    JobError,
    JobStatus,
    new_job,
)
from resources.content.jobs.runner import analyse_request
from resources.content.model import MediaType, sha256_of
from resources.content.parsers.base import ParseLimits
from resources.errors import NotFoundError

if TYPE_CHECKING:
    from resources.content.jobs.store import AnalysisJobs
    from resources.plugins.model import PluginInput, Processed

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
TEXT = b"# Tea\n\nTea is made from leaves. Hot water draws the taste out of them."
REQUEST = AnalysisRequest(
    name="tea.md", media_type=MediaType.MARKDOWN, content=TEXT, options=AnalysisOptions(generate_summary=False)
)


def no_plugin(name: str, given: PluginInput) -> Processed:
    """A tenant without plugins."""
    del given
    raise NotFoundError(f"There is no plugin {name!r}.", code="plugin_not_found")


def result() -> AnalysisResult:
    return analyse_request(REQUEST, limits=ParseLimits(), plugins=no_plugin)[0]


class AnalysisJobsContract:
    @pytest.fixture
    def jobs(self) -> AnalysisJobs:
        raise NotImplementedError

    def add(self, jobs: AnalysisJobs, tenant: str, *, now: datetime = NOW) -> AnalysisJob:
        return jobs.add(uuid.uuid4(), REQUEST, tenant=tenant, now=now)

    def test_a_request_is_a_queued_job(self, jobs: AnalysisJobs, tenant: str) -> None:
        job = self.add(jobs, tenant)
        assert (job.status, job.name, job.size_bytes) == (JobStatus.QUEUED, "tea.md", len(TEXT))
        assert job.sha256 == sha256_of(TEXT)
        assert job.options == REQUEST.options
        assert jobs.get(job.id, tenant=tenant) == job

    def test_adding_a_job_again_changes_nothing(self, jobs: AnalysisJobs, tenant: str) -> None:
        job = self.add(jobs, tenant)
        jobs.start(job.id, tenant=tenant, now=LATER)
        again = jobs.add(job.id, REQUEST.model_copy(update={"content": b"other"}), tenant=tenant, now=LATER)
        assert (again.status, again.sha256) == (JobStatus.RUNNING, job.sha256)

    def test_who_starts_a_job_gets_what_is_to_be_analysed_and_may_start_it_again(
        self, jobs: AnalysisJobs, tenant: str
    ) -> None:
        job = self.add(jobs, tenant)
        assert jobs.start(job.id, tenant=tenant, now=NOW) == REQUEST
        assert jobs.start(job.id, tenant=tenant, now=LATER) == REQUEST
        started = jobs.get(job.id, tenant=tenant)
        assert (started.status, started.started_at) == (JobStatus.RUNNING, LATER)

    def test_a_job_ends_with_its_result(self, jobs: AnalysisJobs, tenant: str) -> None:
        job = self.add(jobs, tenant)
        error = JobError(code="budget_exceeded", message="Too dear.", part="model")
        ended = jobs.end(job.id, JobStatus.PARTIAL, result=result(), errors=[error], tenant=tenant, now=LATER)
        assert (ended.status, ended.errors, ended.ended_at) == (JobStatus.PARTIAL, (error,), LATER)
        assert ended.result is not None
        assert ended.result.analysis == result().analysis
        assert jobs.get(job.id, tenant=tenant) == ended

    def test_a_job_ends_once(self, jobs: AnalysisJobs, tenant: str) -> None:
        job = self.add(jobs, tenant)
        cancelled = jobs.end(job.id, JobStatus.CANCELLED, tenant=tenant, now=NOW)
        assert jobs.end(job.id, JobStatus.COMPLETED, result=result(), tenant=tenant, now=LATER) == cancelled
        assert jobs.start(job.id, tenant=tenant, now=LATER) is None
        assert jobs.launched(job.id, "run", tenant=tenant) == cancelled

    def test_the_run_of_a_job_is_noted(self, jobs: AnalysisJobs, tenant: str) -> None:
        job = self.add(jobs, tenant)
        assert jobs.launched(job.id, "run-1", tenant=tenant).run_id == "run-1"
        assert jobs.get(job.id, tenant=tenant).run_id == "run-1"

    def test_a_job_that_was_done_at_once_is_kept(self, jobs: AnalysisJobs, tenant: str) -> None:
        ended = {"status": JobStatus.COMPLETED, "result": result(), "started_at": NOW, "ended_at": LATER}
        job = new_job(uuid.uuid4(), REQUEST, tenant=tenant, now=NOW).model_copy(update=ended)
        jobs.keep(job)
        assert jobs.get(job.id, tenant=tenant) == job

    def test_jobs_are_listed_the_newest_first_and_page_by_page(self, jobs: AnalysisJobs, tenant: str) -> None:
        made = [self.add(jobs, tenant, now=NOW + timedelta(seconds=number // 2)) for number in range(6)]
        expected = sorted(made, key=lambda job: (job.created_at, job.id), reverse=True)
        first = jobs.list(tenant=tenant, limit=4)
        assert [job.id for job in first] == [job.id for job in expected[:4]]
        rest = jobs.list(tenant=tenant, after=first[-1].id, limit=4)
        assert [job.id for job in rest] == [job.id for job in expected[4:]]

    def test_jobs_are_listed_by_status_and_without_results(self, jobs: AnalysisJobs, tenant: str) -> None:
        done, _ = self.add(jobs, tenant), self.add(jobs, tenant)
        jobs.end(done.id, JobStatus.COMPLETED, result=result(), tenant=tenant, now=LATER)
        (listed,) = jobs.list(tenant=tenant, status=JobStatus.COMPLETED)
        assert (listed.id, listed.result) == (done.id, None)

    def test_a_job_of_another_tenant_is_not_found(self, jobs: AnalysisJobs, tenant: str) -> None:
        job = self.add(jobs, tenant)
        other = f"{tenant}-other"
        for ask in (
            lambda: jobs.get(job.id, tenant=other),
            lambda: jobs.start(job.id, tenant=other, now=NOW),
            lambda: jobs.end(job.id, JobStatus.CANCELLED, tenant=other, now=NOW),
            lambda: jobs.launched(job.id, "run", tenant=other),
            lambda: jobs.list(tenant=other, after=job.id),
        ):
            with pytest.raises(NotFoundError):
                ask()
        assert jobs.list(tenant=other) == []

    def test_old_jobs_are_forgotten_and_those_at_work_are_not(self, jobs: AnalysisJobs, tenant: str) -> None:
        long_ago = datetime(2001, 1, 1, tzinfo=UTC)
        old, waiting = self.add(jobs, tenant, now=long_ago), self.add(jobs, tenant, now=long_ago)
        jobs.end(old.id, JobStatus.COMPLETED, tenant=tenant, now=long_ago)
        assert jobs.forget(before=datetime(2002, 1, 1, tzinfo=UTC)) >= 1
        assert [job.id for job in jobs.list(tenant=tenant)] == [waiting.id]
