"""Analysis jobs in memory: for tests, and for a process of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from resources.content.jobs.model import AnalysisJob, JobStatus, new_job
from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.content.jobs.model import AnalysisRequest, AnalysisResult, JobError


class MemoryAnalysisJobs:
    """Safe for threads; forgotten with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, UUID], AnalysisJob] = {}
        self._requests: dict[tuple[str, UUID], AnalysisRequest] = {}

    def add(self, job_id: UUID, request: AnalysisRequest, *, tenant: str, now: datetime) -> AnalysisJob:
        with self._lock:
            if (tenant, job_id) not in self._jobs:
                self._requests[tenant, job_id] = request
                self._jobs[tenant, job_id] = new_job(job_id, request, tenant=tenant, now=now)
            return self._jobs[tenant, job_id]

    def keep(self, job: AnalysisJob) -> AnalysisJob:
        with self._lock:
            return self._put(job)

    def get(self, job_id: UUID, *, tenant: str) -> AnalysisJob:
        with self._lock:
            return self._known(job_id, tenant)

    def list(
        self, *, tenant: str, status: JobStatus | None = None, after: UUID | None = None, limit: int = 50
    ) -> Sequence[AnalysisJob]:
        with self._lock:
            behind = None if after is None else self._known(after, tenant)
            jobs = [
                job.model_copy(update={"result": None})
                for (owner, _), job in self._jobs.items()
                if owner == tenant
                and (status is None or job.status is status)
                and (behind is None or (job.created_at, job.id) < (behind.created_at, behind.id))
            ]
        return sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)[:limit]

    def launched(self, job_id: UUID, run_id: str, *, tenant: str) -> AnalysisJob:
        with self._lock:
            job = self._known(job_id, tenant)
            return job if job.status.ended else self._put(job.model_copy(update={"run_id": run_id}))

    def start(self, job_id: UUID, *, tenant: str, now: datetime) -> AnalysisRequest | None:
        with self._lock:
            job = self._known(job_id, tenant)
            if job.status.ended:
                return None
            self._put(job.model_copy(update={"status": JobStatus.RUNNING, "started_at": now}))
            return self._requests[tenant, job_id]

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
        with self._lock:
            job = self._known(job_id, tenant)
            if job.status.ended:
                return job
            self._requests.pop((tenant, job_id))
            ended = {"status": status, "result": result, "errors": tuple(errors), "ended_at": now}
            return self._put(job.model_copy(update=ended))

    def forget(self, *, before: datetime) -> int:
        with self._lock:
            old = [key for key, job in self._jobs.items() if job.ended_at is not None and job.ended_at < before]
            for key in old:
                del self._jobs[key]
            return len(old)

    def _known(self, job_id: UUID, tenant: str) -> AnalysisJob:
        job = self._jobs.get((tenant, job_id))
        if job is None:
            raise unknown(job_id)
        return job

    def _put(self, job: AnalysisJob) -> AnalysisJob:
        self._jobs[job.tenant, job.id] = job
        return job


def unknown(job_id: UUID) -> NotFoundError:
    """The error for a job that the tenant does not have."""
    return NotFoundError(f"There is no analysis job {str(job_id)!r}.", code="job_not_found")
