"""What was published shows up in Dagster's UI: its code location is loaded anew a moment later, for all that was published since.

Nothing waits for it: a workflow runs from the moment of publishing. One load is under way at a time, and the next begins at
least `REST` seconds after the last one, so that a hundred publications cost a few loads. One that fails is told with its reason
and tried again, later and later. How far this is stands in the subscription `dagster.reload`.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import httpx

from resources.errors import NotFoundError, UnavailableError
from resources.events.catalog import DefinitionArchived, DefinitionPublished, DefinitionRestored
from resources.events.subscriptions.model import Subscription
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore

log = get_logger(__name__)

NAME: Final = "dagster.reload"
LOCATION: Final = "aiw"
QUIET: Final = 1.0
"""Seconds without a publication before a load begins."""

REST: Final = 5.0
LONGEST_PAUSE: Final = 120.0
_LOOK = 5.0
_PAGE = 500
_TYPES: Final = (DefinitionPublished.event_type, DefinitionArchived.event_type, DefinitionRestored.event_type)
_RELOAD = """
mutation($location: String!) {
  reloadRepositoryLocation(repositoryLocationName: $location) {
    __typename
    ... on WorkspaceLocationEntry {
      locationOrLoadError { __typename ... on PythonError { message } }
    }
    ... on ReloadNotSupported { message }
    ... on RepositoryLocationNotFound { message }
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}
"""


class Reloads:
    """Loads the code location anew when something was published, in the thread that calls `run`."""

    def __init__(
        self,
        events: EventStore,
        subscriptions: SubscriptionStore,
        reload: Callable[[], None],
        *,
        quiet: float = QUIET,
        rest: float = REST,
    ) -> None:
        self._events = events
        self._subscriptions = subscriptions
        self._reload = reload
        self._quiet = quiet
        self._rest = rest

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        bell = threading.Event()
        cancel = self._events.watch(bell.set)
        failures = 0
        try:
            while not stop.is_set():
                bell.clear()
                try:
                    done = self.run_once(stop)
                    failures = 0
                except UnavailableError as error:
                    failures += 1
                    pause = min(LONGEST_PAUSE, self._rest * 2.0 ** min(failures - 1, 10))
                    log.warning("workflows.not_shown_yet", reason=error.message, next_try_seconds=pause)
                    stop.wait(pause)
                    continue
                if done:
                    stop.wait(self._rest)
                else:
                    bell.wait(_LOOK)
                    stop.wait(0.05)  # a busy store rings all the time
        finally:
            cancel()

    def run_once(self, stop: threading.Event) -> bool:
        """Load anew if something was published since the last time. Raises UnavailableError when that fails."""
        position = self._position()
        reached = self._newest(position)
        if reached == position:
            return False
        while not stop.wait(self._quiet):
            newest = self._newest(reached)
            if newest == reached:
                break
            reached = newest
        began = time.monotonic()
        self._reload()
        self._subscriptions.reset(NAME, position=reached)
        log.info("workflows.shown", position=reached, seconds=round(time.monotonic() - began, 2))
        return True

    def _position(self) -> int:
        try:
            return self._subscriptions.status(NAME).position
        except NotFoundError:
            position = self._events.head(tenant=None)
            subscription = Subscription(NAME, types=_TYPES, partitions=1, start_position=position)
            self._subscriptions.define(subscription)
            return position

    def _newest(self, position: int) -> int:
        while page := self._events.read_all(after_position=position, types=_TYPES, limit=_PAGE, tenant=None):
            position = page[-1].position
        return position


def reload_through(url: str, *, timeout: float = 120.0) -> None:
    """Ask Dagster's webserver at `url` to load the code location anew. Raises UnavailableError with the reason."""
    body = {"query": _RELOAD, "variables": {"location": LOCATION}}
    try:
        answer = httpx.post(f"{url.rstrip('/')}/graphql", json=body, timeout=timeout, trust_env=False)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(f"Dagster's UI at {url!r} does not answer: {error}.", dependency="dagster") from error
    found = (told.get("data") or {}).get("reloadRepositoryLocation") or {}
    # `loadStatus` says LOADED even when the code could not be loaded, and all jobs are gone then.
    loaded = found.get("locationOrLoadError") or found
    if loaded.get("__typename") != "RepositoryLocation":
        reason = loaded.get("message") or told.get("errors") or loaded.get("__typename")
        raise UnavailableError(f"The code location cannot be loaded: {str(reason)[:1000]}", dependency="dagster")
