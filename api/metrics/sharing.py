"""What the processes of one machine have counted, in a folder that they share.

Each writes its numbers to a file of its own, once a second and when it ends; whoever is asked adds up those of the others. What a
process has counted stays when it has died (at most its last second is lost, and the sum never goes down), what it was doing does
not: gauges count for processes that live. Files of the dead are merged into one by the next that starts.

The folder is emptied by whoever starts the platform (`api/platform.py`): the counters begin with it.
"""

from __future__ import annotations

import os
import threading
import uuid
from typing import TYPE_CHECKING, Final

import msgspec
from filelock import FileLock, Timeout

from api.metrics.series import Series, decoded, encoded
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = get_logger(__name__)

EVERY: Final = 1.0
_ENDED: Final = "ended"
_SUFFIX: Final = ".json"


class SharedSeries:
    """This process's place in the folder. `own` gives its numbers, from any thread."""

    def __init__(self, folder: Path, own: Callable[[], Series]) -> None:
        self._folder = folder
        self._own = own
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._lock = FileLock(folder / "all.lock", thread_local=False)
        self._alive = FileLock(self._sign_of(self._name), thread_local=False)
        self._reading = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._written = b""

    def start(self) -> None:
        """Take over what the dead have counted, and write from now on."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._reading, self._lock:
            self._merge_ended()
            self._alive.acquire()  # the kernel lets go of it, however this process ends
        self.write()
        self._thread = threading.Thread(target=self._keep_writing, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write for the last time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self.write()
            self._alive.release()

    def write(self) -> None:
        """Write what was counted, if it has changed."""
        text = encoded(self._own())
        if text != self._written:
            self._replace(self._name, text)
            self._written = text

    def all(self) -> Series:
        """What all processes have counted: this one by now, the others a second ago at most."""
        series = self._own()
        with self._reading, self._lock:
            merged: list[str] = []
            for name, found, files in self._files():
                if name == _ENDED:
                    merged = files
                if name != self._name and name not in merged:
                    series.add(found, gauges=self._is_alive(name))
        return series

    def _keep_writing(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self.write()
            except OSError as error:
                log.warning("metrics.not_written", reason=str(error))

    def _merge_ended(self) -> None:
        """One that dies half-way leaves files that are part of the sum already: it names them."""
        total, merged, dead = Series(), [], []
        for name, found, files in self._files():
            if name == _ENDED:
                total, merged = found, files
            elif not self._is_alive(name):
                dead.append(name)
                if name not in merged:
                    total.add(found, gauges=False)
        if dead:
            self._replace(_ENDED, encoded(total, merged=dead))
            for name in dead:
                (self._folder / f"{name}{_SUFFIX}").unlink(missing_ok=True)
                self._sign_of(name).unlink(missing_ok=True)

    def _sign_of(self, name: str) -> Path:
        """The file that is locked as long as the process lives."""
        return self._folder / f"{name}.lock"

    def _is_alive(self, name: str) -> bool:
        """The caller holds the lock on the folder, so that nobody else tries at the same time."""
        if name == _ENDED:
            return False
        sign = FileLock(self._sign_of(name))
        try:
            sign.acquire(timeout=0)
        except Timeout:
            return True
        sign.release()
        return False

    def _files(self) -> Iterator[tuple[str, Series, list[str]]]:
        """Name, numbers, and what is part of them; what the dead have left first."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stem != _ENDED):
            try:
                yield path.stem, *decoded(path.read_bytes())
            except (OSError, msgspec.DecodeError) as error:
                log.warning("metrics.not_read", file=path.name, reason=str(error))

    def _replace(self, name: str, text: bytes) -> None:
        draft = self._folder / f"{name}.{os.getpid()}"
        draft.write_bytes(text)
        draft.replace(self._folder / f"{name}{_SUFFIX}")
