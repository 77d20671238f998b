"""The one door from the API to Dagster: it starts and reads runs, and nothing else of `definitions` is ever loaded here."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from resources.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from definitions.runtime.launch import Launched
    from definitions.runtime.reexecution import Preview
    from definitions.runtime.runs import LogPage, RunAssets, RunLine, RunPage, RunReader, RunView
    from definitions.runtime.starter import Starter
    from resources.events.routing.model import Routed
    from resources.workflows.triggers import Start

_NO_RUN = "00000000-0000-0000-0000-000000000000"


def open_run_reader() -> RunReader:
    """The reader of the instance that DAGSTER_HOME names. Raises UnavailableError."""
    _require_dagster("Dagster's runs cannot be read")
    from definitions.runtime.runs import RunReader

    return RunReader.open()


def open_starter() -> Starter:
    """What starts runs on the instance that DAGSTER_HOME names. Raises UnavailableError."""
    _require_dagster("Runs cannot be started")
    from definitions.runtime.starter import open_starter

    return open_starter()


class Runs:
    """Runs of Dagster, opened on first use: importing Dagster takes longer than starting all the rest of the API."""

    def __init__(self, open: Callable[[], RunReader] = open_run_reader) -> None:
        self._lazy = _Lazy(open)

    def get(self, run_id: str, *, tenant: str) -> RunView:
        """One run of the tenant. Raises NotFoundError or UnavailableError."""
        return self._lazy.opened().get(run_id, tenant=tenant)

    def lines(self, run_ids: Collection[str], *, tenant: str) -> Mapping[str, RunLine]:
        """Those of these runs that the tenant has, by id. Raises UnavailableError."""
        return self._lazy.opened().lines(run_ids, tenant=tenant)

    def assets(self, run_ids: Collection[str], *, tenant: str) -> Mapping[str, RunAssets]:
        """What those of these runs that the tenant has made, by id. Raises UnavailableError."""
        return self._lazy.opened().assets(run_ids, tenant=tenant)

    def list(
        self,
        *,
        tenant: str,
        job: str | None = None,
        status: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """The tenant's runs, the newest first. Raises UnavailableError."""
        return self._lazy.opened().list(tenant=tenant, job=job, status=status, limit=limit, cursor=cursor)

    def logs(self, run_id: str, *, tenant: str, limit: int = 500, cursor: str | None = None) -> LogPage:
        """A page of the run's log. Raises NotFoundError or UnavailableError."""
        return self._lazy.opened().logs(run_id, tenant=tenant, limit=limit, cursor=cursor)

    def check(self) -> None:
        """Raises UnavailableError when runs cannot be read."""
        try:
            self._lazy.opened().get(_NO_RUN)
        except NotFoundError:
            return

    def close(self) -> None:
        """Give back the connections. The next use opens new ones."""
        self._lazy.close()


class Launches:
    """Starts, repeats and ends runs. Opened on first use, as `Runs` is; `warm` does that ahead of time."""

    def __init__(self, open: Callable[[], Starter] = open_starter) -> None:
        self._lazy = _Lazy(open)

    def warm(self) -> None:
        """Load what is slow to load. Raises UnavailableError."""
        self._lazy.opened()

    def launch(self, name: str, **request: Any) -> Launched:
        """`WorkflowLauncher.launch`."""
        return self._lazy.opened().launcher.launch(name, **request)

    def start(self, start: Start) -> str:
        """`Starter.start`."""
        return self._lazy.opened().start(start)

    def fire(self, found: Routed) -> str | None:
        """`Starter.fire`."""
        return self._lazy.opened().fire(found)

    def launched(self, key: str, *, tenant: str) -> str | None:
        """The run that was, or will be, started for the key; None if there is none."""
        return self._lazy.opened().launcher.launched(key, tenant=tenant)

    def wait(self, run_id: str, seconds: float) -> None:
        """Until the run has ended, for at most so many seconds. Raises NotFoundError, UnavailableError."""
        self._lazy.opened().launcher.wait(run_id, seconds)

    def cancel(self, run_id: str, *, tenant: str) -> bool:
        """End a run. False if it has ended already. Raises NotFoundError."""
        return self._lazy.opened().launcher.cancel(run_id, tenant=tenant)

    def plan_again(self, run_id: str, **how: Any) -> Preview:
        """`Reexecution.preview`."""
        return self._lazy.opened().reexecution.preview(run_id, **how)

    def again(self, run_id: str, *, tags: Mapping[str, str] | None = None, **how: Any) -> Launched:
        """`Reexecution.start`."""
        return self._lazy.opened().reexecution.start(run_id, tags=tags, **how)

    def output_of(self, run_id: str, node: str, *, tenant: str, item: str = "") -> Any:
        """What a node gave, in full. Raises NotFoundError, UpstreamError."""
        return self._lazy.opened().output_of(run_id, node, tenant=tenant, item=item)

    def close(self) -> None:
        """Give back the connections. The next use opens new ones."""
        self._lazy.close()


class _Closing(Protocol):
    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=_Closing)


class _Lazy(Generic[Opened]):
    """Something that is opened when it is used for the first time, once."""

    def __init__(self, open: Callable[[], Opened]) -> None:
        self._open = open
        self._found: Opened | None = None
        self._opening = threading.Lock()

    def opened(self) -> Opened:
        with self._opening:
            if self._found is None:
                self._found = self._open()
            return self._found

    def close(self) -> None:
        with self._opening:
            if self._found is not None:
                self._found.close()
            self._found = None


def _require_dagster(what: str) -> None:
    if not os.environ.get("DAGSTER_HOME"):
        message = f"{what}: DAGSTER_HOME is not set. Start the API through `aiw up`."
        raise UnavailableError(message, dependency="dagster")
