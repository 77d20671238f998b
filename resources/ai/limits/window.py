"""Requests and tokens per minute of one key and model, and who may go next. Plain state: it is told the time.

The window slides: what was granted less than a minute ago counts. A second is added to the minute, as a request reaches the
provider a little after it was granted, and never as late as the one before. Tenants that wait take turns: next is who was
granted the fewest tokens within the window, so that each gets the same share, whatever the size of its requests (max-min
fairness).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SPAN: Final = 61.0
_SOON = 0.005


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in the queue, and then a share of the window. `tokens` is an estimate until the call is settled."""

    tenant: str
    tokens: int
    granted_at: float | None = None
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """What a provider allows a minute; None = no limit is known."""

    requests: int | None = None
    tokens: int | None = None


class Window:
    """One key and model."""

    def __init__(self, quota: Quota | None = None, *, span: float = SPAN) -> None:
        self.quota = quota or Quota()
        self._span = span
        self._granted: deque[Ticket] = deque()
        self._tokens = 0
        self._by_tenant: dict[str, int] = {}
        self._waiting: dict[str, deque[Ticket]] = {}
        self._closed_until = 0.0

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def queue(self, tenant: str, tokens: int) -> Ticket:
        """Ask for a slot. `grant` gives it."""
        ticket = Ticket(tenant, tokens)
        self._waiting.setdefault(tenant, deque()).append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Whoever waited does not want the slot any more."""
        queue = self._waiting.get(ticket.tenant, deque())
        if ticket in queue:
            queue.remove(ticket)
            if not queue:
                del self._waiting[ticket.tenant]

    def grant(self, now: float) -> Iterator[Ticket]:
        """Give slots to those who may go now."""
        self._slide(now)
        while self._waiting and now >= self._closed_until:
            tenant = min(self._waiting, key=lambda name: (self._by_tenant.get(name, 0), self._waiting[name][0].tokens))
            ticket = self._waiting[tenant][0]
            if not self._fits(ticket):
                return
            self.leave(ticket)
            ticket.granted_at = now
            self._count(ticket)
            yield ticket

    def next_at(self, now: float) -> float | None:
        """When it is worth to look again; None when nobody waits."""
        if not self._waiting:
            return None
        if now < self._closed_until:
            return self._closed_until
        first = self._granted[0].granted_at if self._granted else None
        return now if first is None else first + self._span

    def settle(self, ticket: Ticket, tokens: int | None) -> None:
        """What the call really took; None = it is not known, and the estimate stays."""
        if tokens is None or not ticket.counts:
            return
        self._tokens += tokens - ticket.tokens
        self._by_tenant[ticket.tenant] += tokens - ticket.tokens
        ticket.tokens = tokens

    def learn(self, now: float, *, quota: Quota, remaining: Quota) -> None:
        """What the provider's headers say. Others may use the same key: what is missing was theirs, and counts from now."""
        self.quota = Quota(quota.requests or self.quota.requests, quota.tokens or self.quota.tokens)
        self._slide(now)
        if self.quota.tokens is not None and remaining.tokens is not None:
            theirs = self.quota.tokens - remaining.tokens - self._tokens
            if theirs > 0:
                self._count(Ticket("", theirs, granted_at=now))

    def close(self, now: float, seconds: float) -> None:
        """The provider has refused: nobody goes before this is over."""
        self._closed_until = max(self._closed_until, now + seconds)

    def _fits(self, ticket: Ticket) -> bool:
        if not self._granted:
            return True  # one that is larger than the whole quota goes alone, and the provider decides
        requests, tokens = self.quota.requests, self.quota.tokens
        within_requests = requests is None or len(self._granted) + 1 <= requests
        return within_requests and (tokens is None or self._tokens + ticket.tokens <= tokens)

    def _count(self, ticket: Ticket) -> None:
        self._granted.append(ticket)
        ticket.counts = True
        self._tokens += ticket.tokens
        self._by_tenant[ticket.tenant] = self._by_tenant.get(ticket.tenant, 0) + ticket.tokens

    def _slide(self, now: float) -> None:
        while self._granted:
            granted_at = self._granted[0].granted_at
            assert granted_at is not None
            if granted_at + self._span > now + _SOON:
                return
            gone = self._granted.popleft()
            gone.counts = False
            self._tokens -= gone.tokens
            self._by_tenant[gone.tenant] -= gone.tokens
            if not self._by_tenant[gone.tenant]:
                del self._by_tenant[gone.tenant]
