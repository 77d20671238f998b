"""The event worker as a process: it ends when asked, says what is wrong, and another goes on where one was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.event_worker import Chore, chores, keep_house, run_all
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.ledger.model import Keepsake
from resources.errors import UnavailableError
from resources.events.model import NewEvent, StreamId
from resources.events.replays.model import ReplayRequest, Selection
from resources.events.replays.postgres import PostgresReplays
from resources.events.subscriptions.model import Subscription
from resources.plugins.memory import MemoryPlugins
from tests.api.events import eventually
from tests.contracts.call_books import opening_of, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.dependencies import Services
    from resources.database.postgres import Database

ROOT = Path(__file__).parents[2]


@contextmanager
def worker(directory: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AIW_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "api.event_worker"],
        cwd=directory,
        env=plain | settings | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


@pytest.mark.timeout(120)
def test_a_replay_goes_on_when_its_worker_was_killed(
    services: Services, database: Database, database_url: str, tenant: str, tmp_path: Path
) -> None:
    total, inbox, replays = 1200, f"inbox-{tenant}", PostgresReplays(database)
    facts = [NewEvent("run.started", {"run_id": f"r{number}", "job": "tea"}) for number in range(total)]
    services.events.append(StreamId("run", tenant), facts, tenant=tenant)
    services.subscriptions.define(Subscription(inbox, tenant=tenant))
    request = ReplayRequest(Selection(tenant=tenant), (f"subscription:{inbox}",), rate=300.0, effects=True)
    services.replays.start(request)
    with worker(tmp_path, AIW_DATABASE__URL=database_url) as first:
        eventually(lambda: replays.get(request.id).events > 0)
        first.kill()
    assert 0 < replays.get(request.id).events < total
    assert replays.get(request.id).state == "running"
    with worker(tmp_path, AIW_DATABASE__URL=database_url) as second:
        eventually(lambda: replays.get(request.id).state == "completed")
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
    assert replays.get(request.id).events == total
    letters = services.subscriptions.dead_letters(inbox, limit=2 * total)
    assert len({letter.position for letter in letters}) == len(letters) == total


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    with worker(tmp_path) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "AIW_DATABASE__URL" in said


def test_chores_are_done_in_their_rhythm_and_one_that_fails_holds_up_no_other() -> None:
    now, done = [0.0], []

    class Until(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            now[0] += timeout or 0.0
            if now[0] > 3600:
                self.set()
            return self.is_set()

    def work(name: str, *, fails: bool = False) -> Chore:
        def act() -> int:
            done.append((name, now[0]))
            if fails:
                raise UnavailableError("The database is away.", dependency="database")
            return 1

        return Chore(name, 60.0 if name == "often" else 3600.0, act)

    keep_house((work("broken", fails=True), work("often"), work("rarely")), Until(), clock=lambda: now[0])
    assert [at for name, at in done if name == "often"] == [60.0 * minute for minute in range(61)]
    assert [at for name, at in done if name == "rarely"] == [0.0, 3600.0]
    assert [at for name, at in done if name == "broken"] == [0.0, 3600.0]


def test_calls_of_processes_that_died_are_settled_and_expired_answers_forgotten(
    services: Services, tenant: str
) -> None:
    books = MemoryCallBooks()
    books.open(opening_of(record_of(tenant), lease=-1.0))
    books.settle(record_of(tenant), keep=Keepsake(b"k" * 32, b"\x00answer", 15, 1e-6))
    found = {
        chore.name: chore.work()
        for chore in chores(
            subscriptions=services.subscriptions,
            books=books,
            memo=books.memo,
            answers=services.answers,
            analyses=services.analyses,
            plugins=MemoryPlugins(),
        )
    }
    assert (found["calls_settled"], found["answers_purged"]) == (1, 1)
    assert {call.outcome for call in books.calls(tenant=tenant)} == {"answered", "lost"}


def test_a_part_that_breaks_ends_all() -> None:
    stop = threading.Event()

    def wait() -> None:
        assert stop.wait(20)

    def fail() -> None:
        raise RuntimeError("broken")

    assert run_all({"a": wait, "b": fail}, stop) is False
