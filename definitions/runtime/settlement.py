"""Runs whose worker is gone get the end that their state asks for, so that nothing stays "started" for ever."""

from __future__ import annotations

from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.events import JobFailureData, RunFailureReason

from definitions.runtime.retries import is_promised
from definitions.runtime.storage import in_our_words

_NOT_BEGUN = frozenset({DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.QUEUED})


class Settlement:
    """Writes the ends of such runs. Opening it creates Dagster's tables if there are none. Raises UnavailableError."""

    def __init__(self) -> None:
        with in_our_words():
            self._instance = DagsterInstance.get()

    def settle(self, run_id: str, *, reason: str, may_begin_again: bool) -> bool:
        """End a run that no worker executes: cancelled if that was asked for, failed for `reason` if it had begun.

        A run of which no step had begun can safely be executed by another worker: with `may_begin_again` it is left as it
        is, and the answer False says to put it back into the queue. Automatic retries (`run_retries`) see a failure as that
        of a lost worker.
        """
        with in_our_words():
            return self._settle(run_id, reason=reason, may_begin_again=may_begin_again)

    def is_to_be_tried_again(self, run_id: str) -> bool:
        """Whether the run was promised a retry that workers can start."""
        with in_our_words():
            return is_promised(self._instance, run_id)

    def close(self) -> None:
        self._instance.dispose()

    def _settle(self, run_id: str, *, reason: str, may_begin_again: bool) -> bool:
        instance = self._instance
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return True
        if run.status in _NOT_BEGUN and may_begin_again:
            instance.report_engine_event(f"{reason} No step had begun: the run goes back to the queue.", run)
            return False
        if run.status == DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, f"The run was cancelled. {reason}")
        else:
            failure = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
            instance.report_run_failed(run, reason, failure)
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        return True
