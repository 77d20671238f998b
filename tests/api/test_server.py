from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from api.auth.limiter import Rates
from api.listening import bind, bind_all, has_told_its_port
from api.metrics.series import decoded
from api.server import main, reload
from resources.errors import InvalidInputError, UnavailableError
from resources.servers.process import Command, CommandService, Supervisor
from resources.settings import LimitSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resources.settings import Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "", "127.0.0.1.evil.example"])
def test_an_address_that_others_could_reach_is_refused(host: str) -> None:
    with pytest.raises(InvalidInputError, match="nobody has to log in") as caught:
        bind(host, 0)
    assert caught.value.code == "host_not_loopback"


def test_the_program_says_why_it_refuses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIW_API__HOST", "0.0.0.0")
    assert main([]) == 2
    assert "Refusing to listen on '0.0.0.0'" in capsys.readouterr().err


def test_any_address_will_do_when_everybody_must_log_in() -> None:
    with closing(bind("0.0.0.0", 0, remote=True)) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"
    with pytest.raises(InvalidInputError, match="no address of this machine"):
        bind("no-such-host.invalid", 0, remote=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.8.8"])
def test_loopback_addresses_are_accepted(host: str) -> None:
    with closing(bind(host, 0)) as listener:
        assert listener.getsockname()[0].startswith("127.")
        assert listener.getsockname()[1] > 0


def test_a_port_that_is_taken_is_named() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=str(port)):
            bind("127.0.0.1", port)


def environment(settings: Settings, **extra: str) -> dict[str, str]:
    assert settings.database.url is not None
    assert settings.graph.url is not None
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIW_")}
    return {
        **kept,
        "AIW_DATABASE__URL": settings.database.url.get_secret_value(),
        "AIW_GRAPH__URL": settings.graph.url.get_secret_value(),
        "AIW_GRAPH__USER": settings.graph.user,
        "AIW_GRAPH__PASSWORD": settings.graph.password.get_secret_value(),
        "AIW_GRAPH__DATABASE": settings.graph.database,
        **extra,
    }


def test_the_program_serves_on_a_port_of_the_kernels_choice_and_ends_cleanly(
    api_settings: Settings, tmp_path: Path
) -> None:
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "api.server", "--port", "0", "--port-file", str(port_file)]
    process = subprocess.Popen(
        command, env=environment(api_settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        assert announced["event"] == "api.listening"
        assert announced["pid"] == process.pid
        assert port_file.read_text() == str(announced["port"])
        assert httpx.get(f"{announced['url']}/health", trust_env=False).status_code == 200
        assert httpx.get(f"{announced['url']}/health/detailed", trust_env=False).json()["checks"]["database"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode in {0, -signal.SIGTERM}
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line["event"] == "request.finished" and line["path"] == "/health/detailed" for line in lines)


def test_the_program_names_what_is_not_configured(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIW_")}
    command = [sys.executable, "-m", "api.server"]
    done = subprocess.run(command, env=kept, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "AIW_DATABASE__URL" in done.stderr


def test_settings_are_read_again_on_sighup_and_no_connection_notices(api_settings: Settings, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "api.server", "--port", "0"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(api_settings, AIW_LOG__LEVEL="warning"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client(base_url=url, trust_env=False) as client:
            before = client.get("/live").extensions["network_stream"].get_extra_info("client_addr")
            (tmp_path / ".env").write_text("AIW_LOG__LEVEL=info\nAIW_LIMITS__PRINCIPAL_PER_MINUTE=77\n")
            process.send_signal(signal.SIGHUP)
            told = next(line for line in map(json.loads, process.stderr) if line["event"] == "api.reloaded")
            assert (told["log_level"], told["principal_per_minute"]) == ("info", 77)
            (tmp_path / ".env").write_text("AIW_LOG__LEVEL=loud\n")
            process.send_signal(signal.SIGHUP)
            assert next(line for line in map(json.loads, process.stderr) if line["event"] == "api.reload_refused")
            after = client.get("/api/v1/auth/whoami").extensions["network_stream"].get_extra_info("client_addr")
            assert after == before
            finished = next(line for line in map(json.loads, process.stderr) if line["event"] == "request.finished")
            assert finished["path"] == "/api/v1/auth/whoami"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_settings_that_are_refused_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("AIW_LOG__LEVEL=canary\nAIW_LIMITS__PRINCIPAL_PER_MINUTE=88\n")
    before = dict(os.environ)
    with capture_logs() as told:
        reload(Rates(LimitSettings()))
    assert [line["event"] for line in told] == ["api.reload_refused"]
    assert told[0]["reason"].startswith("AIW_LOG__LEVEL: ")
    assert "canary" not in json.dumps(told)
    assert dict(os.environ) == before


def test_a_process_that_is_killed_comes_back_and_nobody_is_refused_nor_forgotten_meanwhile(
    api_settings: Settings, tmp_path: Path
) -> None:
    listeners = bind_all("127.0.0.1", 0, 2)
    port_files = [tmp_path / f"port-{number}" for number in range(2)]
    services = [
        worker(api_settings, listener, port_file) for listener, port_file in zip(listeners, port_files, strict=True)
    ]
    supervisor = Supervisor()
    try:
        with ThreadPoolExecutor(2) as starts:
            list(starts.map(supervisor.start, services))
        assert len({listener.getsockname()[1] for listener in listeners}) == 1
        api = f"http://127.0.0.1:{listeners[0].getsockname()[1]}"
        url = f"{api}/live"
        assert {httpx.get(url, trust_env=False, timeout=60).status_code for _ in range(12)} == {200}
        wait_until(lambda: written(tmp_path / "metrics", "/live") == 12)
        victim = psutil.Process(services[0].pid)
        victim.kill()
        victim.wait(30)
        # Each on a connection of its own: with so many, some come to the socket that nobody serves at the moment.
        assert {httpx.get(url, trust_env=False, timeout=60).status_code for _ in range(24)} == {200}
        assert services[0].pid not in {None, victim.pid}
        wait_until(lambda: told(api, "/live") == 36)  # whichever of them is asked
    finally:
        supervisor.stop()
        for listener in listeners:
            listener.close()
    assert not any(service.pid for service in services)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


def written(folder: Path, route: str) -> float:
    """How many requests of the route all processes have written down."""
    found = [decoded(path.read_bytes())[0] for path in folder.glob("*.json")]
    return sum(series.total("aiw_http_requests_total", "GET", route) for series in found)


def told(api: str, route: str) -> float:
    """How many a process tells of that is asked for its metrics."""
    text = httpx.get(f"{api}/metrics", trust_env=False, timeout=60).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    named = [sample for sample in samples if sample.name == "aiw_http_requests_total"]
    return sum(sample.value for sample in named if sample.labels["route"] == route)


def worker(settings: Settings, listener: socket.socket, port_file: Path) -> CommandService:
    command = Command(
        name=port_file.name,
        argv=(
            *(sys.executable, "-m", "api.server", "--fd", str(listener.fileno()), "--port-file", str(port_file)),
            *("--metrics-folder", str(port_file.with_name("metrics"))),
        ),
        log_file=port_file.with_suffix(".log"),
        environment=environment(settings),
        descriptors=(listener.fileno(),),
    )
    service = CommandService(command, ready=lambda: has_told_its_port(port_file, service.pid), timeout=60)
    return service


def test_a_port_that_is_taken_is_not_shared_with_whoever_has_it() -> None:
    with closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UnavailableError, match="Cannot listen"):
            bind_all("127.0.0.1", taken.getsockname()[1], 2)
