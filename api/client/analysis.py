"""Analyses of documents, at once or as jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.client.answers import V1, model_of
from api.client.base import HttpClient
from api.content import AnalyzeIn, BatchIn, JobOut, JobPage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from resources.content.jobs.model import JobStatus


class AnalysisClient(HttpClient):
    """Analyses of documents, at once or as jobs."""

    def analyze(self, asked: AnalyzeIn) -> JobOut:
        """The result, or a job to follow if `background` is set or a model is asked."""
        answer = self._send("POST", f"{V1}/analyze", json=asked.model_dump(mode="json", exclude_unset=True))
        return model_of(JobOut, answer)

    def analyze_file(self, content: bytes, *, name: str, media_type: str | None = None, **fields: Any) -> JobOut:
        """The same for a file's bytes. `fields` are those of the form: background, provider, model, timeout_seconds."""
        answer = self._send(
            "POST",
            f"{V1}/analyze/upload",
            files={"file": (name, content, media_type or "application/octet-stream")},
            data={key: str(value) for key, value in fields.items() if value is not None},
        )
        return model_of(JobOut, answer)

    def analyze_batch(self, documents: Sequence[AnalyzeIn]) -> JobPage:
        """A job for each."""
        body = BatchIn(documents=list(documents)).model_dump(mode="json", exclude_unset=True)
        answer = self._send("POST", f"{V1}/analyze/batch", json=body)
        return model_of(JobPage, answer)

    def analysis(self, job_id: UUID) -> JobOut:
        return self._get(f"{V1}/analyze/jobs/{job_id}", JobOut)

    def analyses(self, *, status: JobStatus | None = None, after: UUID | None = None, limit: int = 50) -> JobPage:
        return self._get(
            f"{V1}/analyze/jobs", JobPage, status=status, after=None if after is None else str(after), limit=limit
        )

    def cancel_analysis(self, job_id: UUID) -> JobOut:
        answer = self._send("POST", f"{V1}/analyze/jobs/{job_id}/cancel")
        return model_of(JobOut, answer)
