"""The pool of connections: one a process, and well again as soon as the server is."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from resources.database.postgres import Database, begin_as, in_our_words
from resources.errors import InvalidInputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def own(empty_database_url: str) -> Iterator[Database]:
    with closing(Database(empty_database_url, pool_size=6)) as database:
        yield database


def connections(database: Database) -> int:
    with database.connect() as admin:
        row = admin.execute(f"SELECT count(*) {_OTHERS}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def fill(database: Database, count: int) -> None:
    """Use so many connections at once, and give them back."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(database.transaction()).execute("SELECT 1")


def test_threads_that_come_first_together_open_one_pool(own: Database) -> None:
    start = threading.Barrier(8)
    pools = []

    def come() -> None:
        start.wait()
        own.ping()
        pools.append(own._pool)

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pools) == 8
    assert len(set(map(id, pools))) == 1
    assert connections(own) <= 6


@pytest.mark.parametrize(("cast", "value"), [("text", "a\x00b"), ("jsonb", '{"a": "b\\u0000"}')])
def test_text_with_a_nul_is_the_senders_fault(own: Database, cast: str, value: str) -> None:
    with (
        pytest.raises(InvalidInputError) as caught,
        own.transaction() as connection,
        in_our_words("the notes"),
    ):
        connection.execute(f"SELECT %s::{cast}".encode(), (value,))
    assert (caught.value.code, "NUL" in str(caught.value)) == ("validation_failed", True)


def test_a_server_that_goes_without_a_word_is_unavailable(own: Database) -> None:
    def begin_on_a_dead_line() -> None:
        with own.transaction() as connection:
            with socket.socket(fileno=os.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)
            begin_as(connection, None)

    with pytest.raises(UnavailableError):
        begin_on_a_dead_line()


def test_a_pool_whose_connections_were_all_cut_works_at_the_next_request(own: Database) -> None:
    """A server that was started again has ended all of them; the pool alone would find out one by one, with pauses."""
    fill(own, 6)
    with own.connect() as admin:
        admin.execute(f"SELECT pg_terminate_backend(pid, 5000) {_OTHERS}".encode())
    with own.transaction() as connection:
        assert connection.execute("SELECT 42").fetchone() == (42,)


def test_a_closed_database_opens_again_when_it_is_used(own: Database) -> None:
    own.ping()
    own.close()
    assert connections(own) == 0
    assert own.ping() > 0


def test_a_transaction_that_raises_is_rolled_back(own: Database) -> None:
    with own.transaction() as connection:
        connection.execute("CREATE TABLE kept (n int)")

    def write_and_fail() -> None:
        with own.transaction() as connection:
            connection.execute("INSERT INTO kept VALUES (1)")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_and_fail()
    with own.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_server_out_of_reach_is_named_without_its_password() -> None:
    with (
        closing(Database("postgresql://nobody:secret@127.0.0.1:1/none", connect_timeout=0.2)) as nowhere,
        pytest.raises(UnavailableError) as caught,
    ):
        nowhere.ping()
    assert caught.value.dependency == "database"
    assert "secret" not in str(caught.value)
