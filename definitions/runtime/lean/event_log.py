"""Dagster's event log, written behind the run that it tells about.

Stock writes each event in a transaction of its own and then notifies in another: six times two round trips a step, two thirds
of what a step costs. Here events are collected for 20 ms at most and written together (`outbox.py`, `postgres.py`).

What stays as it is: tables, rows, order within a run, NOTIFY (one a run and batch, with the newest id). Events of assets and
of checks, which also change other tables, are written at once. Whoever reads through this storage finds what was written
before. The ends of runs are written before `store_event` returns, and a run becomes SUCCESS in the very transaction that holds
its last event. What can be lost in a crash of the process is the last 20 ms, and the step that they tell about is then
repeated by a re-execution; steps that must not be repeated write durably before and after (`aiw/effects`).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy
from dagster import DagsterEventType
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS

from definitions.runtime.lean.compatibility import differs
from definitions.runtime.lean.outbox import LONG_PATIENCE_SECONDS, OUTBOXES
from definitions.runtime.lean.postgres import COLUMNS, IN_ORDER, OUR_TABLES, PostgresCourier
from definitions.runtime.lean.rows import EventRow, RunUpdate
from definitions.runtime.storage import PooledEventLogStorage, shared_engine
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from dagster._core.events import DagsterEvent
    from dagster._core.events.log import EventLogEntry
    from dagster._serdes import ConfigurableClassData
    from sqlalchemy.engine import Connection

    from definitions.runtime.lean.rows import OutputRow

log = get_logger(__name__)

_AT_ONCE = ASSET_EVENTS | ASSET_CHECK_EVENTS
_LAST_WORDS = frozenset(
    {
        DagsterEventType.RUN_FAILURE,
        DagsterEventType.RUN_CANCELED,
        DagsterEventType.RUN_CANCELING,
        DagsterEventType.ENGINE_EVENT,
    }
)
_NOT_BEGUN = ("NOT_STARTED", "QUEUED", "STARTING", "MANAGED")

EXPECTED_COLUMNS = frozenset(
    {"id", "run_id", "event", "dagster_event_type", "timestamp", "step_key", "asset_key", "partition"}
)


class WriteBehindEventLogStorage(PooledEventLogStorage):
    """One outbox a process and database, however many of these there are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._held = threading.local()
        self._outbox = None
        super().__init__(*args, **kwargs)
        if self._once_true("write-behind", self._fits):
            url, token_provider = self.postgres_url, self._token_provider
            self._outbox = OUTBOXES.get(url, lambda: PostgresCourier(lambda: shared_engine(url, token_provider)))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        if reason := differs():
            log.warning("event_log.stock", reason=reason, hint="Events are written one by one, as Dagster does it.")
            return PooledEventLogStorage.from_config_value(inst_data, config_value)  # type: ignore[return-value]
        return super().from_config_value(inst_data, config_value)

    @property
    def writes_behind(self) -> bool:
        """False if the tables are not those that this was written for; then events are written as stock does."""
        return self._outbox is not None

    # ------------------------------------------------------------------ writing

    @property
    def handles_run_events_in_store_event(self) -> bool:
        """Whether `store_event` changes the run's row too. Stock does it in a separate step that reads the run twice."""
        return self.writes_behind

    def store_event(self, event: EventLogEntry) -> None:
        if self._outbox is None:
            super().store_event(event)
            return
        dagster_event = event.dagster_event
        if dagster_event is None:
            self._outbox.add_event(EventRow(event.run_id, event, None, event.timestamp, event.step_key))
            return
        kind = dagster_event.event_type
        if kind in _AT_ONCE:
            with self._in_order():
                super().store_event(event)
            return
        row = EventRow(
            event.run_id,
            event,
            dagster_event.event_type_value,
            event.timestamp,
            dagster_event.step_key,
            of_job=dagster_event.is_job_event,
            closes_a_broken_run=kind in _LAST_WORDS,
        )
        self._outbox.add_event(row)
        if row.of_job:
            self._follow_run(event, dagster_event)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        if self._outbox is None:
            super().store_event_batch(events)
        else:
            with self._in_order():
                super().store_event_batch(events)

    def add_row(self, row: EventRow) -> None:
        """Add an event of a step that is encoded already. Only while `writes_behind`."""
        assert self._outbox is not None
        self._outbox.add_event(row)

    def add_output(self, row: OutputRow) -> None:
        """Add what a step returned: in the database no later than the step's success. Only while `writes_behind`."""
        assert self._outbox is not None
        self._outbox.add_output(row)

    def flush(self, *, durable: bool = False) -> None:
        """Return when everything added before is committed; `durable`: and on disk. Raises UnavailableError."""
        if self._outbox is not None:
            self._outbox.flush(durable=durable)

    def expect_a_run(self) -> None:
        """This process executes a run: have patience with a database that is being restarted."""
        if self._outbox is not None:
            self._outbox.patience = LONG_PATIENCE_SECONDS

    def _follow_run(self, event: EventLogEntry, dagster_event: DagsterEvent) -> None:
        """Change the run's row as the event says."""
        assert self._outbox is not None
        match dagster_event.event_type:
            case DagsterEventType.RUN_START:
                # A run that somebody has begun to cancel stays so.
                self._outbox.add_update(RunUpdate(event.run_id, "STARTED", event.timestamp, "start_time", _NOT_BEGUN))
            case DagsterEventType.RUN_SUCCESS:
                # A cancellation that came too late is overtaken, as in stock; an end that somebody else wrote stays.
                allowed = (*_NOT_BEGUN, "STARTED", "CANCELING")
                self._outbox.add_update(RunUpdate(event.run_id, "SUCCESS", event.timestamp, "end_time", allowed))
                self._outbox.flush()
            case _:
                self._outbox.flush()
                self._follow_run_as_stock(event, dagster_event)

    def _follow_run_as_stock(self, event: EventLogEntry, dagster_event: DagsterEvent) -> None:
        """What `DagsterInstance.handle_new_event` does after it has stored a job event."""
        from dagster._core.events import RunFailureReason
        from dagster._core.execution.retries import auto_reexecution_should_retry_run
        from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

        instance = self._instance
        instance.run_storage.handle_run_event(event.run_id, dagster_event, datetime.fromtimestamp(event.timestamp, UTC))
        if not dagster_event.is_run_failure or not instance.run_retries_enabled:
            return
        run = instance.get_run_by_id(event.run_id)
        if run is not None:
            named = run.tags.get(RUN_FAILURE_REASON_TAG)
            will_retry = auto_reexecution_should_retry_run(instance, run, RunFailureReason(named) if named else None)
            instance.add_run_tags(event.run_id, {WILL_RETRY_TAG: str(will_retry).lower()})

    # ------------------------------------------------------------------ reading

    def _connect(self) -> AbstractContextManager[Connection]:
        """Every statement of the stock class goes through here."""
        held = getattr(self._held, "connection", None)
        if held is not None:
            return nullcontext(held)
        if self._outbox is not None and self._outbox.holds_anything:
            self._outbox.flush()
        return super()._connect()

    @contextmanager
    def _in_order(self) -> Iterator[None]:
        """What this thread writes in the block is one transaction, and its ids become visible in order."""
        with self._connect() as pooled:
            connection = pooled.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.execute(sqlalchemy.text(IN_ORDER))
                self._held.connection = connection
                try:
                    yield
                finally:
                    self._held.connection = None

    def dispose(self) -> None:
        self.flush()
        super().dispose()

    def _fits(self) -> bool:
        with super()._connect() as connection:
            columns = set(connection.execute(sqlalchemy.text(COLUMNS)).scalars())
            ours = bool(connection.execute(sqlalchemy.text(OUR_TABLES)).scalar())
        if columns == EXPECTED_COLUMNS and ours:
            return True
        log.warning(
            "event_log.stock",
            columns=sorted(columns ^ EXPECTED_COLUMNS),
            our_tables=ours,
            hint="Events are written one by one, as Dagster does it. Migrate the database: aiw migrate.",
        )
        return False
