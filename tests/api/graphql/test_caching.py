"""Answers that are given again, and when they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from api.auth.principal import local_principal
from api.graphql.caching import MOST, ResponseCache, key_of, seconds_of
from api.graphql.schema import unified
from resources.events.model import NewEvent, StreamId

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from fastapi import FastAPI

    from api.dependencies import Services
    from tests.api.graphql.conftest import World

    Ask = Callable[..., dict[str, Any]]

DOCUMENT = "query($id: ID!) { document(id: $id) { title concepts { name } } }"
KEY = ("tea",)


@pytest.fixture
def acting(_app: FastAPI) -> FastAPI:
    """The application, which acts for whom it is told."""
    return _app


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("{ document(id: 1) { title concepts { name } } }", 10),
        ("{ prompts { id } }", 60),
        ("{ prompts { id } concept(id: 1) { name } }", 10),
        ("{ documents { nodes { ...d } } } fragment d on Document { title }", 10),
        ("{ document(id: 1) { title } viewer { id } }", 0),
        ('{ workflow(id: "a") { name } workflows { nodes { id } } }', 10),
        ('{ workflow(id: "a") { executions { nodes { status } } } }', 0),
        ("{ concept(id: 1) { evidence { costUsd } } }", 0),
        ("{ document(id: 1) { ...d } } fragment d on Document { nonsense }", 0),
        ("query A { prompts { id } } query B { prompts { id } }", 0),
        ('mutation { archiveWorkflow(id: "a") { id } }', 0),
        ("{ _entities(representations: []) { __typename } }", 0),
        ("{ __schema { queryType { name } } }", 0),
        ("{", 0),
    ],
)
def test_an_answer_is_kept_as_long_as_the_least_of_its_fields_allows(query: str, seconds: int) -> None:
    assert seconds_of(unified(), query, None) == seconds


def test_only_fields_that_ask_for_a_scope_say_how_long_they_are_kept() -> None:
    assert set(unified().hints) <= set(unified().guards)


def test_principals_tenants_and_rights_have_answers_of_their_own() -> None:
    one = local_principal("a")
    others = [
        local_principal("b"),
        replace(one, subject="somebody"),
        replace(one, scopes=frozenset({"read:documents"})),
    ]
    keys = {key_of(it, DOCUMENT, None, {"id": "x"}) for it in (one, *others)}
    assert len(keys) == 4
    assert key_of(one, DOCUMENT, None, {"a": 1, "b": 2}) == key_of(one, DOCUMENT, None, {"b": 2, "a": 1})
    assert key_of(one, DOCUMENT, None, {"id": "y"}) not in keys


def test_an_answer_holds_until_something_happens_or_it_is_old() -> None:
    clock = Clock()
    cache = ResponseCache(clock)
    assert not cache.asked_before(KEY)
    assert cache.asked_before(KEY)
    cache.keep(KEY, "answer", position=7, seconds=10)
    assert cache.find(KEY, 7) == "answer"
    assert cache.find(KEY, 8) is None
    clock.now = 10.0
    assert cache.find(KEY, 7) is None


def test_what_happens_while_an_answer_is_made_is_not_missed() -> None:
    cache = ResponseCache(Clock())
    cache.asked_before(KEY)
    before, after = 7, 8  # an event comes between the look at the events and the answer
    cache.keep(KEY, "made of what was there before", position=before, seconds=10)
    assert cache.find(KEY, after) is None


def test_no_more_is_kept_than_there_is_room_for() -> None:
    cache = ResponseCache(Clock())
    cache.asked_before(KEY)
    cache.keep(KEY, "answer", position=1, seconds=10)
    for number in range(MOST):
        cache.asked_before((str(number),))
    assert cache.find(KEY, 1) is None


def test_an_answer_is_given_again_until_an_event_of_the_tenant(
    ask: Ask, world: World, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = services.documents.get_many

    def counted(_: Any, ids: list[str], *, tenant: str) -> Any:
        if tenant == world.tenant:
            asked.append(len(ids))
        return read(ids, tenant=tenant)

    monkeypatch.setattr(type(services.documents), "get_many", counted)
    monkeypatch.setattr("api.graphql.view.seconds_of", lambda *_: 3600)  # ten seconds are short on a busy machine
    answers = [ask(DOCUMENT, id=world.document) for _ in range(4)]
    assert answers == [answers[0]] * 4
    assert len(asked) == 2  # once, once more to be kept, and never again
    event = NewEvent("workflow.created", {"workflow_id": "w", "workflow_type": "brew", "user_id": "ada"})
    services.events.append(StreamId("workflow", f"late-{world.tenant}"), [event], tenant=f"other-{world.tenant}")
    ask(DOCUMENT, id=world.document)
    assert len(asked) == 2
    services.events.append(StreamId("workflow", f"late-{world.tenant}"), [event], tenant=world.tenant)
    ask(DOCUMENT, id=world.document)
    assert len(asked) == 3


def test_another_tenant_never_gets_the_answer(http: httpx.Client, ask: Ask, world: World, acting: FastAPI) -> None:
    for _ in range(3):
        assert ask(DOCUMENT, id=world.document)["document"]["title"] == "On tea"
    acting.state.tenant = f"other-{world.tenant}"
    answer = http.post("/graphql", json={"query": DOCUMENT, "variables": {"id": world.document}}).json()
    assert answer == {"data": {"document": None}}


def test_a_workflow_that_is_published_anew_or_archived_is_seen_at_once(ask: Ask) -> None:
    seen = "query($id: ID!, $name: String) { workflow(id: $id) { revision } workflows(search: $name) { totalCount } }"
    publish = "mutation($spec: JSON!) { createWorkflow(spec: $spec) { revision } }"
    spec = "{name: brewing_anew, nodes: {say: {type: template, config: {template: %s}}}}"
    for revision, text in ((1, "x"), (2, "y")):
        ask(publish, spec=spec % text)
        answers = [ask(seen, id="brewing_anew", name="brewing_anew") for _ in range(3)]
        assert answers == [{"workflow": {"revision": revision}, "workflows": {"totalCount": 1}}] * 3
    ask('mutation { archiveWorkflow(id: "brewing_anew") { id } }')
    assert ask(seen, id="brewing_anew", name="brewing_anew") == {"workflow": None, "workflows": {"totalCount": 0}}
