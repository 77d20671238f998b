from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import ConcurrencyError, NotFoundError
from resources.events.memory import MemoryEventStore
from resources.events.postgres import PostgresEventStore
from resources.events.projections.memory import MemoryProjections
from resources.events.projections.postgres import PostgresProjections
from resources.events.projections.projector import Projector
from resources.events.projections.workflows import WorkflowCatalog
from resources.workflows.definitions import WorkflowDefinitions
from resources.workflows.validation import parse
from tests.resources.workflows.table import say, workflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.events.projections.store import ProjectionStore
    from resources.events.store import EventStore
    from resources.workflows.spec import WorkflowSpec


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "memory":
        yield MemoryEventStore()
        return
    store = PostgresEventStore(request.getfixturevalue("database"))
    yield store
    store.close()


@pytest.fixture
def definitions(store: EventStore) -> WorkflowDefinitions:
    return WorkflowDefinitions(store)


def spec(text: str = "x", name: str = "w", **fields: Any) -> WorkflowSpec:
    return parse(workflow(say("a", text), name=name, **fields))


def test_revisions_count_from_one_and_never_change(definitions: WorkflowDefinitions, tenant: str) -> None:
    first = definitions.publish(spec("one"), tenant=tenant, user="ada", note="begin")
    second = definitions.publish(spec("two"), tenant=tenant)
    assert (first.revision, second.revision) == (1, 2)
    assert definitions.get("w", tenant=tenant) == second
    assert definitions.get("w", tenant=tenant, revision=1) == first
    assert definitions.revisions("w", tenant=tenant) == [first, second]
    assert (first.published_by, first.note, first.sha256) == ("ada", "begin", spec("one").fingerprint())
    assert first.spec == spec("one")


def test_publishing_the_same_again_changes_nothing(
    definitions: WorkflowDefinitions, store: EventStore, tenant: str
) -> None:
    first = definitions.publish(spec(), tenant=tenant)
    head = store.head(tenant=tenant)
    assert definitions.publish(spec(), tenant=tenant, note="again") == first
    assert store.head(tenant=tenant) == head


def test_an_older_content_can_be_published_again(definitions: WorkflowDefinitions, tenant: str) -> None:
    for text in ("one", "two", "one"):
        definitions.publish(spec(text), tenant=tenant)
    assert [one.revision for one in definitions.revisions("w", tenant=tenant)] == [1, 2, 3]


def test_others_see_at_once_what_was_published(store: EventStore, tenant: str) -> None:
    here, there = WorkflowDefinitions(store), WorkflowDefinitions(store)
    assert there.list(tenant) == []
    here.publish(spec("one"), tenant=tenant)
    assert [one.revision for one in there.list(tenant)] == [1]
    published = here.publish(spec("two"), tenant=tenant)
    assert there.get("w", tenant=tenant) == published
    assert there.list(tenant) == [published]


def test_what_is_archived_is_no_longer_offered_but_kept(definitions: WorkflowDefinitions, tenant: str) -> None:
    definitions.publish(spec(), tenant=tenant)
    assert definitions.archive("w", tenant=tenant, user="ada").archived
    assert definitions.archive("w", tenant=tenant).archived
    assert definitions.list(tenant) == []
    assert [one.name for one in definitions.list(tenant, archived=True)] == ["w"]
    with pytest.raises(NotFoundError):
        definitions.get("w", tenant=tenant)
    assert definitions.get("w", tenant=tenant, revision=1).spec == spec()
    assert not definitions.restore("w", tenant=tenant).archived
    assert definitions.get("w", tenant=tenant).revision == 1


def test_publishing_restores(definitions: WorkflowDefinitions, tenant: str) -> None:
    definitions.publish(spec(), tenant=tenant)
    definitions.archive("w", tenant=tenant)
    assert definitions.publish(spec(), tenant=tenant).revision == 1
    assert definitions.get("w", tenant=tenant).revision == 1
    definitions.archive("w", tenant=tenant)
    assert definitions.publish(spec("new"), tenant=tenant).revision == 2


def test_a_long_story_of_archiving_is_read_back_to_the_newest_revision(
    definitions: WorkflowDefinitions, tenant: str
) -> None:
    definitions.publish(spec(), tenant=tenant)
    for _ in range(4):
        definitions.archive("w", tenant=tenant)
        definitions.restore("w", tenant=tenant)
    assert definitions.get("w", tenant=tenant).revision == 1


@pytest.mark.parametrize("verb", ["get", "revisions", "archive", "restore"])
def test_what_does_not_exist_is_not_found(definitions: WorkflowDefinitions, tenant: str, verb: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        getattr(definitions, verb)("gone", tenant=tenant)
    assert caught.value.code == "workflow_not_found"


def test_a_revision_that_does_not_exist_is_not_found(definitions: WorkflowDefinitions, tenant: str) -> None:
    definitions.publish(spec(), tenant=tenant)
    with pytest.raises(NotFoundError, match="no revision 2"):
        definitions.get("w", tenant=tenant, revision=2)


def test_tenants_do_not_see_each_other(definitions: WorkflowDefinitions, tenant: str) -> None:
    definitions.publish(spec("mine"), tenant=tenant)
    definitions.publish(spec("theirs"), tenant=f"{tenant}-b")
    assert [one.spec for one in definitions.list(tenant)] == [spec("mine")]
    assert {one.tenant for one in definitions.list() if one.tenant.startswith(tenant)} == {tenant, f"{tenant}-b"}
    with pytest.raises(NotFoundError):
        definitions.get("w", tenant=f"{tenant}-c")


def test_of_many_who_publish_at_once_each_gets_a_revision_of_its_own(store: EventStore, tenant: str) -> None:
    def publish(number: int) -> int:
        return WorkflowDefinitions(store).publish(spec(str(number)), tenant=tenant).revision

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(publish, range(8))) == list(range(1, 9))


def test_a_publisher_who_always_loses_gives_up(tenant: str) -> None:
    class Busy(MemoryEventStore):
        def append(self, *args: Any, **kwargs: Any) -> Any:
            del args, kwargs
            raise ConcurrencyError("busy", expected="0", actual=1)

    with pytest.raises(ConcurrencyError):
        WorkflowDefinitions(Busy()).publish(spec(), tenant=tenant)


def test_the_catalog_has_a_row_for_each_workflow(
    store: EventStore, definitions: WorkflowDefinitions, tenant: str, request: pytest.FixtureRequest
) -> None:
    memory = isinstance(store, MemoryEventStore)
    projections: ProjectionStore = (
        MemoryProjections() if memory else PostgresProjections(request.getfixturevalue("database"))
    )
    definitions.publish(spec("one", category="c", tags=["t"]), tenant=tenant)
    definitions.publish(spec("two", category="d"), tenant=tenant, user="ada", note="why")
    definitions.publish(spec(name="other"), tenant=tenant)
    definitions.archive("other", tenant=tenant)
    Projector(store, projections).update(WorkflowCatalog())
    rows = dict(projections.rows("workflow_catalog", tenant=tenant))
    assert {name: (row["revision"], row["archived"]) for name, row in rows.items()} == {
        "w": (2, False),
        "other": (1, True),
    }
    row = rows["w"]
    assert (row["category"], row["tags"], row["published_by"], row["note"], row["nodes"]) == ("d", [], "ada", "why", 1)
    assert (row["version"], row["sha256"]) == ("1.0", definitions.get("w", tenant=tenant).sha256)
