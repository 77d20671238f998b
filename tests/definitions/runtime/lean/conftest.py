"""Jobs on the lean executor, on PostgreSQL, and the same jobs on Dagster's own executor and storage."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from dagster import DagsterInstance, IOManagerDefinition, JobDefinition, in_process_executor, mem_io_manager

from definitions.runtime.lean.driver import execute
from definitions.runtime.lean.executor import lean_executor
from definitions.runtime.outputs import NodeOutputs, output_io_manager
from tests.definitions.runtime.conftest import new_runtime
from tests.definitions.runtime.lean import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dagster import DagsterRun
    from dagster._core.events.log import EventLogEntry
    from dagster_shared.error import SerializableErrorInfo

    from tests.definitions.runtime.conftest import Runtime
    from tests.fixtures.servers import PostgresAddress

# Where the executors may differ: what they say about themselves, and identifiers made anew each time.
_OF_THE_EXECUTOR = {"ENGINE_EVENT", "LOGS_CAPTURED"}
_CHANGING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\d+(\.\d+)?(ms|s)\b")


@dataclass
class Finished:
    """A run that has ended, as its log and Dagster's questions about it tell."""

    instance: DagsterInstance
    run: DagsterRun

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def status(self) -> str:
        run = self.instance.get_run_by_id(self.run_id)
        assert run is not None
        return run.status.value

    @property
    def entries(self) -> list[EventLogEntry]:
        return [entry for entry in self.instance.all_logs(self.run_id) if _kind(entry) not in _OF_THE_EXECUTOR]

    @property
    def events(self) -> Counter[tuple[str, str | None, str]]:
        return Counter((_kind(entry), entry.step_key, _message(entry)) for entry in self.entries)

    @property
    def order(self) -> dict[str | None, list[str]]:
        """What each step did, in order."""
        order: dict[str | None, list[str]] = {}
        for entry in self.entries:
            order.setdefault(entry.step_key, []).append(_kind(entry))
        return order

    def steps(self, kind: str) -> list[str]:
        """The steps with an event of this kind, in order."""
        return [entry.step_key or "" for entry in self.entries if _kind(entry) == kind]

    @property
    def failures(self) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {}
        for entry in self.entries:
            if _kind(entry) == "STEP_FAILURE":
                fact = entry.get_dagster_event().step_failure_data
                causes = []
                error: SerializableErrorInfo | None = fact.error
                while error is not None:
                    causes.append((error.cls_name, _CHANGING.sub("*", error.message)))
                    error = error.cause
                user = fact.user_failure_data
                found[entry.step_key or ""] = (causes, fact.error_source, user and (user.description, user.metadata))
        return found

    @property
    def statistics(self) -> list[tuple[object, ...]]:
        stats = self.instance.get_run_step_stats(self.run_id)
        return sorted((step.step_key, step.status and step.status.value, step.attempts) for step in stats)

    @property
    def outputs(self) -> dict[tuple[str, str, str | None], tuple[object, ...]]:
        """What the events say about outputs: names, types, metadata."""
        found: dict[tuple[str, str, str | None], tuple[object, ...]] = {}
        for entry in self.entries:
            if _kind(entry) == "STEP_OUTPUT":
                fact = entry.get_dagster_event().step_output_data
                handle = fact.step_output_handle
                check = fact.type_check_data
                facts = (dict(fact.metadata or {}), check and (check.success, check.label, check.description))
                found[handle.step_key, handle.output_name, handle.mapping_key] = facts
        return found

    @property
    def tags(self) -> dict[str, set[tuple[tuple[str, str], ...]]]:
        """The tags of the events of each kind."""
        found: dict[str, set[tuple[tuple[str, str], ...]]] = {}
        for entry in self.entries:
            if entry.dagster_event is not None:
                tags = dict(entry.dagster_event.logging_tags or {}) | {"run_id": "*"}
                found.setdefault(_kind(entry), set()).add(tuple(sorted(tags.items())))
        return found


def _kind(entry: EventLogEntry) -> str:
    return entry.dagster_event.event_type_value if entry.dagster_event else "LOG"


def _message(entry: EventLogEntry) -> str:
    return _CHANGING.sub("*", entry.user_message or "")


def run_to_end(instance: DagsterInstance, job: JobDefinition, **fields: Any) -> Finished:
    run = instance.create_run_for_job(job, **fields)
    for _ in execute(instance, job, run):
        pass
    return Finished(instance, run)


@dataclass
class Lean:
    """The lean executor with a number of threads, on a database of its own."""

    runtime: Runtime
    jobs: Mapping[str, JobDefinition]

    @property
    def instance(self) -> DagsterInstance:
        return self.runtime.instance

    @property
    def outputs(self) -> NodeOutputs:
        return NodeOutputs(self.runtime.database)

    def run(self, job: str, **fields: Any) -> Finished:
        return run_to_end(self.instance, self.jobs[job], **fields)


def io_manager_of(runtime: Runtime) -> IOManagerDefinition:
    return output_io_manager(url=runtime.url, folder=f"file://{runtime.home}/outputs")


@pytest.fixture(scope="package")
def lean_runtime(postgres_server: PostgresAddress, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with new_runtime(postgres_server, tmp_path_factory.mktemp("lean") / "home") as runtime:
        yield runtime


@pytest.fixture(scope="package")
def serial(lean_runtime: Runtime) -> Lean:
    """One step after another."""
    return Lean(lean_runtime, jobs.build(lean_executor, io_manager_of(lean_runtime)))


@pytest.fixture(scope="package")
def threads(lean_runtime: Runtime) -> Lean:
    """Up to eight steps at a time."""
    executor = lean_executor.configured({"max_concurrent": 8}, name="lean_threads")
    return Lean(lean_runtime, jobs.build(executor, io_manager_of(lean_runtime)))


@pytest.fixture(params=["serial", "threads"])
def lean(request: pytest.FixtureRequest) -> Lean:
    """Both of them."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Lean)
    return found


@dataclass
class Stock:
    """Dagster as it comes: its executor, its storage. Each job is executed once."""

    instance: DagsterInstance
    jobs: Mapping[str, JobDefinition]
    finished: dict[str, Finished]

    def run(self, job: str) -> Finished:
        if job not in self.finished:
            self.finished[job] = run_to_end(self.instance, self.jobs[job])
        return self.finished[job]


@pytest.fixture(scope="package")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("stock"))) as instance:
        yield Stock(instance, jobs.build(in_process_executor, mem_io_manager), {})


@pytest.fixture(autouse=True)
def flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is not there; see `jobs.FLAG`."""
    path = tmp_path / "flag"
    monkeypatch.setenv(jobs.FLAG, str(path))
    return path
