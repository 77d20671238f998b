from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from resources.errors import UnavailableError
from resources.servers.process import (
    Change,
    ChildProcess,
    Command,
    CommandService,
    RestartPolicy,
    Supervisor,
    dies_with_parent,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SLEEPER = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time, pathlib, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
)


def command(folder: Path, program: str, *arguments: str, grace: float = 10.0) -> Command:
    return Command(
        name="sleeper",
        argv=(sys.executable, "-S", "-c", program, *arguments),
        log_file=folder / "log" / "sleeper.log",
        grace=grace,
    )


def eventually(condition: Callable[[], bool], *, timeout: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_process_that_ends_at_start_is_reported_with_its_log(tmp_path: Path) -> None:
    child = ChildProcess(command(tmp_path, "import sys; sys.exit('the disk is full')"))
    child.start()
    with pytest.raises(UnavailableError, match=r"(?s)exit code 1.*the disk is full"):
        child.wait_ready(lambda: False, timeout=20)


def test_a_process_that_is_not_ready_in_time_is_killed(tmp_path: Path) -> None:
    child = ChildProcess(command(tmp_path, SLEEPER))
    child.start()
    with pytest.raises(UnavailableError, match="not ready"):
        child.wait_ready(lambda: False, timeout=0.05)
    assert child.pid is None


def test_a_program_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    child = ChildProcess(Command(name="ghost", argv=("/nonexistent/ghost",), log_file=tmp_path / "log"))

    def start() -> None:
        child.start()
        child.wait_ready(lambda: False, timeout=20)

    with pytest.raises(UnavailableError, match="ghost"):
        start()


def test_a_process_that_ignores_the_stop_signal_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    child = ChildProcess(command(tmp_path, STUBBORN, str(ready), grace=0.1))
    child.start()
    child.wait_ready(ready.exists, timeout=20)
    child.stop()
    assert child.wait() == -signal.SIGKILL


def test_what_a_dead_process_started_is_killed_too(tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    program = (
        "import subprocess, sys, time, pathlib; "
        f"p = subprocess.Popen([sys.executable, '-S', '-c', {SLEEPER!r}]); "
        "pathlib.Path(sys.argv[1] + '.tmp').write_text(str(p.pid)); "
        "pathlib.Path(sys.argv[1] + '.tmp').rename(sys.argv[1]); time.sleep(600)"
    )
    child = ChildProcess(command(tmp_path, program, str(note)))
    child.start()
    child.wait_ready(note.exists, timeout=20)
    grandchild = psutil.Process(int(note.read_text()))
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert eventually(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(not dies_with_parent(signal.SIGTERM), reason="needs setpriv")
def test_children_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    program = (
        "import signal, sys, time, pathlib\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"  # whoever runs the tests may have it ignored
        "from resources.servers.process import ChildProcess, Command\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        f"child = ChildProcess(Command('sleeper', (sys.executable, '-S', '-c', {SLEEPER!r}), folder / 'log'))\n"
        "child.start()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        child = psutil.Process(int(supervisor.stdout.readline()))
        # The program replaces setpriv once it is set up to die with its parent.
        try:
            assert eventually(lambda: "setpriv" not in (child.cmdline() or ["setpriv"])[0])  # none while it is replaced
        finally:
            supervisor.kill()
        assert eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


class Heard:
    """Changes as they are announced, to be awaited."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._news = threading.Condition()

    def __call__(self, change: Change) -> None:
        with self._news:
            self.changes.append(change)
            self._news.notify_all()

    def wait_for(self, state: str, *, times: int = 1) -> bool:
        with self._news:
            return self._news.wait_for(lambda: sum(one.state == state for one in self.changes) >= times, timeout=30)


def test_a_service_that_dies_is_restarted(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(on_change=heard)
    service = CommandService(command(tmp_path, SLEEPER), ready=lambda: True)
    supervisor.start(service)
    first = service.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert heard.wait_for("restarted")
    assert service.pid not in {None, first}
    assert Change("sleeper", "died", "killed by SIGKILL") in heard.changes
    supervisor.stop()
    assert service.pid is None


def test_a_service_that_keeps_dying_is_given_up_and_named_with_its_log(tmp_path: Path) -> None:
    supervisor = Supervisor(policy=RestartPolicy(limit=2, first_delay=0.01))
    supervisor.start(CommandService(command(tmp_path, "pass"), ready=lambda: True))
    failure = supervisor.wait_failed(timeout=30)
    supervisor.stop()
    assert failure is not None
    assert failure.service == "sleeper"
    assert str(tmp_path / "log" / "sleeper.log") in failure.detail


def test_services_are_stopped_in_reverse_order(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(on_change=heard)
    for name in ("first", "second"):
        log_file = tmp_path / f"{name}.log"
        supervisor.start(
            CommandService(
                Command(name=name, argv=(sys.executable, "-S", "-c", SLEEPER), log_file=log_file), ready=lambda: True
            )
        )
    supervisor.stop()
    assert [change.service for change in heard.changes if change.state == "stopped"] == ["second", "first"]


def test_the_restart_delay_grows_up_to_its_limit() -> None:
    policy = RestartPolicy(first_delay=0.5, largest_delay=3.0)
    assert [policy.delay(deaths) for deaths in (1, 2, 3, 4, 9)] == [0.5, 1.0, 2.0, 3.0, 3.0]
