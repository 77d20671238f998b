"""Events on their way: collected, written once and in order, patiently, and by the process that collected them."""

from __future__ import annotations

import os
import threading

import pytest

from definitions.runtime.lean.outbox import Batch, Outbox
from definitions.runtime.lean.rows import Encoded, EventRow, OutputRow, RunUpdate
from resources.errors import UnavailableError


class Recorder:
    """A courier that keeps what it delivers, or fails for as long as it is told to."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.attempts: list[int] = []
        self.durable: list[bool] = []
        self.delivered = threading.Event()
        self.failures = 0
        self.error: Exception = UnavailableError("away", dependency="database")

    def deliver(self, batch: Batch, *, durable: bool) -> None:
        self.attempts.append(batch.number)
        if self.failures > 0:
            self.failures -= 1
            raise self.error
        self.batches.append(batch)
        self.durable.append(durable)
        self.delivered.set()

    @property
    def events(self) -> list[str]:
        return [str(event.event) for batch in self.batches for event in batch.events]


def event(text: str, *, run: str = "run", last_words: bool = False) -> EventRow:
    return EventRow(run, Encoded(text), "ENGINE_EVENT", 0.0, None, closes_a_broken_run=last_words)


def output(step: str, body: bytes = b"1") -> OutputRow:
    return OutputRow("t", "run", step, "result", "", "json", len(body), "x", body, None)


@pytest.fixture
def courier() -> Recorder:
    return Recorder()


@pytest.fixture
def outbox(courier: Recorder) -> Outbox:
    return Outbox(courier)


def test_events_are_delivered_without_being_asked_for(outbox: Outbox, courier: Recorder) -> None:
    outbox.add_event(event("a"))
    assert courier.delivered.wait(60)
    assert courier.events == ["a"]


def test_a_flush_returns_when_everything_before_it_is_delivered(outbox: Outbox, courier: Recorder) -> None:
    for number in range(100):
        outbox.add_event(event(str(number)))
    outbox.flush()
    assert courier.events == [str(number) for number in range(100)]
    assert not outbox.holds_anything


def test_what_several_threads_add_is_all_delivered_and_in_their_order(outbox: Outbox, courier: Recorder) -> None:
    def add(thread: int) -> None:
        for number in range(500):
            outbox.add_event(event(f"{thread}-{number}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outbox.flush()
    for thread_number in range(4):
        ours = [text for text in courier.events if text.startswith(f"{thread_number}-")]
        assert ours == [f"{thread_number}-{number}" for number in range(500)]


def test_a_batch_that_is_tried_again_is_the_same_batch(outbox: Outbox, courier: Recorder) -> None:
    courier.failures = 2
    outbox.add_event(event("a"))
    outbox.flush()
    assert courier.attempts == [1, 1, 1]
    outbox.add_event(event("b"))
    outbox.flush()
    assert [batch.number for batch in courier.batches] == [1, 2]


def test_a_durable_flush_is_delivered_even_if_nothing_waits(outbox: Outbox, courier: Recorder) -> None:
    outbox.flush()
    assert courier.batches == []
    outbox.flush(durable=True)
    assert courier.durable == [True]


def test_values_leave_no_later_than_events_that_were_added_after_them(outbox: Outbox, courier: Recorder) -> None:
    for number in range(200):
        outbox.add_output(output(f"step-{number}"))
        outbox.add_event(event(f"step-{number}"))
    outbox.flush()
    stored: set[str] = set()
    for batch in courier.batches:
        stored |= {row.step_key for row in batch.outputs}
        assert {str(row.event) for row in batch.events} <= stored


def test_when_patience_ends_the_log_of_the_run_is_given_up(outbox: Outbox, courier: Recorder) -> None:
    outbox.patience = 0.0
    courier.failures = 1
    outbox.add_event(event("a"))
    outbox.add_update(RunUpdate("run", "SUCCESS", 0.0, "end_time", ("STARTED",)))
    with pytest.raises(UnavailableError, match="away"):
        outbox.flush()
    with pytest.raises(UnavailableError, match="'run' could not be written and ends early"):
        outbox.add_event(event("b"))
    outbox.add_event(event("c", run="another"))
    outbox.add_event(event("it failed", last_words=True))
    outbox.flush()
    assert courier.events == ["c", "it failed"]
    assert not any(batch.updates for batch in courier.batches)


def test_a_batch_that_is_refused_is_not_tried_again(outbox: Outbox, courier: Recorder) -> None:
    courier.failures = 1
    courier.error = ValueError("not acceptable")
    outbox.add_event(event("a"))
    with pytest.raises(ValueError, match="not acceptable"):
        outbox.flush()
    outbox.flush()
    assert courier.attempts == [1]


def test_a_full_outbox_makes_whoever_adds_wait(
    outbox: Outbox, courier: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("definitions.runtime.lean.outbox.MOST_EVENTS", 10)
    for number in range(25):
        outbox.add_event(event(str(number)))
    assert len(courier.events) >= 20


def test_many_bytes_are_not_kept_waiting(outbox: Outbox, courier: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("definitions.runtime.lean.outbox.MOST_BYTES", 1000)
    outbox.add_output(output("a", b"x" * 2000))
    assert courier.batches[0].outputs[0].step_key == "a"


def test_the_child_of_a_fork_does_not_send_what_its_parent_collected(outbox: Outbox, courier: Recorder) -> None:
    courier.failures = 1_000_000
    outbox.add_event(event("of the parent"))
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        courier.failures = 0
        outbox.forget()
        outbox.add_event(event("of the child"))
        outbox.flush()
        os.write(writable, ",".join(courier.events).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(readable, 100) == b"of the child"
    courier.failures = 0
    outbox.flush()
    assert courier.events == ["of the parent"]
    os.close(readable)
    os.close(writable)
