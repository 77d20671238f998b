"""Child processes that never outlive their parent and come back when they die.

`ChildProcess` is one process in a session of its own (so that a Ctrl-C on the terminal reaches the supervisor alone), with a
log file, a readiness probe and a stop that becomes a kill. `Supervisor` restarts services that die, with a growing delay,
and gives up with a named culprit when one keeps dying.

If the supervisor itself is killed (`kill -9`), the kernel sends each child its stop signal: `setpriv --pdeathsig` asks for
that. The kernel ties the request to the *thread* that started the child, hence the one long-lived thread that starts them
all. Without `setpriv` (not Linux) children may be left over; the next start finds and ends them.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from resources.errors import UnavailableError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

log = get_logger(__name__)

LARGEST_LOG = 20 * 1024 * 1024
_STEP = 0.03


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `environment` replaces the parent's; None passes it on. `user` is (uid, gid) to change to first.
    `descriptors` are open files that the process inherits, under their numbers.

    `entry` is the program that the process becomes before `argv` (`unshare ... --`); it must exec, not fork.
    """

    name: str
    argv: tuple[str, ...]
    log_file: Path
    directory: Path | None = None
    environment: Mapping[str, str] | None = None
    entry: tuple[str, ...] = ()
    user: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    descriptors: tuple[int, ...] = ()


class ChildProcess:
    """One run of a command. Start it again for the next one."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def start(self) -> None:
        """Start the process. Raises UnavailableError when the program cannot be run."""
        command = self.command
        command.log_file.parent.mkdir(parents=True, exist_ok=True)
        _rotate(command.log_file)
        try:
            self._process = _spawner().submit(_spawn, command).result()
        except OSError as error:
            raise UnavailableError(
                f"{command.name} cannot be started: {error}.", dependency=command.name, code="server_not_started"
            ) from error

    def wait_ready(self, probe: Callable[[], bool], *, timeout: float) -> None:
        """Return when `probe` is true. Raises UnavailableError when the process dies before that or the time is over.

        A process that is not ready in time is killed.
        """
        deadline = time.monotonic() + timeout
        while not probe():
            if self._exited():
                code = self.wait()
                raise UnavailableError(
                    f"{self.command.name} ended at start ({describe_exit(code)}). Its log is {self.command.log_file}:\n"
                    f"{tail(self.command.log_file)}",
                    dependency=self.command.name,
                    code="server_not_started",
                )
            if time.monotonic() > deadline:
                self.kill()
                raise UnavailableError(
                    f"{self.command.name} was not ready after {timeout:.0f} s. Its log is {self.command.log_file}:\n"
                    f"{tail(self.command.log_file)}",
                    dependency=self.command.name,
                    code="server_not_ready",
                )
            time.sleep(_STEP)

    def wait(self) -> int:
        """Block until the process is gone; returns its exit code (negative = the signal that ended it).

        Whatever it left behind in its process group is killed.
        """
        process = self._require()
        with suppress(ChildProcessError):  # reaped by a concurrent stop
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return self._reap(process)

    def stop(self) -> None:
        """Ask the process to stop, kill its whole group when the grace period is over. Does nothing if it is gone."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(self.command.stop_signal)
        deadline = time.monotonic() + self.command.grace
        while not self._exited():
            if time.monotonic() > deadline:
                log.warning("process.killed", name=self.command.name, pid=process.pid, grace=self.command.grace)
                self._kill_group(process.pid)
                break
            time.sleep(_STEP)
        self.wait()

    def kill(self) -> None:
        """End the process and its group at once."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._kill_group(process.pid)
        self.wait()

    def _require(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise UnavailableError(f"{self.command.name} has not been started.", dependency=self.command.name)
        return self._process

    def _exited(self) -> bool:
        process = self._require()
        if process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:
            return True

    def _reap(self, process: subprocess.Popen[bytes]) -> int:
        # Its id cannot be given to another process group before it is reaped.
        if process.returncode is None:
            self._kill_group(process.pid)
        return process.wait()

    @staticmethod
    def _kill_group(pid: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


class Service(Protocol):
    """A server that can be supervised. `start` returns when it is ready, `wait` when it has died or was stopped."""

    @property
    def name(self) -> str: ...

    @property
    def log_file(self) -> Path: ...

    @property
    def pid(self) -> int | None: ...

    def start(self) -> None: ...

    def wait(self) -> int: ...

    def stop(self) -> None: ...


class CommandService:
    """A command with a readiness probe, as a service."""

    def __init__(self, command: Command, *, ready: Callable[[], bool], timeout: float = 60.0) -> None:
        self.name = command.name
        self.log_file = command.log_file
        self._process = ChildProcess(command)
        self._ready = ready
        self._timeout = timeout

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def start(self) -> None:
        self._process.start()
        self._process.wait_ready(self._ready, timeout=self._timeout)

    def wait(self) -> int:
        return self._process.wait()

    def stop(self) -> None:
        self._process.stop()


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often a service may die: more than `limit` deaths within `window` seconds end the platform."""

    limit: int = 5
    window: float = 120.0
    first_delay: float = 0.1
    largest_delay: float = 10.0

    def delay(self, deaths: int) -> float:
        """Seconds to wait before the restart that follows the given number of deaths within the window."""
        return min(self.largest_delay, self.first_delay * 2.0 ** max(0, deaths - 1))


State = Literal["starting", "started", "died", "restarted", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a service."""

    service: str
    state: State
    detail: str = ""


@dataclass(slots=True)
class _Watched:
    service: Service
    thread: threading.Thread | None = None
    deaths: deque[float] = field(default_factory=deque)


class Supervisor:
    """Keeps services alive until it is stopped.

    `on_change` is called from the watching threads; it must not block. `wait_failed` returns the change that says which
    service was given up.
    """

    def __init__(
        self, *, policy: RestartPolicy | None = None, on_change: Callable[[Change], None] | None = None
    ) -> None:
        self._policy = policy or RestartPolicy()
        self._on_change = on_change
        self._watched: list[_Watched] = []
        self._stopping = threading.Event()
        self._failed = threading.Event()
        self._lock = threading.Lock()
        self.failure: Change | None = None

    def start(self, service: Service) -> None:
        """Start `service`, return when it is ready and watch it from then on. Raises UnavailableError if it is not."""
        watched = _Watched(service)
        with self._lock:
            if self._stopping.is_set():
                return
            self._watched.append(watched)
        began = time.monotonic()
        self._report(service, "starting")
        service.start()
        if self._stopping.is_set():  # stopped by another thread, perhaps just before there was a process
            service.stop()
            return
        watched.thread = threading.Thread(
            target=self._watch, args=(watched,), name=f"watch-{service.name}", daemon=True
        )
        watched.thread.start()
        self._report(service, "started", f"{time.monotonic() - began:.1f} s")

    def wait_failed(self, timeout: float | None = None) -> Change | None:
        """The service that was given up, or None when `timeout` is over."""
        self._failed.wait(timeout)
        return self.failure

    def stop(self) -> None:
        """Stop all services, the last started first. Safe to call twice."""
        with self._lock:
            self._stopping.set()
            watched, self._watched = self._watched[::-1], []
        for one in watched:
            one.service.stop()
            if one.thread is not None:
                one.thread.join()
            self._report(one.service, "stopped")

    def _watch(self, watched: _Watched) -> None:
        service = watched.service
        while True:
            code = service.wait()
            if self._stopping.is_set():
                return
            self._report(service, "died", describe_exit(code))
            if not self._restart(watched):
                return

    def _restart(self, watched: _Watched) -> bool:
        service, reason = watched.service, "it died"
        while True:
            now = time.monotonic()
            watched.deaths.append(now)
            while watched.deaths[0] < now - self._policy.window:
                watched.deaths.popleft()
            if len(watched.deaths) > self._policy.limit:
                self._give_up(service, reason)
                return False
            if self._stopping.wait(self._policy.delay(len(watched.deaths))):
                return False
            try:
                service.start()
            except UnavailableError as error:
                reason = error.message
            else:
                if not self._stopping.is_set():
                    self._report(service, "restarted", f"pid {service.pid}")
                    return True
            if self._stopping.is_set():
                service.stop()
                return False

    def _give_up(self, service: Service, reason: str) -> None:
        policy = self._policy
        change = Change(
            service.name,
            "failed",
            f"{service.name} was given up after {policy.limit} restarts within {policy.window:.0f} s: {reason}. "
            f"Its log is {service.log_file}.",
        )
        self.failure = change
        self._failed.set()
        self._announce(change)

    def _report(self, service: Service, state: State, detail: str = "") -> None:
        self._announce(Change(service.name, state, detail))

    def _announce(self, change: Change) -> None:
        log.debug("service.changed", service_name=change.service, state=change.state, detail=change.detail)
        if self._on_change is not None:
            self._on_change(change)


def describe_exit(code: int) -> str:
    """An exit code in words: `exit code 1`, `killed by SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def tail(path: Path, *, lines: int = 12) -> str:
    """The last lines of a log file, empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


@functools.cache
def dies_with_parent(stop_signal: signal.Signals) -> tuple[str, ...]:
    """The command prefix that asks the kernel to send `stop_signal` when the parent's thread ends."""
    setpriv = shutil.which("setpriv")
    return () if setpriv is None else (setpriv, "--pdeathsig", stop_signal.name.removeprefix("SIG"), "--")


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def _spawn(command: Command) -> subprocess.Popen[bytes]:
    uid, gid = command.user or (None, None)
    with command.log_file.open("ab") as output:
        return subprocess.Popen(
            [*command.entry, *dies_with_parent(command.stop_signal), *command.argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=command.directory,
            env=None if command.environment is None else dict(command.environment),
            user=uid,
            group=gid,
            extra_groups=None if command.user is None else [],
            start_new_session=True,
            pass_fds=command.descriptors,
        )


def _rotate(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_name(path.name + ".1"))
