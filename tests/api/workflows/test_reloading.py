"""What was published is shown a moment later: one load at a time, and no storm of them when loading fails."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from api.workflows.reloading import NAME, Reloads, reload_through
from resources.errors import UnavailableError
from resources.events.memory import MemoryEventStore
from resources.events.subscriptions.memory import MemorySubscriptions
from resources.workflows.definitions import WorkflowDefinitions
from resources.workflows.spec import WorkflowSpec
from tests.assets.nodes.web import Answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable


class Loads:
    """The store, and how often the code location was loaded."""

    def __init__(self) -> None:
        self.events = MemoryEventStore()
        self.subscriptions = MemorySubscriptions(self.events)
        self.definitions = WorkflowDefinitions(self.events)
        self.count = 0
        self.failures = 0
        self.loaded = threading.Event()

    def reload(self) -> None:
        self.count += 1
        if self.failures:
            self.failures -= 1
            raise UnavailableError("The code is broken.", dependency="dagster")
        self.loaded.set()

    def reloads(self, **options: float) -> Reloads:
        return Reloads(self.events, self.subscriptions, self.reload, **{"quiet": 0.0, "rest": 0.01, **options})

    def publish(self, name: str) -> None:
        node = {"id": "say", "type": "template", "config": {"template": "x"}}
        self.definitions.publish(WorkflowSpec.model_validate({"name": name, "nodes": [node]}), tenant="t")


@pytest.fixture
def loads() -> Loads:
    return Loads()


def test_what_was_there_before_is_not_loaded_again(loads: Loads) -> None:
    loads.publish("old")
    assert not loads.reloads().run_once(threading.Event())
    assert loads.count == 0


def test_many_publications_are_one_load(loads: Loads) -> None:
    reloads = loads.reloads()
    reloads.run_once(threading.Event())
    for number in range(20):
        loads.publish(f"w{number}")
    assert reloads.run_once(threading.Event())
    assert not reloads.run_once(threading.Event())
    assert loads.count == 1


def test_a_load_that_fails_is_tried_again_until_it_succeeds(loads: Loads) -> None:
    reloads = loads.reloads()
    reloads.run_once(threading.Event())
    loads.publish("new")
    loads.failures = 2
    stop = threading.Event()
    thread = threading.Thread(target=reloads.run, args=(stop,))
    thread.start()
    try:
        assert loads.loaded.wait(20)
    finally:
        stop.set()
        thread.join(20)
    assert loads.count == 3


def test_how_far_it_is_outlives_the_process(loads: Loads) -> None:
    loads.reloads().run_once(threading.Event())
    loads.publish("new")
    loads.failures = 1
    with pytest.raises(UnavailableError):
        loads.reloads().run_once(threading.Event())
    assert loads.reloads().run_once(threading.Event())
    assert loads.subscriptions.status(NAME).position == loads.events.head(tenant=None)


def answer(found: Any) -> Answer:
    return Answer(body=json.dumps({"data": {"reloadRepositoryLocation": found}}).encode())


def asked(given: Answer) -> Callable[[], None]:
    def ask() -> None:
        with serving() as server:
            server.will(given)
            reload_through(server.url)

    return ask


def test_a_location_that_was_loaded_is_good() -> None:
    asked(
        answer({"__typename": "WorkspaceLocationEntry", "locationOrLoadError": {"__typename": "RepositoryLocation"}})
    )()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            answer(
                {
                    "__typename": "WorkspaceLocationEntry",
                    "locationOrLoadError": {"__typename": "PythonError", "message": "no module"},
                }
            ),
            "no module",
        ),
        (answer({"__typename": "ReloadNotSupported", "message": "cannot"}), "cannot"),
        (Answer(status=500), "500"),
        (Answer(body=b"{}"), "None"),
    ],
    ids=["broken code", "not supported", "server error", "nonsense"],
)
def test_a_location_that_was_not_loaded_is_told_with_the_reason(given: Answer, reason: str) -> None:
    with pytest.raises(UnavailableError, match=reason):
        asked(given)()
