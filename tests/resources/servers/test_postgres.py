from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from resources.errors import ConflictError, UnavailableError
from resources.servers import postgres
from resources.servers.postgres import EmbeddedPostgres, namespaces_work
from resources.servers.process import Supervisor
from tests.resources.servers.test_process import Heard

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = {"shared_buffers": "16MB", "max_connections": "20"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "with a space" / "postgres"


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder, settings=SMALL) as started:
        yield started


def query(server: EmbeddedPostgres, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_it_is_durable_checksummed_and_on_loopback_alone(server: EmbeddedPostgres) -> None:
    names = ["fsync", "synchronous_commit", "data_checksums", "listen_addresses", "unix_socket_directories"]
    assert [query(server, f"SHOW {name}")[0][0] for name in names] == ["on", "on", "on", "127.0.0.1", ""]


def test_it_asks_for_a_password(server: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://postgres:guess@127.0.0.1:{server.port}/aiw")


def test_its_files_are_private_and_its_parents_unchanged(server: EmbeddedPostgres, folder: Path) -> None:
    assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert server.pid is not None
    assert not any("password" in part for part in psutil.Process(server.pid).cmdline())


def test_no_parent_folder_changes_its_mode(tmp_path: Path) -> None:
    parent = tmp_path / "closed"
    parent.mkdir(mode=0o700)
    with EmbeddedPostgres(parent / "postgres", settings=SMALL):
        pass
    assert stat.S_IMODE(parent.stat().st_mode) == 0o700


def test_a_restart_keeps_data_password_and_port(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    before = server.url
    server.stop()
    server.start()
    assert server.url == before
    assert query(server, "SELECT answer FROM kept") == [(42,)]


def test_nothing_acknowledged_is_lost_when_the_server_is_killed_mid_writes(folder: Path) -> None:
    server, heard = EmbeddedPostgres(folder, settings=SMALL), Heard()
    supervisor = Supervisor(on_change=heard)
    supervisor.start(server)
    acknowledged: list[int] = []
    enough = threading.Event()

    def write() -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE ledger (n int PRIMARY KEY)")
            for n in range(1_000_000):
                connection.execute("INSERT INTO ledger VALUES (%s)", (n,))
                acknowledged.append(n)
                if n == 100:
                    enough.set()

    def write_until_the_server_dies() -> None:
        with pytest.raises(psycopg.OperationalError):
            write()

    writer = threading.Thread(target=write_until_the_server_dies)
    writer.start()
    try:
        assert enough.wait(30)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert heard.wait_for("restarted")
        writer.join(30)
        found = {row[0] for row in query(server, "SELECT n FROM ledger")}
        assert set(acknowledged) <= found
        assert len(found) - len(acknowledged) <= 1  # the one in flight may have made it
    finally:
        supervisor.stop()


def test_a_second_owner_of_the_same_data_is_refused(server: EmbeddedPostgres, folder: Path) -> None:
    with pytest.raises(ConflictError, match="already in use"):
        EmbeddedPostgres(folder, settings=SMALL).start()
    assert query(server, "SELECT 1") == [(1,)]


def test_an_unfinished_initdb_is_thrown_away_and_done_again(folder: Path) -> None:
    unfinished = folder / "pgdata.tmp"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder, settings=SMALL) as server:
        assert query(server, "SELECT 1") == [(1,)]
    assert not unfinished.exists()


def test_a_stale_pid_file_with_somebody_elses_pid_does_not_block(server: EmbeddedPostgres, folder: Path) -> None:
    server.stop()
    pid_file = folder / "pgdata" / "postmaster.pid"
    pid_file.write_text(f"{os.getppid()}\n{folder / 'pgdata'}\n1700000000\n5432\n\n127.0.0.1\n\nready\n")
    server.start()
    assert query(server, "SELECT 1") == [(1,)]


def test_a_server_left_over_on_the_data_is_ended_first(server: EmbeddedPostgres, folder: Path) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert server.pid is not None
    leftover = psutil.Process(server.pid)
    assert server._lock is not None
    server._lock.release()  # as if its owner had been killed, and the server not
    server._lock = None
    with EmbeddedPostgres(folder, settings=SMALL) as successor:
        assert not leftover.is_running() or leftover.status() == psutil.STATUS_ZOMBIE
        assert query(successor, "SELECT answer FROM kept") == [(42,)]


def test_data_without_its_password_file_is_refused_with_advice(server: EmbeddedPostgres, folder: Path) -> None:
    server.stop()
    (folder / "password").unlink()
    with pytest.raises(ConflictError, match="Restore the file"):
        EmbeddedPostgres(folder, settings=SMALL).start()


def test_a_taken_port_is_not_insisted_on(server: EmbeddedPostgres, tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "other", port=server.port, settings=SMALL) as other:
        assert other.port != server.port


def test_a_setting_that_the_server_refuses_is_reported_with_its_log(folder: Path) -> None:
    with pytest.raises(UnavailableError, match="no_such_setting"):
        EmbeddedPostgres(folder, settings={"no_such_setting": "1"}).start()


@pytest.mark.skipif(not namespaces_work(), reason="needs user namespaces")
def test_it_runs_directly_for_an_ordinary_user(folder: Path) -> None:
    program = (
        "import json, os, pathlib, sys\n"
        "from resources.servers.postgres import EmbeddedPostgres, choose_identity, inspect\n"
        "with EmbeddedPostgres(pathlib.Path(sys.argv[1])) as server:\n"
        "    print(json.dumps([os.geteuid(), choose_identity(), inspect(server.url).version]))\n"
    )
    finished = subprocess.run(
        [*postgres.NAMESPACE, sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)[:2] == [1000, "direct"]


@as_root
def test_without_namespaces_root_runs_it_as_a_system_user(folder: Path) -> None:
    system_folder = Path(tempfile.mkdtemp(prefix="aiw-test-", dir="/var/tmp"))
    system_folder.chmod(0o755)
    try:
        with EmbeddedPostgres(folder, settings=SMALL, identity="system_user", system_folder=system_folder) as server:
            assert server.pid is not None
            assert psutil.Process(server.pid).uids().real != 0
            assert query(server, "SELECT 1") == [(1,)]
            server.stop()
            server.start()
            assert query(server, "SELECT 1") == [(1,)]
    finally:
        shutil.rmtree(system_folder)
