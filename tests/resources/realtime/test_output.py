"""What runs say while they work: nothing lost, nothing waited for, bounded."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import NotPermittedError, UnavailableError
from resources.realtime.output import MAX_PENDING, RunOutput, topic_of
from resources.realtime.postgres import PostgresMessages
from resources.realtime.topics import check_publishable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.database.postgres import Database
    from resources.realtime.model import Message, NewMessage


@pytest.fixture
def messages(database: Database) -> Iterator[PostgresMessages]:
    found = PostgresMessages(database)
    yield found
    found.close()


def pieces(messages: PostgresMessages, tenant: str, run_id: str = "r1") -> list[dict[str, Any]]:
    found = messages.read(tenant=tenant, patterns=[topic_of(run_id)], transient=True)
    return [piece for message in found for piece in message.content["pieces"]]


def test_text_of_a_node_is_joined_and_the_end_is_told(messages: PostgresMessages, tenant: str) -> None:
    output = RunOutput(messages, "r1", tenant=tenant, gather=0.2)
    for word in ("a", " b", " c"):
        output.write("one", {"text": word})
    output.write("two", {"text": "x"})
    output.write("two", {"tool": "search", "status": "called"})
    output.close()
    assert pieces(messages, tenant) == [
        {"node": "one", "text": "a b c"},
        {"node": "two", "text": "x"},
        {"node": "two", "tool": "search", "status": "called"},
        {"node": "", "done": True},
    ]


def test_a_run_that_says_nothing_publishes_nothing(messages: PostgresMessages, tenant: str) -> None:
    RunOutput(messages, "r1", tenant=tenant).close()
    assert messages.head(tenant=tenant) == 0


def test_what_is_said_does_not_persist(messages: PostgresMessages, tenant: str) -> None:
    output = RunOutput(messages, "r1", tenant=tenant)
    output.write("n", {"text": "x"})
    output.close()
    assert messages.history(topic_of("r1"), tenant=tenant) == []


def test_nobody_else_speaks_for_a_run() -> None:
    with pytest.raises(NotPermittedError):
        check_publishable(topic_of("r1"))


class Gated:
    """Messages that cannot be reached until the gate opens."""

    def __init__(self, inner: PostgresMessages) -> None:
        self.inner = inner
        self.open = threading.Event()
        self.refused = threading.Event()

    def publish(self, messages: Sequence[NewMessage], *, tenant: str) -> Sequence[Message]:
        if not self.open.is_set():
            self.refused.set()
            raise UnavailableError("away", dependency="database")
        return self.inner.publish(messages, tenant=tenant)


def test_what_is_said_while_the_database_is_away_comes_when_it_is_back(messages: PostgresMessages, tenant: str) -> None:
    gate = Gated(messages)
    output = RunOutput(gate, "r1", tenant=tenant)  # type: ignore[arg-type]  # the verb that is used
    output.write("n", {"text": "before"})
    assert gate.refused.wait(60)
    output.write("n", {"text": "after"})
    gate.open.set()
    output.close(patience=20)
    assert [piece.get("text") for piece in pieces(messages, tenant)] == ["before", "after", None]


def test_too_much_is_left_out_and_readers_are_told(messages: PostgresMessages, tenant: str) -> None:
    gate = Gated(messages)
    output = RunOutput(gate, "r1", tenant=tenant)  # type: ignore[arg-type]  # the verb that is used
    output.write("n", {"text": "first"})
    assert gate.refused.wait(60)
    began = time.monotonic()
    for _ in range(3 * MAX_PENDING // 1000):
        output.write("n", {"text": "x" * 1000})
    assert time.monotonic() - began < 5
    gate.open.set()
    output.close(patience=20)
    found = pieces(messages, tenant)
    assert {"node": "n", "restart": "output_skipped"} in found
    assert sum(len(piece.get("text", "")) for piece in found) <= MAX_PENDING + 1000


def test_a_database_that_stays_away_keeps_nobody(messages: PostgresMessages, tenant: str) -> None:
    output = RunOutput(Gated(messages), "r1", tenant=tenant)  # type: ignore[arg-type]  # the verb that is used
    output.write("n", {"text": "x"})
    began = time.monotonic()
    output.close(patience=0.1)
    assert time.monotonic() - began < 5
