"""Read models as assets: a materialisation builds one anew, and the check tells whether it keeps up."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from assets import projections as assets
from resources.events.catalog import WorkflowCreated
from resources.events.memory import MemoryEventStore
from resources.events.model import StreamId
from resources.events.postgres import PostgresEventStore
from resources.events.projections import PROJECTIONS
from resources.events.projections.memory import MemoryProjections
from resources.events.projections.postgres import PostgresProjections
from resources.events.projections.projector import Projector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database
    from resources.events.projections.store import ProjectionStore
    from resources.events.store import EventStore

    Stores = tuple[EventStore, ProjectionStore]


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        yield MemoryEventStore(), MemoryProjections()
        return
    database: Database = request.getfixturevalue("database")
    with closing(PostgresEventStore(database)) as events:
        yield events, PostgresProjections(database)


def create(events: EventStore, id: str, *, tenant: str) -> None:
    events.append(StreamId("workflow", id), [WorkflowCreated(workflow_id=id, workflow_type="tea").new()], tenant=tenant)


def materialise(stores: Stores) -> dg.ExecuteInProcessResult:
    events, projections = stores
    return dg.materialize(
        [*assets.ASSETS, assets.check_lag],
        resources={"events": events, "projections": projections},
    )


def test_each_projection_is_an_asset_of_its_name() -> None:
    assert [asset.key.path for asset in assets.ASSETS] == [["read_models", one.name] for one in PROJECTIONS]


def test_materialising_builds_the_rows_anew_and_tells_what_that_took(stores: Stores, tenant: str) -> None:
    events, projections = stores
    create(events, "w-1", tenant=tenant)
    result = materialise(stores)
    assert result.success
    (done,) = result.asset_materializations_for_node("read_models__workflow_execution_history")
    told = {name: value.value for name, value in done.metadata.items()}
    assert int(str(told["events"])) >= 1
    assert int(str(told["rows"])) >= 1
    assert told["position"] == events.head(tenant=None)
    row = projections.get("workflow_execution_history", "w-1", tenant=tenant)
    assert row is not None
    assert row["status"] == "created"
    checks = result.get_asset_check_evaluations()
    assert {check.asset_key.path[-1] for check in checks} == {one.name for one in PROJECTIONS}
    assert all(check.passed for check in checks)


def test_the_check_warns_of_a_read_model_that_falls_behind(
    stores: Stores, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, projections = stores
    projector = Projector(events, projections)
    for projection in PROJECTIONS:
        projector.update(projection)
    create(events, "w-2", tenant=tenant)
    monkeypatch.setattr(assets, "LATE", timedelta(seconds=-1).total_seconds())
    result = dg.materialize(
        [*assets.ASSETS, assets.check_lag],
        selection=dg.AssetSelection.checks(assets.check_lag),
        resources={"events": events, "projections": projections},
    )
    late = {check.asset_key.path[-1]: check for check in result.get_asset_check_evaluations()}["workflow_stats"]
    assert not late.passed
    assert late.severity is dg.AssetCheckSeverity.WARN
    behind = late.metadata["positions_behind"].value
    assert isinstance(behind, int)
    assert behind >= 1  # others may append as well
