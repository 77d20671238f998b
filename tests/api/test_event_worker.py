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

from api.event_worker import run_all
from resources.events.model import NewEvent, StreamId
from resources.events.replays.model import ReplayRequest, Selection
from resources.events.replays.postgres import PostgresReplays
from resources.events.subscriptions.model import Subscription
from tests.api.events import eventually

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


def test_a_part_that_breaks_ends_all() -> None:
    stop = threading.Event()

    def wait() -> None:
        assert stop.wait(20)

    def fail() -> None:
        raise RuntimeError("broken")

    assert run_all({"a": wait, "b": fail}, stop) is False
