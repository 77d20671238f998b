"""Credentials that were verified a moment ago.

To verify one takes a signature and a query; to remember it, a dictionary. What that means for revocation: a process forgets a
credential as soon as it hears that its session, key, user or tenant changed (NOTIFY, some milliseconds), and after
`MAX_SECONDS` in any case, also when the news is lost. So a revoked token works for at most half a minute, and only in a
process that has just lost its connection to the database.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.tenants.authentication import Authentication
    from resources.tenants.model import Principal
    from resources.tenants.store import Notices

MAX_SECONDS = 30.0
MAX_ENTRIES = 50_000


class VerifiedCredentials:
    """Asks `authentication` once, and remembers. Safe to share between threads."""

    def __init__(
        self,
        authentication: Authentication,
        notices: Notices,
        *,
        seconds: float = MAX_SECONDS,
        entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authentication = authentication
        self._seconds = min(seconds, MAX_SECONDS)
        self._entries = entries
        self._clock = clock
        self._known: dict[str, tuple[float, Principal]] = {}
        self._changes = 0
        self._lock = threading.Lock()
        self._unwatch = notices.watch(self._heard)

    def known(self, credential: str) -> Principal | None:
        """The principal, if the credential was verified a moment ago; quick, and asks nobody."""
        found = self._known.get(credential)
        return found[1] if found is not None and self._clock() < found[0] else None

    def authenticate(self, credential: str) -> Principal:
        """Who the credential belongs to. Raises UnauthenticatedError."""
        found = self.known(credential)
        if found is not None:
            return found
        changes = self._changes
        principal = self._authentication.authenticate(credential)
        seconds = self._seconds
        if principal.expires_at is not None:
            seconds = min(seconds, (principal.expires_at - datetime.now(UTC)).total_seconds())
        with self._lock:
            if changes == self._changes:  # else a right may have changed while it was looked at
                if len(self._known) >= self._entries:
                    self._make_room()
                self._known[credential] = (self._clock() + seconds, principal)
        return principal

    def close(self) -> None:
        """Forget everything, and hear no more."""
        self._unwatch()
        self._known.clear()

    def _make_room(self) -> None:
        now = self._clock()
        kept = {name: it for name, it in self._known.items() if it[0] > now}
        oldest = len(kept) - self._entries * 9 // 10
        for name in list(kept)[: max(0, oldest)]:
            del kept[name]
        self._known = kept

    def _heard(self, news: str) -> None:
        kind, _, name = news.partition(":")
        with self._lock:
            self._changes += 1
            if kind == "*":
                self._known = {}
                return
            kept = {}
            for credential, entry in self._known.items():
                principal = entry[1]
                told = {
                    "session": principal.session_id,
                    "user": principal.user_id,
                    "key": principal.key_id,
                    "tenant": principal.tenant,
                }
                if str(told.get(kind)) != name:
                    kept[credential] = entry
            self._known = kept
