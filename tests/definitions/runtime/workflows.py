"""Workflows for tests: published, launched, and looked at, on the runtime of `conftest.py`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagster import DagsterRunStatus
from pydantic import SecretStr

from definitions.runtime.launch import WorkflowLauncher
from definitions.workflows import open_workflows
from resources.events.postgres import PostgresEventStore
from resources.settings import DatabaseSettings, Settings
from resources.workflows.definitions import WorkflowDefinitions
from resources.workflows.loading import load
from tests.definitions.runtime import faulty

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent
    from resources.workflows.definitions import Published
    from tests.definitions.runtime.conftest import Runtime

SECONDS = 60.0

assert faulty.defs  # whoever checks a workflow must know the functions that it names


@dataclass
class Engine:
    """What the API has: it publishes workflows and starts runs of them, for a tenant of its own."""

    runtime: Runtime
    tenant: str = field(default_factory=lambda: f"t-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.events = PostgresEventStore(self.runtime.database)
        self.definitions = WorkflowDefinitions(self.events)
        # Not the environment's: each of several runtimes in one process would take it for its own.
        settings = Settings(_env_file=None, database=DatabaseSettings(url=SecretStr(self.runtime.url)))
        workflows = open_workflows(settings)
        self.launcher = WorkflowLauncher(self.runtime.instance, self.runtime.database, workflows, self.events)

    def publish(self, text: str, *, tenant: str | None = None) -> Published:
        return self.definitions.publish(load(text), tenant=tenant or self.tenant)

    def launch(self, name: str, **options: Any) -> str:
        options.setdefault("tenant", self.tenant)
        return self.launcher.launch(name, **options).run_id

    def end_of(self, run_id: str) -> DagsterRunStatus:
        status = self.launcher.wait(run_id, SECONDS)
        assert status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
        return status

    def succeed(self, name: str, **options: Any) -> str:
        """Run it to a good end."""
        run_id = self.launch(name, **options)
        assert self.end_of(run_id) is DagsterRunStatus.SUCCESS, self.runtime.messages(run_id)
        return run_id

    def story(self, run_id: str, *, until: str | None = None) -> list[RecordedEvent]:
        """The events of the run; `until`: once one of this type is there."""
        from resources.events.model import StreamId
        from tests.definitions.runtime.conftest import wait_until

        def read() -> list[RecordedEvent]:
            return list(self.events.read_stream(StreamId("workflow", run_id), tenant=self.tenant))

        if until is not None:
            wait_until(lambda: any(event.type == until for event in read()))
        return read()

    def outputs(self, run_id: str) -> Any:
        """What the run told that it gave."""
        ends = [event for event in self.story(run_id, until="workflow.completed") if event.type == "workflow.completed"]
        assert len(ends) == 1
        return ends[0].data["output_data"]
