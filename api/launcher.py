"""The one door from the API to Dagster: it starts and reads runs, and nothing else of `definitions` is ever loaded here."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from resources.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from definitions.runtime.runs import RunReader, RunView

_NO_RUN = "00000000-0000-0000-0000-000000000000"


def open_run_reader() -> RunReader:
    """The reader of the instance that DAGSTER_HOME names. Raises UnavailableError."""
    if not os.environ.get("DAGSTER_HOME"):
        message = "Dagster's runs cannot be read: DAGSTER_HOME is not set. Start the API through `aiw up`."
        raise UnavailableError(message, dependency="dagster")
    from definitions.runtime.runs import RunReader

    return RunReader.open()


class Runs:
    """Runs of Dagster, opened on first use: importing Dagster takes longer than starting all the rest of the API."""

    def __init__(self, open: Callable[[], RunReader] = open_run_reader) -> None:
        self._open = open
        self._reader: RunReader | None = None
        self._opening = threading.Lock()

    def get(self, run_id: str, *, tenant: str) -> RunView:
        """One run of the tenant. Raises NotFoundError or UnavailableError."""
        return self._opened().get(run_id, tenant=tenant)

    def check(self) -> None:
        """Raises UnavailableError when runs cannot be read."""
        try:
            self._opened().get(_NO_RUN)
        except NotFoundError:
            return

    def close(self) -> None:
        """Give back the connections. The next use opens new ones."""
        with self._opening:
            if self._reader is not None:
                self._reader.close()
            self._reader = None

    def _opened(self) -> RunReader:
        with self._opening:
            if self._reader is None:
                self._reader = self._open()
            return self._reader
