"""What embedded servers share: a folder that one process owns, ports from the kernel, a start that ends well or not at all."""

from __future__ import annotations

import functools
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from resources.errors import UnavailableError
from resources.servers import ports
from resources.servers.files import claim, make_private
from resources.servers.process import ChildProcess, Command
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from filelock import FileLock

log = get_logger(__name__)

_PORT_TRIES = 4


class EmbeddedServer(ABC):
    """A server on the data in `data_dir`. One process at a time may own it.

    Preferred ports are taken if they are free, so that an address can survive a restart. Once started, the server keeps its
    ports.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    dependency: ClassVar[str]
    start_timeout: ClassVar[float]

    def __init__(self, data_dir: Path, *, log_file: Path | None, preferred: tuple[int | None, ...]) -> None:
        # resolve() would follow the user's symlinks
        self.data_dir = Path(os.path.abspath(data_dir))  # noqa: PTH100
        self.log_file = Path(os.path.abspath(log_file or self.data_dir / f"{self.name}.log"))  # noqa: PTH100
        self._preferred = preferred
        self._ports: tuple[int, ...] | None = None
        self._lock: FileLock | None = None
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server and return when it answers and holds its database.

        Raises ConflictError when another process owns the folder, UnavailableError when the server does not come up.
        """
        make_private(self.data_dir)
        if self._lock is None:
            self._lock = claim(self.data_dir, name=f"{self.title} server")
        try:
            self._prepare()
            self._launch()
        except BaseException:
            if self._process is not None:
                self._process.kill()
            if self._ports is None:
                self._release()
            raise

    def wait(self) -> int:
        if self._process is None:
            raise self._not_started()
        return self._process.wait()

    def stop(self) -> None:
        """Shut the server down (open transactions are rolled back) and give the folder free."""
        if self._process is not None:
            self._process.stop()
        self._release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data ready: passwords, first files, the end of what a killed supervisor left running."""

    @abstractmethod
    def _command(self, *chosen: int) -> Command:
        """The program on these ports."""

    @abstractmethod
    def _answers(self, *chosen: int) -> bool:
        """Whether the server is ready on these ports."""

    @abstractmethod
    def _complete(self, *chosen: int) -> None:
        """What is done once it answers: make its database. Raises ConflictError when another server answers there."""

    def _known_ports(self) -> tuple[int, ...]:
        if self._ports is None:
            raise self._not_started()
        return self._ports

    def _not_started(self) -> UnavailableError:
        return UnavailableError(f"The embedded {self.title} has not been started.", dependency=self.dependency)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _launch(self) -> None:
        for attempt in range(1, _PORT_TRIES + 1):
            chosen = self._ports or self._choose_ports(first=attempt == 1)
            self._process = ChildProcess(self._command(*chosen))
            self._process.start()
            try:
                self._process.wait_ready(functools.partial(self._answers, *chosen), timeout=self.start_timeout)
            except UnavailableError:
                if self._ports is not None or all(map(ports.is_free, chosen)) or attempt == _PORT_TRIES:
                    raise
                log.info("server.port_taken", server=self.name, ports=chosen)
                continue
            self._complete(*chosen)
            self._ports = chosen
            return

    def _choose_ports(self, *, first: bool) -> tuple[int, ...]:
        wanted = [port if first and port and ports.is_free(port) else None for port in self._preferred]
        spare = ports.free_ports(len(wanted))
        return tuple(port or other for port, other in zip(wanted, spare, strict=True))
