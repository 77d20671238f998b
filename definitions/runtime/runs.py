"""What the platform tells about a run: Dagster's records, read without the code that made them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX, PARTITION_NAME_TAG

from assets.partitions import CORRELATION_TAG, DEFAULT_TENANT, TENANT_TAG, tenant_of
from definitions.runtime.storage import in_our_words, materialised
from resources.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Self

    from dagster._core.events import DagsterEvent
    from dagster._core.execution.stats import RunStepKeyStatsSnapshot
    from dagster._core.storage.dagster_run import RunRecord
    from dagster_shared.error import SerializableErrorInfo

_FAILURES = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a run. `status` is in_progress, success, failure or skipped; `seconds` is None while it runs."""

    key: str
    status: str
    started_at: datetime | None
    seconds: float | None
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as a reader wants it. `status` is Dagster's, in small letters: queued, starting, started, success, failure,
    canceling, canceled. `error` is the first thing that went wrong; None means that nothing did.
    """

    id: str
    job: str
    status: str
    tenant: str
    correlation_id: str | None
    partition: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None
    tags: Mapping[str, str]
    asset_keys: tuple[str, ...]
    steps: tuple[StepView, ...]

    @property
    def finished(self) -> bool:
        return self.status in ("success", "failure", "canceled")


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list."""

    id: str
    job: str
    status: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    partition: str | None
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunAssets:
    """What a run was asked to make, or made, and of which partition."""

    asset_keys: tuple[str, ...]
    partition: str | None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, the newest first. `cursor` leads to the next page; None when there is none."""

    runs: tuple[RunLine, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry of a run's log. `kind` is the type of Dagster's event; None: a line that a step wrote."""

    at: datetime
    level: str
    step: str | None
    kind: str | None
    message: str


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries in order. `cursor` leads to those that follow, now or later."""

    lines: tuple[LogLine, ...]
    cursor: str | None
    more: bool


class RunReader:
    """Reads runs of one Dagster instance. Safe to share between threads."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance = instance

    @classmethod
    def open(cls) -> Self:
        """A reader of the instance that DAGSTER_HOME names. Raises UnavailableError."""
        with in_our_words():
            return cls(DagsterInstance.get())

    def get(self, run_id: str, *, tenant: str | None = None) -> RunView:
        """One run. Raises NotFoundError if there is none, or none of `tenant`; UnavailableError without the database."""
        with in_our_words():
            record = self._instance.get_run_record_by_id(run_id)
            if record is None or (tenant is not None and tenant_of(record.dagster_run) != tenant):
                raise NotFoundError(f"There is no run {run_id!r}.", code="run_not_found", run_id=run_id)
            stats = self._instance.get_run_step_stats(run_id)
            failures = self._instance.all_logs(run_id, of_type=_FAILURES)
        return _view(record, list(stats), [entry.get_dagster_event() for entry in failures])

    def lines(self, run_ids: Collection[str], *, tenant: str) -> Mapping[str, RunLine]:
        """Those of these runs that the tenant has, by id. Raises UnavailableError."""
        if not run_ids:
            return {}
        with in_our_words():
            records = self._instance.get_run_records(RunsFilter(run_ids=list(run_ids)))
        found = (record for record in records if tenant_of(record.dagster_run) == tenant)
        return {record.dagster_run.run_id: _line(record) for record in found}

    def assets(self, run_ids: Collection[str], *, tenant: str) -> Mapping[str, RunAssets]:
        """The assets of those of these runs that the tenant has, in two statements. Raises UnavailableError."""
        if not run_ids:
            return {}
        with in_our_words():
            records = self._instance.get_run_records(RunsFilter(run_ids=[*run_ids]))
            runs = {run.run_id: run for run in (record.dagster_run for record in records) if tenant_of(run) == tenant}
            made = materialised(self._instance, runs)
        found = {}
        for run_id, run in runs.items():
            keys = {key.to_user_string() for key in (*(run.asset_selection or ()), *made[run_id])}
            found[run_id] = RunAssets(tuple(sorted(keys)), run.tags.get(PARTITION_NAME_TAG))
        return found

    def list(
        self,
        *,
        tenant: str,
        job: str | None = None,
        status: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """The tenant's runs. A page may hold fewer than `limit`, even none: go on with its cursor. Raises InvalidInputError."""
        statuses = None
        if status is not None:
            if status.upper() not in DagsterRunStatus.__members__:
                known = ", ".join(name.lower() for name in DagsterRunStatus.__members__)
                raise InvalidInputError(f"There is no status {status!r}, only: {known}.", code="query_invalid")
            statuses = [DagsterRunStatus[status.upper()]]
        # Runs that were started by hand have no tenant's tag: they are the default one's.
        tags = {TENANT_TAG: tenant} if tenant != DEFAULT_TENANT else {}
        with in_our_words():
            records = self._instance.get_run_records(
                RunsFilter(job_name=job, statuses=statuses, tags=tags), limit=limit, cursor=cursor
            )
        found = tuple(_line(record) for record in records if tenant_of(record.dagster_run) == tenant)
        return RunPage(found, records[-1].dagster_run.run_id if len(records) == limit else None)

    def logs(self, run_id: str, *, tenant: str, limit: int = 500, cursor: str | None = None) -> LogPage:
        """A page of the run's log. Raises NotFoundError, UnavailableError."""
        with in_our_words():
            run = self._instance.get_run_by_id(run_id)
            if run is None or tenant_of(run) != tenant:
                raise NotFoundError(f"There is no run {run_id!r}.", code="run_not_found", run_id=run_id)
            page = self._instance.get_records_for_run(run_id, cursor=cursor, limit=limit)
        lines = []
        for record in page.records:
            entry = record.event_log_entry
            event = entry.dagster_event
            lines.append(
                LogLine(
                    at=datetime.fromtimestamp(entry.timestamp, UTC),
                    level=logging.getLevelName(entry.level).lower(),
                    step=entry.step_key,
                    kind=event.event_type_value.lower() if event is not None else None,
                    message=(event.message if event is not None else None) or entry.user_message,
                )
            )
        return LogPage(tuple(lines), page.cursor, page.has_more)

    def close(self) -> None:
        self._instance.dispose()


def _view(record: RunRecord, stats: list[RunStepKeyStatsSnapshot], failures: list[DagsterEvent]) -> RunView:
    run = record.dagster_run
    errors = {event.step_key: _reason(event) for event in failures}
    keys = {key.to_user_string() for key in run.asset_selection or ()}
    for step in stats:
        events = (entry.get_dagster_event() for entry in step.materialization_events)
        keys |= {event.asset_key.to_user_string() for event in events if event.asset_key is not None}
    steps = [_step(step, errors.get(step.step_key)) for step in stats]
    return RunView(
        id=run.run_id,
        job=run.job_name,
        status=run.status.value.lower(),
        tenant=tenant_of(run),
        correlation_id=run.tags.get(CORRELATION_TAG),
        partition=run.tags.get(PARTITION_NAME_TAG),
        created_at=record.create_timestamp.astimezone(UTC),
        started_at=_time(record.start_time),
        ended_at=_time(record.end_time),
        error=_reason(failures[0]) if failures else None,
        tags={key: value for key, value in run.tags.items() if not key.startswith(HIDDEN_TAG_PREFIX)},
        asset_keys=tuple(sorted(keys)),
        steps=tuple(sorted(steps, key=lambda step: (step.started_at is None, step.started_at, step.key))),
    )


def _line(record: RunRecord) -> RunLine:
    run = record.dagster_run
    return RunLine(
        id=run.run_id,
        job=run.job_name,
        status=run.status.value.lower(),
        created_at=record.create_timestamp.astimezone(UTC),
        started_at=_time(record.start_time),
        ended_at=_time(record.end_time),
        partition=run.tags.get(PARTITION_NAME_TAG),
        tags={key: value for key, value in run.tags.items() if not key.startswith(HIDDEN_TAG_PREFIX)},
    )


def _step(stats: RunStepKeyStatsSnapshot, error: str | None) -> StepView:
    started, ended = stats.start_time, stats.end_time
    return StepView(
        key=stats.step_key,
        status=stats.status.value.lower() if stats.status else "in_progress",
        started_at=_time(started),
        seconds=ended - started if started is not None and ended is not None else None,
        attempts=stats.attempts or 1,
        error=error,
    )


def _reason(event: DagsterEvent) -> str:
    """What went wrong, in the words of whoever raised it; Dagster wraps it in errors of its own."""
    if event.event_type == DagsterEventType.RUN_FAILURE:
        error = event.job_failure_data.error
        return _innermost(error) if error else (event.message or "The run failed.")
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    return _innermost(failure.error) if failure.error else (event.message or "The step failed.")


def _innermost(error: SerializableErrorInfo) -> str:
    while error.cause is not None:
        error = error.cause
    return error.message.strip()


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
