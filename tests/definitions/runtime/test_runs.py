"""What the platform tells about a run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from dagster import DagsterRunStatus

from definitions.runtime.runs import RunReader
from resources.errors import NotFoundError

if TYPE_CHECKING:
    from tests.definitions.runtime.conftest import Runtime


def test_a_run_of_assets_shows_what_it_made(warm: Runtime) -> None:
    warm.instance.add_dynamic_partitions("documents", ["shown"])
    tags = {"dagster/partition": "shown", "aiw/tenant": "acme", "aiw/correlation-id": "request-1"}
    run_id = warm.launch("everything", tags=tags)
    assert warm.end_of(run_id) == DagsterRunStatus.SUCCESS

    view = RunReader(warm.instance).get(run_id, tenant="acme")
    assert (view.id, view.job, view.status, view.finished) == (run_id, "everything", "success", True)
    assert (view.tenant, view.correlation_id, view.partition) == ("acme", "request-1", "shown")
    assert view.asset_keys == ("chunks", "concepts", "document", "language", "vectors")
    assert view.error is None
    assert view.started_at is not None
    assert view.ended_at is not None
    assert view.created_at <= view.started_at <= view.ended_at
    assert view.steps[0].key == "document"
    assert view.steps[-1].key == "concepts"
    for step in view.steps:
        assert step.status == "success"
        assert step.seconds is not None
        assert step.seconds >= 0


def test_the_assets_of_many_runs_are_read_in_two_statements(warm: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy

    keys = ["one", "two"]
    warm.instance.add_dynamic_partitions("documents", keys)
    ids = [warm.launch("everything", tags={"dagster/partition": key, "aiw/tenant": "acme"}) for key in keys]
    others = warm.launch("everything", tags={"dagster/partition": "one", "aiw/tenant": "other"})
    for run_id in (*ids, others):
        assert warm.end_of(run_id) == DagsterRunStatus.SUCCESS
    reader = RunReader(warm.instance)
    said = {run_id: reader.get(run_id) for run_id in ids}

    me, asked = threading.get_ident(), []
    execute = sqlalchemy.engine.Connection.execute

    def counted(self: Any, statement: Any, *arguments: Any, **named: Any) -> Any:
        if threading.get_ident() == me:
            asked.append(str(statement))
        return execute(self, statement, *arguments, **named)

    monkeypatch.setattr(sqlalchemy.engine.Connection, "execute", counted)
    found = reader.assets([*ids, others, "nonsense"], tenant="acme")
    assert {run_id: (one.asset_keys, one.partition) for run_id, one in found.items()} == {
        run_id: (view.asset_keys, view.partition) for run_id, view in said.items()
    }
    assert len(asked) == 2, asked


def test_a_failed_run_names_the_first_error_in_the_words_of_its_op(warm: Runtime) -> None:
    run_id = warm.launch("failing")
    warm.end_of(run_id)
    view = RunReader(warm.instance).get(run_id)
    assert view.status == "failure"
    assert view.error == "ValueError: this op always fails"
    assert [(step.key, step.status, step.error) for step in view.steps] == [("fail", "failure", view.error)]


def test_a_waiting_run_has_not_begun(runtime: Runtime) -> None:
    run_id = runtime.launch("failing")
    view = RunReader(runtime.instance).get(run_id)
    assert (view.status, view.finished, view.started_at, view.steps) == ("starting", False, None, ())


def test_a_crashed_run_says_that_its_worker_died(warm: Runtime) -> None:
    run_id = warm.launch("crashing")
    warm.end_of(run_id)
    view = RunReader(warm.instance).get(run_id)
    assert view.error is not None
    assert "exited with code 7" in view.error


def test_an_unknown_run_and_one_of_another_tenant_are_not_found(runtime: Runtime) -> None:
    reader = RunReader(runtime.instance)
    run = runtime.create("failing", tags={"aiw/tenant": "acme"})
    assert reader.get(run.run_id, tenant="acme").status == "not_started"
    for run_id in (run.run_id, "no-such-run"):
        with pytest.raises(NotFoundError, match=run_id):
            reader.get(run_id, tenant="globex")
