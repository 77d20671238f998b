"""What holds when several processes call at once, and when one of them dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resources.ai.budgets.model import Budget
from resources.ai.budgets.postgres import PostgresBudgets
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.servers.postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]
CALLS = 20


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.resources.ai.calls.crowd", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    """The last line; what stands before it are logs."""
    output, _ = process.communicate(timeout=110)
    assert process.returncode == 0
    return output.splitlines()[-1]


def race(database: Database, url: str, tenant: str, *, processes: int, calls: int) -> None:
    """Whoever gets it, no more than a dollar is spent, and the books agree with the budget."""
    budgets = PostgresBudgets(database)
    budgets.put(Budget("tenant", "total", Decimal(1), tenant=tenant))
    outcomes = json.loads(said(start("race", url, tenant, processes, calls)))
    (status,) = budgets.statuses(tenant=tenant)
    by_run = PostgresCallBooks(database).totals("run", tenant=tenant)
    assert outcomes["answered"] + outcomes["refused"] == processes * calls
    assert outcomes["refused"] > 0
    assert Decimal("0.9") < status.spent <= 1
    assert (status.reserved, status.calls) == (Decimal(0), outcomes["answered"])
    assert sum(totals.cost for totals in by_run.values()) == status.spent


@pytest.fixture
def large_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    settings = {"max_connections": "250", "shared_buffers": "64MB"}
    with EmbeddedPostgres(tmp_path / "pg", settings=settings) as server:
        yield server


def test_two_hundred_processes_spend_no_more_than_the_cap(large_server: EmbeddedPostgres, tenant: str) -> None:
    database = Database(large_server.url)
    migrate(database)
    race(database, large_server.url, tenant, processes=200, calls=3)
    database.close()


def test_two_processes_that_ask_the_same_pay_once(
    database: Database, database_url: str, tenant: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    askers = [start("same", database_url, tenant, journal) for _ in range(2)]
    for asker in askers:
        assert asker.stdin is not None
        asker.stdin.write("go\n")
        asker.stdin.flush()
    answers = [json.loads(said(asker)) for asker in askers]
    assert {answer["text"] for answer in answers} == {"answer to the same"}
    assert sorted(answer["memo"] for answer in answers) == ["hit", "miss"]
    assert journal.read_text() == "the same\n"
    assert PostgresCallBooks(database).totals("tenant", tenant=tenant)[tenant].calls == 2


def test_a_loop_that_is_killed_at_any_call_pays_for_that_one_again_and_no_other(
    database_url: str, tenant: str, tmp_path: Path
) -> None:
    killed = json.loads(said(start("kill", database_url, tenant, tmp_path, CALLS)))
    calls = [f"call {turn}" for turn in range(CALLS)]
    assert len(killed) == CALLS
    for boundary, one in enumerate(killed):
        assert one["texts"] == [f"answer to {call}" for call in calls]
        assert Counter(one["sent"]) == Counter([*calls, calls[boundary]])


def test_what_a_killed_process_held_is_charged_in_full(
    database: Database, database_url: str, tenant: str, tmp_path: Path
) -> None:
    """It ends while the provider answers: the earlier calls are settled, nothing is on its way to the database."""
    budgets, books = PostgresBudgets(database), PostgresCallBooks(database)
    budgets.put(Budget("tenant", "total", Decimal(1), tenant=tenant))
    process = start("loop", database_url, tenant, tmp_path / "journal", 3, 3)
    process.communicate(timeout=110)
    assert process.returncode == -signal.SIGKILL
    held = budgets.statuses(tenant=tenant)[0]
    deadline = time.monotonic() + 60
    while (status := budgets.statuses(tenant=tenant)[0]).reserved and time.monotonic() < deadline:
        books.settle_abandoned()
        time.sleep(0.05)
    calls = books.calls(tenant=tenant)
    assert [call.outcome for call in calls] == ["lost", "answered", "answered"]
    assert (status.reserved, status.spent) == (Decimal(0), held.spent + held.reserved)
    assert status.spent == sum(call.cost or 0 for call in calls)
    assert (calls[0].cost or 0) > (calls[1].cost or 0)
