"""The execution of a workflow as an aggregate: created → running → completed, failed or cancelled."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from resources.errors import ConflictError
from resources.events.aggregate import Aggregate, on
from resources.events.catalog import (
    NodeCompleted,
    NodeFailed,
    NodeRetried,
    NodeSkipped,
    NodeStarted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowCreated,
    WorkflowFailed,
    WorkflowStarted,
)


class WorkflowStatus(StrEnum):
    """Where an execution stands."""

    CREATED = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkflowState(BaseModel):
    """What the events say. `status` is None before the first."""

    workflow_type: str | None = None
    status: WorkflowStatus | None = None
    configuration: dict[str, Any] = {}
    input_data: Any = None
    output_data: Any = None
    user_id: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error_message: str | None = None
    nodes_executed: int = 0


class WorkflowAggregate(Aggregate[WorkflowState]):
    """One execution. A command that does not fit the status raises ConflictError (`workflow_transition`)."""

    stream_type = "workflow"
    state_type = WorkflowState

    def create(
        self,
        workflow_type: str,
        *,
        input_data: Any = None,
        configuration: dict[str, Any] | None = None,
        user_id: str | None = None,
        now: datetime | None = None,
    ) -> None:
        self._must_be(None, to="create")
        created = WorkflowCreated(
            workflow_id=self.id,
            workflow_type=workflow_type,
            input_data=input_data,
            configuration=configuration or {},
            user_id=user_id,
        )
        self.record(created, now=now)

    def start(self, *, now: datetime | None = None) -> None:
        self._must_be(WorkflowStatus.CREATED, to="start")
        state = self.state
        started = WorkflowStarted(
            workflow_id=self.id,
            workflow_type=state.workflow_type or "",
            configuration=state.configuration,
            input_data=state.input_data,
            user_id=state.user_id,
        )
        self.record(started, now=now)

    def node(
        self,
        payload: NodeStarted | NodeCompleted | NodeFailed | NodeRetried | NodeSkipped,
        *,
        now: datetime | None = None,
    ) -> None:
        """What happened to one of the nodes."""
        self._must_be(WorkflowStatus.RUNNING, to="execute a node of")
        self.record(payload, now=now)

    def complete(self, output_data: Any = None, *, duration_ms: int, now: datetime | None = None) -> None:
        self._must_be(WorkflowStatus.RUNNING, to="complete")
        completed = WorkflowCompleted(
            workflow_id=self.id,
            output_data=output_data,
            duration_ms=duration_ms,
            nodes_executed=self.state.nodes_executed,
        )
        self.record(completed, now=now)

    def fail(
        self,
        error_message: str,
        *,
        failed_node: str | None = None,
        duration_ms: int | None = None,
        now: datetime | None = None,
    ) -> None:
        self._must_be(WorkflowStatus.RUNNING, to="fail")
        failed = WorkflowFailed(
            workflow_id=self.id, error_message=error_message, failed_node=failed_node, duration_ms=duration_ms
        )
        self.record(failed, now=now)

    def cancel(
        self, reason: str | None = None, *, cancelled_by: str | None = None, now: datetime | None = None
    ) -> None:
        self._must_be(WorkflowStatus.CREATED, WorkflowStatus.RUNNING, to="cancel")
        self.record(WorkflowCancelled(workflow_id=self.id, reason=reason, cancelled_by=cancelled_by), now=now)

    def _must_be(self, *allowed: WorkflowStatus | None, to: str) -> None:
        if self.state.status not in allowed:
            wanted = " or ".join(str(status or "new") for status in allowed)
            raise ConflictError(
                f"Cannot {to} the workflow {self.id!r}: it is {self.state.status or 'new'}, not {wanted}.",
                code="workflow_transition",
            )

    @on(WorkflowCreated)
    def _created(self, data: WorkflowCreated, at: datetime) -> None:
        state = self.state
        state.workflow_type, state.input_data = data.workflow_type, data.input_data
        state.configuration, state.user_id = data.configuration, data.user_id
        state.status, state.created_at = WorkflowStatus.CREATED, at

    @on(WorkflowStarted)
    def _started(self, data: WorkflowStarted, at: datetime) -> None:
        state = self.state
        state.workflow_type, state.input_data = data.workflow_type, data.input_data
        state.configuration, state.user_id = data.configuration, data.user_id
        state.status, state.started_at = WorkflowStatus.RUNNING, at
        state.created_at = state.created_at or at

    @on(NodeCompleted)
    def _node_completed(self, data: NodeCompleted, at: datetime) -> None:
        del data, at
        self.state.nodes_executed += 1

    @on(WorkflowCompleted)
    def _completed(self, data: WorkflowCompleted, at: datetime) -> None:
        self.state.status, self.state.completed_at = WorkflowStatus.COMPLETED, at
        self.state.output_data = data.output_data

    @on(WorkflowFailed)
    def _failed(self, data: WorkflowFailed, at: datetime) -> None:
        self.state.status, self.state.completed_at = WorkflowStatus.FAILED, at
        self.state.error_message = data.error_message

    @on(WorkflowCancelled)
    def _cancelled(self, data: WorkflowCancelled, at: datetime) -> None:
        self.state.status, self.state.completed_at = WorkflowStatus.CANCELLED, at
        self.state.error_message = data.reason
