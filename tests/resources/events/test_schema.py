from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import InvalidInputError
from resources.events.catalog import CATALOG
from resources.events.memory import MemoryEventStore
from resources.events.model import NewEvent, StreamId
from resources.events.postgres import PostgresEventStore
from resources.events.schema import TYPE_NAME, Catalog, EventData

if TYPE_CHECKING:
    from resources.database.postgres import Database

GOLDEN = Path(__file__).parent / "golden"
STREAM = StreamId("order", "1")

ADDED: dict[str, dict[str, Any]] = {
    "workflow.started": {
        "user_context": {"user_agent": None, "ip_address": None, "session_id": None},
        "priority": "normal",
        "retry_config": {"max_retries": 3, "retry_delay_seconds": 60},
        "revision": None,
        "nodes_total": None,
        "parent_run_id": None,
        "trigger": None,
    },
    "workflow.node_started": {"attempt": 1},
    "workflow.node_completed": {"attempt": 1},
    "workflow.node_failed": {"attempt": 1},
    "workflow.completed": {
        "workflow_type": None,
        "performance_metrics": {"average_node_ms": 250.0, "memory_bytes": None, "cpu_percent": None},
        "output_validation": None,
        "quality_metrics": None,
    },
    "ai.budget_threshold_reached": {"unit": "usd", "limit": "10.00", "spent": "8.10"},
    "ai.prompt_sent": {
        "estimated_tokens": 3,
        "model_parameters": {"temperature": 0.7, "top_p": 1.0, "max_tokens": 64},
        "cost_estimation": None,
    },
    "ai.response_received": {
        "prompt": None,
        "cost_usd": "0.0125",
        "detailed_usage": {"input_tokens": 3, "output_tokens": 2, "cached_tokens": None},
        "cost_breakdown": {"total_usd": "0.0125"},
        "quality_metrics": None,
        "performance_metrics": {"tokens_per_second": 4.0, "first_token_ms": None},
    },
}


RENAMED = {"limit_usd", "spent_usd"}


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.json")), ids=lambda file: file.stem)
def test_events_of_old_versions_still_load(file: Path) -> None:
    name, _, version = file.stem.rpartition(".v")
    old = json.loads(file.read_text())
    newest, data, problems = CATALOG.validate(name, int(version), old)
    model = CATALOG.model(name)
    assert problems == ()
    assert model is not None
    assert newest == model.schema_version
    kept = {field: value for field, value in old.items() if field not in RENAMED}
    assert data == kept | ADDED[name]


def test_every_old_version_has_a_golden_file() -> None:
    models = [CATALOG.model(name) for name in CATALOG.types]
    wanted = {
        f"{model.event_type}.v{version}" for model in models if model for version in range(1, model.schema_version)
    }
    assert {file.stem for file in GOLDEN.glob("*.json")} == wanted


def test_every_type_has_a_dotted_name_and_a_sentence() -> None:
    for name in CATALOG.types:
        model = CATALOG.model(name)
        assert TYPE_NAME.fullmatch(name)
        assert model is not None
        assert (model.__doc__ or "").rstrip().endswith(".")


def first_catalog() -> Catalog:
    catalog = Catalog()

    @catalog.event("order.placed")
    class Placed(EventData):
        amount: int

    @catalog.event("order.lost")
    class Lost(EventData):
        why: str

    return catalog


def third_catalog() -> Catalog:
    catalog = Catalog()

    @catalog.event("order.placed", version=3)
    class Placed(EventData):
        total: int
        currency: str

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"currency": "EUR"}

        @staticmethod
        def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
            return {"total": data["amount"], "currency": data["currency"]}

    return catalog


def test_stored_events_are_read_through_the_whole_chain(database: Database, tenant: str) -> None:
    PostgresEventStore(database, catalog=first_catalog()).append(
        STREAM, [NewEvent("order.placed", {"amount": 5})], tenant=tenant
    )
    event = PostgresEventStore(database, catalog=third_catalog()).read_all(tenant=tenant)[0]
    assert (event.schema_version, event.data) == (3, {"total": 5, "currency": "EUR"})


def test_an_event_whose_type_no_longer_exists_is_read_as_it_is(database: Database, tenant: str) -> None:
    PostgresEventStore(database, catalog=first_catalog()).append(
        STREAM, [NewEvent("order.lost", {"why": "rain"}), NewEvent("order.placed", {"amount": 5})], tenant=tenant
    )
    store = PostgresEventStore(database, catalog=third_catalog())
    assert [event.data for event in store.read_stream(STREAM, tenant=tenant)] == [
        {"why": "rain"},
        {"total": 5, "currency": "EUR"},
    ]
    assert third_catalog().parse(store.read_all(tenant=tenant)[0]) is None


def test_a_writer_that_lags_behind_is_brought_up_to_date() -> None:
    store = MemoryEventStore(catalog=third_catalog())
    store.append(STREAM, [NewEvent("order.placed", {"amount": 5}, schema_version=1)])
    assert store.read_all()[0].data == {"total": 5, "currency": "EUR"}
    with pytest.raises(InvalidInputError) as caught:
        store.append(STREAM, [NewEvent("order.placed", {"amountt": 5}, schema_version=1)])
    assert caught.value.problems[0].path == "events[0].data"


@pytest.mark.parametrize(("name", "version"), [("Order", 1), ("order", 1), ("order.placed", 2)])
def test_a_wrong_declaration_is_refused_at_once(name: str, version: int) -> None:
    with pytest.raises(InvalidInputError):

        @Catalog().event(name, version=version)
        class Wrong(EventData):
            pass


def test_a_type_is_declared_once() -> None:
    catalog = first_catalog()
    with pytest.raises(InvalidInputError, match="twice"):
        catalog.event("order.placed")(EventData)


def test_a_payload_becomes_an_event_and_back() -> None:
    from resources.events.catalog import RunFailed

    payload = RunFailed(run_id="r", job="j", error="it broke")
    store = MemoryEventStore()
    recorded = store.append(StreamId("run", "r"), [payload.new()]).events[0]
    assert CATALOG.parse(recorded) == payload


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**70])
def test_numbers_that_json_cannot_say_are_refused(number: float) -> None:
    event = NewEvent(
        "workflow.completed", {"workflow_id": "w", "duration_ms": 1, "nodes_executed": 1, "output_data": number}
    )
    with pytest.raises(InvalidInputError):
        MemoryEventStore().append(STREAM, [event])
