"""The port of analysis jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.content.jobs.model import AnalysisJob, AnalysisRequest, AnalysisResult, JobError, JobStatus


class AnalysisJobs(Protocol):
    """Jobs of all tenants. Every verb raises UnavailableError when the store cannot be reached, and NotFoundError for a job that
    the tenant does not have.

    A job ends once: whoever comes second changes nothing and gets the job as it is.
    """

    def add(self, job_id: UUID, request: AnalysisRequest, *, tenant: str, now: datetime) -> AnalysisJob:
        """Keep the request as a queued job. Adding the same id again changes nothing."""

    def keep(self, job: AnalysisJob) -> AnalysisJob:
        """Keep a new job that has ended already: one whose work was done at once."""

    def get(self, job_id: UUID, *, tenant: str) -> AnalysisJob:
        """One job."""

    def list(
        self, *, tenant: str, status: JobStatus | None = None, after: UUID | None = None, limit: int = 50
    ) -> Sequence[AnalysisJob]:
        """Jobs, the newest first, those after `after` (an id of the page before); without their results."""

    def launched(self, job_id: UUID, run_id: str, *, tenant: str) -> AnalysisJob:
        """Note the run that does the work, while the job has not ended."""

    def start(self, job_id: UUID, *, tenant: str, now: datetime) -> AnalysisRequest | None:
        """The work begins, or begins anew: what is to be analysed; None when the job has ended."""

    def end(
        self,
        job_id: UUID,
        status: JobStatus,
        *,
        result: AnalysisResult | None = None,
        errors: Sequence[JobError] = (),
        tenant: str,
        now: datetime,
    ) -> AnalysisJob:
        """The job has ended so. What was analysed is forgotten."""

    def forget(self, *, before: datetime) -> int:
        """Remove the jobs, of all tenants, that ended before then; returns how many."""
