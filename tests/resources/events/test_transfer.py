from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.errors import ConcurrencyError, InvalidInputError
from resources.events import envelope
from resources.events.memory import MemoryEventStore
from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.events.postgres import PostgresEventStore
from resources.events.transfer import EVENTS, MANIFEST, export_events, import_events
from tests.contracts.event_store import A, B, received
from tests.resources.events.test_schema import STREAM, first_catalog

if TYPE_CHECKING:
    from pathlib import Path

    from resources.database.postgres import Database
    from resources.events.store import EventStore


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> EventStore:
    return MemoryEventStore() if request.param == "memory" else PostgresEventStore(request.getfixturevalue("database"))


def fill(store: EventStore, tenant: str) -> None:
    for number in range(30):
        metadata = EventMetadata(tags={"n": str(number)}) if number % 2 else EventMetadata()
        store.append([A, B][number % 2], [received(number, metadata=metadata)], tenant=tenant)


def facts(store: EventStore, tenant: str) -> list[tuple[object, ...]]:
    return [
        (event.event_id, event.stream, event.version, event.data, event.metadata, event.occurred_at, event.checksum)
        for event in store.read_all(tenant=tenant, upcast=False)
    ]


def test_what_was_exported_can_be_imported_elsewhere(store: EventStore, tenant: str, tmp_path: Path) -> None:
    fill(store, tenant)
    told: list[int] = []
    manifest = export_events(store, tmp_path / "out", tenant=tenant, progress=told.append)
    assert (manifest.events, told) == (30, [30])
    assert import_events(store, tmp_path / "out", tenant=f"{tenant}-copy") == 30
    assert facts(store, f"{tenant}-copy") == facts(store, tenant)


def test_an_import_may_be_repeated(store: EventStore, tenant: str, tmp_path: Path) -> None:
    fill(store, tenant)
    export_events(store, tmp_path / "out", tenant=tenant)
    assert import_events(store, tmp_path / "out", tenant=tenant) == 0
    assert len(facts(store, tenant)) == 30


def test_an_import_into_other_streams_of_that_name_is_a_conflict(
    store: EventStore, tenant: str, tmp_path: Path
) -> None:
    fill(store, tenant)
    export_events(store, tmp_path / "out", tenant=tenant)
    store.append(A, [received(99)], tenant=f"{tenant}-copy")
    with pytest.raises(ConcurrencyError):
        import_events(store, tmp_path / "out", tenant=f"{tenant}-copy")
    assert len(facts(store, f"{tenant}-copy")) == 1


def test_old_and_vanished_events_survive_as_they_are(database: Database, tenant: str, tmp_path: Path) -> None:
    old = PostgresEventStore(database, catalog=first_catalog())
    old.append(STREAM, [NewEvent("order.lost", {"why": "rain"})], tenant=tenant)
    store = PostgresEventStore(database)
    export_events(store, tmp_path / "out", tenant=tenant)
    import_events(store, tmp_path / "out", tenant=f"{tenant}-copy")
    copied = store.read_stream(STREAM, tenant=f"{tenant}-copy")[0]
    assert (copied.type, copied.data) == ("order.lost", {"why": "rain"})
    assert envelope.is_intact(copied)


@pytest.mark.parametrize("damage", ["event", "line", "manifest"])
def test_a_damaged_export_is_refused_before_anything_is_written(
    store: EventStore, tenant: str, tmp_path: Path, damage: str
) -> None:
    fill(store, tenant)
    folder = tmp_path / "out"
    export_events(store, folder, tenant=tenant)
    events = folder / EVENTS
    match damage:
        case "event":
            events.write_bytes(events.read_bytes().replace(b'"size_bytes":7', b'"size_bytes":8'))
        case "line":
            events.write_bytes(b"".join(events.read_bytes().splitlines(keepends=True)[:-1]))
        case "manifest":
            (folder / MANIFEST).write_text("{}")
    with pytest.raises(InvalidInputError):
        import_events(store, folder, tenant=f"{tenant}-copy")
    assert facts(store, f"{tenant}-copy") == []


def test_restored_events_must_be_intact_and_whole(store: EventStore, tenant: str) -> None:
    import msgspec

    fill(store, tenant)
    events = list(store.read_stream(A, tenant=tenant))
    changed = msgspec.structs.replace(events[0], data={**events[0].data, "name": "other"})
    with pytest.raises(InvalidInputError, match="checksum"):
        store.restore([changed], tenant=f"{tenant}-copy")
    with pytest.raises(InvalidInputError, match="jumps"):
        store.restore([events[0], events[2]], tenant=f"{tenant}-copy")
    assert store.restore([], tenant=tenant) == 0


def test_an_export_needs_an_empty_folder(store: EventStore, tenant: str, tmp_path: Path) -> None:
    (tmp_path / "something").write_text("here")
    with pytest.raises(InvalidInputError, match="not empty"):
        export_events(store, tmp_path, tenant=tenant)


def test_nothing_can_be_exported_too(store: EventStore, tenant: str, tmp_path: Path) -> None:
    manifest = export_events(store, tmp_path / "out", tenant=tenant)
    assert (manifest.events, manifest.first_position) == (0, None)
    assert import_events(store, tmp_path / "out", tenant=tenant) == 0
    assert not store.read_stream(StreamId("document", "a"), tenant=tenant)
