from __future__ import annotations

import os
import signal
import stat
import threading
from typing import TYPE_CHECKING

import neo4j
import psutil
import pytest

from resources.errors import ConflictError
from resources.servers.arcadedb import EmbeddedArcadeDB
from resources.servers.process import Supervisor
from tests.resources.servers.test_process import Heard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> EmbeddedArcadeDB:
    return EmbeddedArcadeDB(tmp_path / "with a space" / "arcadedb", heap="256m")


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def supervisor(heard: Heard) -> Iterator[Supervisor]:
    made = Supervisor(on_change=heard)
    yield made
    made.stop()


def driver_of(server: EmbeddedArcadeDB) -> neo4j.Driver:
    endpoint = server.endpoint
    return neo4j.GraphDatabase.driver(
        endpoint.url, auth=(endpoint.user, endpoint.password), max_transaction_retry_time=0
    )


def test_nothing_acknowledged_is_lost_when_the_server_is_killed_mid_writes(
    server: EmbeddedArcadeDB, supervisor: Supervisor, heard: Heard
) -> None:
    supervisor.start(server)
    before = server.endpoint
    acknowledged: list[int] = []
    enough = threading.Event()

    def write() -> None:
        with driver_of(server) as driver, driver.session(database="graph") as session:
            for n in range(1_000_000):
                session.run("CREATE (:Entry {n: $n})", n=n).consume()
                acknowledged.append(n)
                if n == 50:
                    enough.set()

    def write_until_the_server_dies() -> None:
        with pytest.raises((neo4j.exceptions.DriverError, neo4j.exceptions.Neo4jError, OSError)):
            write()

    writer = threading.Thread(target=write_until_the_server_dies)
    writer.start()
    assert enough.wait(60)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert heard.wait_for("restarted")
    writer.join(30)
    with driver_of(server) as driver:
        records = driver.execute_query("MATCH (e:Entry) RETURN e.n AS n", database_="graph").records
    assert server.endpoint == before
    assert set(acknowledged) <= {record["n"] for record in records}


def test_it_is_private_on_loopback_and_owned_by_one(
    server: EmbeddedArcadeDB, supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(server)
    assert server.pid is not None
    process = psutil.Process(server.pid)
    listening = {one.laddr.ip for one in process.net_connections() if one.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    assert not any(server.endpoint.password in part for part in process.cmdline())
    assert server.endpoint.password not in repr(server.endpoint)
    assert stat.S_IMODE((server.data_dir / "password").stat().st_mode) == 0o600
    with pytest.raises(ConflictError, match="already in use"):
        EmbeddedArcadeDB(tmp_path / "with a space" / "arcadedb").start()


def test_a_server_left_over_on_the_data_is_ended_first(server: EmbeddedArcadeDB) -> None:
    server.start()
    assert server.pid is not None
    leftover = psutil.Process(server.pid)
    assert server._lock is not None
    server._lock.release()  # as if its owner had been killed, and the server not
    with EmbeddedArcadeDB(server.data_dir, heap="256m") as successor:
        assert not leftover.is_running() or leftover.status() == psutil.STATUS_ZOMBIE
        with driver_of(successor) as driver:
            driver.verify_connectivity()
    server.wait()
