"""The platform as its users run it: `aiw up` in a process of its own, then hard times."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
from pydantic import SecretStr

from api import running
from api.platform import MARKER, Platform, as_environment, dagster_url
from resources.errors import ConflictError, UnavailableError
from resources.settings import DagsterSettings, DatabaseSettings, GraphSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.servers import PostgresAddress

AIW = (sys.executable, "-c", "from api.cli import main; main()")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "a folder with spaces"


def aiw(data_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AIW, *arguments], env=environment(data_dir, **variables), capture_output=True, text=True, check=False
    )


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AIW_")}
    return {**plain, "AIW_DATA_DIR": str(data_dir), **variables}


@contextmanager
def up(data_dir: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`aiw up`, ready. Whatever a test did to it, nothing is left afterwards."""
    with subprocess.Popen(
        [*AIW, "up", *arguments],
        env=environment(data_dir, **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert eventually(lambda: is_ready(data_dir) or process.poll() is not None, timeout=100)
            if process.poll() is not None:
                assert process.stderr is not None
                pytest.fail(process.stderr.read())
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)


def is_ready(data_dir: Path) -> bool:
    state = running.read_state(data_dir)
    return state is not None and state.running and state.ready


def eventually(condition: Callable[[], bool], *, timeout: float = 30.0) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def state_of(data_dir: Path) -> running.State:
    state = running.read_state(data_dir)
    assert state is not None
    return state


def processes_of(data_dir: Path) -> list[psutil.Process]:
    found = [one.process.find() for one in state_of(data_dir).services.values() if one.process]
    return [process for process in found if process is not None]


def pid_of(data_dir: Path, service: str) -> int:
    process = state_of(data_dir).services[service].process
    assert process is not None
    return process.pid


def query(url: str | None, sql: str) -> list[tuple[Any, ...]]:
    assert url is not None
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_servers_survive_a_killed_child_a_killed_supervisor_and_a_stop(data_dir: Path) -> None:
    with up(data_dir, "--servers-only") as supervisor:
        url = state_of(data_dir).database_url
        assert url is not None
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(pid_of(data_dir, "postgres"), signal.SIGKILL)
        assert eventually(lambda: state_of(data_dir).services["postgres"].restarts == 1)
        assert state_of(data_dir).database_url == url
        assert query(url, "SELECT answer FROM kept") == [(42,)]
        children = processes_of(data_dir)
        assert len(children) == 2
        supervisor.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []
    killed = aiw(data_dir, "status")
    assert (killed.returncode, "was killed" in killed.stderr) == (1, True)

    with up(data_dir, "--servers-only"):
        assert state_of(data_dir).database_url == url, "the ports of the last run are taken again"
        assert query(url, "SELECT answer FROM kept") == [(42,)]
        shown = aiw(data_dir, "status", "--json")
        assert shown.returncode == 0
        assert json.loads(shown.stdout)["embedded"] == ["postgres", "arcadedb"]
        password = (data_dir / "postgres" / "password").read_text()
        assert password not in shown.stdout
        assert stat.S_IMODE(running.state_file(data_dir).stat().st_mode) == 0o600
        second = aiw(data_dir, "up", "--servers-only")
        assert (second.returncode, "already in use" in second.stderr) == (1, True)
        stopped = aiw(data_dir, "stop")
        assert (stopped.returncode, "data is kept" in stopped.stderr) == (0, True)
    assert aiw(data_dir, "status").returncode == 1


def test_ctrl_c_stops_everything_and_ends_well(data_dir: Path) -> None:
    with up(data_dir, "--servers-only") as supervisor:
        children = processes_of(data_dir)
        supervisor.send_signal(signal.SIGINT)
        _, errors = supervisor.communicate(timeout=60)
        assert supervisor.returncode == 0, errors
        assert not any(child.is_running() for child in children)
        assert not running.state_file(data_dir).exists()


def test_nothing_embedded_starts_when_both_servers_are_brought(
    data_dir: Path, empty_database_url: str, graph_settings: GraphSettings
) -> None:
    settings = Settings(
        data_dir=data_dir, database=DatabaseSettings(url=SecretStr(empty_database_url)), graph=graph_settings
    )
    platform = Platform(settings, servers_only=True)
    try:
        state = platform.start()
        assert (state.embedded, state.services) == ([], {})
        assert query(empty_database_url, "SELECT to_regnamespace('dagster')::text") == [("dagster",)]
        assert not (data_dir / "postgres").exists()
        assert not (data_dir / "arcadedb").exists()
    finally:
        platform.stop()


def test_a_brought_database_out_of_reach_is_named(data_dir: Path, graph_settings: GraphSettings) -> None:
    nowhere = SecretStr("postgresql://postgres:x@127.0.0.1:1/aiw")
    settings = Settings(data_dir=data_dir, database=DatabaseSettings(url=nowhere), graph=graph_settings)
    with pytest.raises(UnavailableError, match="AIW_DATABASE__URL"):
        Platform(settings, servers_only=True).start()
    assert not running.state_file(data_dir).exists()


def test_a_taken_port_is_refused_before_anything_listens(
    data_dir: Path, postgres_server: PostgresAddress, empty_database_url: str, graph_settings: GraphSettings
) -> None:
    taken = int(postgres_server.url.rpartition(":")[2].partition("/")[0])
    settings = Settings(
        data_dir=data_dir,
        database=DatabaseSettings(url=SecretStr(empty_database_url)),
        graph=graph_settings,
        dagster=DagsterSettings(port=taken),
    )
    with pytest.raises(ConflictError, match=str(taken)):
        Platform(settings).start()


@pytest.mark.timeout(300)
def test_the_whole_platform_comes_up_heals_and_leaves_nothing_behind(data_dir: Path) -> None:
    with up(data_dir):
        state = state_of(data_dir)
        names = {"postgres", "arcadedb", "code-server", "pool", "api", "events", "webserver", "daemon"}
        assert set(state.services) == names
        assert get(f"{state.api_url}/health") == 200
        assert get(f"{state.ui_url}/server_info") == 200
        for victim in ("webserver", "code-server"):
            os.kill(pid_of(data_dir, victim), signal.SIGKILL)
            assert eventually(lambda victim=victim: state_of(data_dir).services[victim].restarts == 1, timeout=60)  # type: ignore[misc]  # a lambda's default
        assert get(f"{state.ui_url}/server_info") == 200
        assert location_loads(state.ui_url)
        assert aiw(data_dir, "stop").returncode == 0
    assert [process for process in psutil.process_iter() if marked(process, data_dir)] == []


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return int(answer.status)


def location_loads(ui_url: str | None) -> bool:
    body = {"query": "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"}
    request = urllib.request.Request(
        f"{ui_url}/graphql", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )

    def loaded() -> bool:
        with urllib.request.urlopen(request, timeout=20) as answer:
            entries = json.load(answer)["data"]["workspaceOrError"]["locationEntries"]
        return bool(entries == [{"name": "aiw", "loadStatus": "LOADED"}])

    return eventually(loaded)


def marked(process: psutil.Process, data_dir: Path) -> bool:
    try:
        return process.environ().get(MARKER) == str(data_dir)
    except (psutil.Error, OSError):
        return False


def test_children_get_the_complete_settings_with_secrets_and_no_unset_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIW_GRAPH__URL", raising=False)
    settings = Settings(database=DatabaseSettings(url=SecretStr("postgresql://u:secret@h/d"), pool_size=3))
    variables = as_environment(settings)
    assert variables["AIW_DATABASE__URL"] == "postgresql://u:secret@h/d"
    assert variables["AIW_DATABASE__POOL_SIZE"] == "3"
    assert "AIW_GRAPH__URL" not in variables


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://u:p@h:1/d",
            "postgresql+psycopg2://u:p@h:1/d?options=-csearch_path%3Ddagster",
        ),
        (
            "postgresql://u:p@h:1/d?sslmode=require",
            "postgresql+psycopg2://u:p@h:1/d?sslmode=require&options=-csearch_path%3Ddagster",
        ),
    ],
)
def test_dagster_stores_through_psycopg2_in_its_own_schema(url: str, expected: str) -> None:
    assert dagster_url(url) == expected


def test_a_process_id_given_to_another_program_is_not_taken_for_ours() -> None:
    mark = running.ProcessMark.of(os.getpid())
    assert mark is not None
    assert mark.find() is not None
    assert running.ProcessMark(pid=mark.pid, started=mark.started - 100).find() is None
