"""Which runs may begin now: at once while a tenant has few of them under way, in turn when it has many.

Dagster's queue is a table that the daemon looks at. A run that may begin does not wait for that look: it is launched by whoever
submits it. Only what is beyond a limit (of its tenant, of its workflow's `concurrency`, of the platform) goes into the queue,
which the daemon empties as runs end, so that no tenant has more under way than its share.

A tenant's own quota (`concurrent_runs`) can be lower than what the platform grants to each: then it counts.

Nobody overtakes: while a tenant has runs in the queue, its next run goes there too.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from dagster import Field, IntSource
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES, DagsterRunStatus

from assets.partitions import CONCURRENCY_TAG, DEFAULT_TENANT, TENANT_TAG, WORKFLOW_TAG, tenant_of
from definitions.runtime.code import workflows_made
from definitions.runtime.postgres import CONCURRENCY_IN_QUEUE, QUOTAS, RUNS_UNDER_WAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

    from dagster import DagsterRun
    from dagster._config.config_schema import UserConfigSchema
    from dagster._core.run_coordinator import SubmitRunContext
    from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
    from dagster._serdes import ConfigurableClassData
    from sqlalchemy.engine import Connection

DEQUEUE_SECONDS: Final = 0.2

_UNDER_WAY = [status.value for status in IN_PROGRESS_RUN_STATUSES]
_QUEUED = DagsterRunStatus.QUEUED.value


class FastLaneCoordinator(QueuedRunCoordinator[Any]):
    """Launches what is within the limits, queues the rest. -1 means no limit."""

    def __init__(self, max_runs: int, max_runs_per_tenant: int, inst_data: ConfigurableClassData | None = None) -> None:
        self._max_runs_per_tenant = max_runs_per_tenant
        super().__init__(
            max_concurrent_runs=max_runs, dequeue_use_threads=True, dequeue_num_workers=4, inst_data=inst_data
        )

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {
            "max_runs": Field(IntSource, description="Runs under way at a time"),
            "max_runs_per_tenant": Field(IntSource, description="Runs of one tenant under way at a time"),
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(**config_value, inst_data=inst_data)

    @property
    def dequeue_interval_seconds(self) -> int:
        return DEQUEUE_SECONDS  # type: ignore[return-value]  # the daemon only adds it to a time

    def get_run_queue_config(self) -> RunQueueConfig:
        """The limits for the daemon: the tenants', their own quotas, and those of the workflows that have runs in the queue."""
        limits: list[dict[str, Any]] = []
        if self._max_runs_per_tenant >= 0:
            limits.append(
                {"key": TENANT_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": self._max_runs_per_tenant}
            )
        with self._connected() as connection:
            values = connection.execute(
                sqlalchemy.text(CONCURRENCY_IN_QUEUE), {"key": CONCURRENCY_TAG, "queued": _QUEUED}
            ).scalars()
            limits += [{"key": CONCURRENCY_TAG, "value": value, "limit": _limit(value)} for value in values]
            quotas = connection.execute(sqlalchemy.text(QUOTAS)).all()
            limits += [{"key": TENANT_TAG, "value": tenant, "limit": most} for tenant, most in quotas]
        return super().get_run_queue_config()._replace(tag_concurrency_limits=limits)

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        run = self._as_of_workflow(context.dagster_run)
        context = context._replace(dagster_run=run)
        if run.status is DagsterRunStatus.NOT_STARTED:
            with self._alone(tenant_of(run)) as connection:
                if self._may_begin(run, connection):
                    # The run is under way, for all who count, when the lock is released.
                    launched: DagsterRun = self._instance.launch_run(run.run_id, context.workspace)
                    return launched
        return super().submit_run(context)

    def _as_of_workflow(self, run: DagsterRun) -> DagsterRun:
        """A run that makes assets of a workflow has the tags of the workflow's runs: its tenant, its limits, its story."""
        if WORKFLOW_TAG in run.tags:
            return run
        made = workflows_made(self._instance, run)
        tags = made[0] if len(made) == 1 else {}
        if not tags:
            return run
        self._instance.add_run_tags(run.run_id, {**run.tags, **tags})
        return run.with_tags({**run.tags, **tags})

    def _may_begin(self, run: DagsterRun, connection: Connection) -> bool:
        concurrency = run.tags.get(CONCURRENCY_TAG)
        counts = connection.execute(
            sqlalchemy.text(RUNS_UNDER_WAY),
            {
                "under_way": _UNDER_WAY,
                "queued": _QUEUED,
                "tenant_key": TENANT_TAG,
                "tenant": tenant_of(run),
                "default": DEFAULT_TENANT,
                "concurrency_key": CONCURRENCY_TAG,
                "concurrency": concurrency or "",
            },
        ).one()
        everybody, own, own_queued, like_this, quota = counts
        return (
            own_queued == 0
            and _below(everybody, self._max_concurrent_runs)
            and _below(own, self._max_runs_per_tenant)
            and (quota is None or own < quota)
            and (concurrency is None or _below(like_this, _limit(concurrency)))
        )

    @contextmanager
    def _alone(self, tenant: str) -> Iterator[Connection]:
        """One submission of a tenant at a time, in all processes: two must not both be the last that fits."""
        key = int.from_bytes(hashlib.sha256(f"runs of {tenant}".encode()).digest()[:8], signed=True)
        with self._connected() as connection:
            connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(key)))
            try:
                yield connection
            finally:
                connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_unlock(key)))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self._instance.run_storage.connect() as connection:
            yield connection


def _limit(value: str) -> int:
    """Of a tag such as `3:acme__summarise`."""
    number = value.partition(":")[0]
    return int(number) if number.isdigit() else 1


def _below(count: int, limit: int) -> bool:
    return limit < 0 or count < limit
