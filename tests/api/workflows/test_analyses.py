"""Analyses as jobs, on a whole runtime."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from api.content import AnalyzeIn
from tests.api.workflows.conftest import wait_for

if TYPE_CHECKING:
    from uuid import UUID

    from api.client import ApiClient
    from tests.api.workflows.conftest import Platform

TEXT = "# Tea\n\nGreen tea is made from leaves. Green tea wants water of eighty degrees."


def test_each_document_of_a_batch_is_a_run_of_its_own(platform: Platform) -> None:
    good = AnalyzeIn(content=TEXT, content_type="Markdown", name="tea.md")
    bad = AnalyzeIn(content='{"a": ', content_type="Json")
    unknown = good.model_copy(update={"options": good.options.model_copy(update={"provider": "nobody", "model": "m"})})
    with platform.api as api:
        jobs = api.analyze_batch([good, bad, unknown]).jobs
        assert [job.status for job in jobs] == ["queued"] * 3
        for job in jobs:
            wait_for(partial(_ended, api, job.job_id), f"the end of {job.job_id}")
        read, broken, by_rule = (api.analysis(job.job_id) for job in jobs)
        cancelled = api.cancel_analysis(read.job_id)
    assert (read.status, broken.status, by_rule.status) == ("completed", "failed", "partial")
    assert read.result is not None
    assert read.result.content_metadata.title == "Tea"
    assert [error.code for error in broken.errors] == ["PARSE_ERROR"]
    assert [error.part for error in by_rule.errors] == ["model"]
    assert by_rule.result is not None
    assert cancelled == read
    runs = {job.run_id for job in (read, broken, by_rule)}
    wait_for(lambda: {run.run_id for run in platform.runs_of("content_analysis")} == runs, "the list of the runs")


def _ended(api: ApiClient, job_id: UUID) -> bool:
    return api.analysis(job_id).status.ended


def test_a_job_is_cancelled_with_its_run(platform: Platform) -> None:
    with platform.api as api:
        job = api.analyze(AnalyzeIn(content=TEXT, name="tea.md", background=True))
        cancelled = api.cancel_analysis(job.job_id)
        assert cancelled.status in {"cancelled", "completed"}
        assert api.analysis(job.job_id).status == cancelled.status
