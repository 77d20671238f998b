"""How much one principal may ask of the graph in the long run, and follow at once. Of one process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from api.auth.limiter import Buckets, Rate
from resources.errors import LimitExceededError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Self

    from api.auth.limiter import Rates
    from resources.settings import Settings
    from resources.tenants.model import Principal

FOLLOWED: Final = 5
"""Subscriptions that one principal may follow at the same time, over all of its sockets and streams."""
POINTS: Final = 100
"""Complexity that each request may have on average, where a principal sends as many as it may."""
_LEAST: Final = 1000


class Allowances:
    """For the event loop alone. `unlimited` is the subject that no rate holds for: the admin of a local platform."""

    def __init__(
        self,
        rates: Rates,
        *,
        unlimited: str | None = None,
        followed: int = FOLLOWED,
        points: int = POINTS,
        largest: int = _LEAST,
    ) -> None:
        """`largest` is the complexity of the largest operation that is allowed."""
        self._rates = rates
        self._unlimited = unlimited
        self.followed = followed
        self._points = points
        self._largest = largest
        self._buckets = Buckets()
        self._followed: dict[str, int] = {}

    @classmethod
    def of(cls, settings: Settings, rates: Rates) -> Self:
        """As the settings have them."""
        graph = settings.graphql
        return cls(
            rates,
            unlimited="local" if settings.auth.mode == "local" else None,
            followed=graph.subscriptions,
            points=graph.points_per_request,
            largest=graph.complexity,
        )

    def charge(self, principal: Principal, points: int) -> None:
        """Take the complexity of an operation. Raises LimitExceededError when there is not enough left."""
        if principal.subject == self._unlimited:
            return
        requests = self._rates.principal
        # An operation of the greatest allowed size has to fit, however small the rates are.
        rate = Rate(self._points * requests.per_minute, max(self._largest, self._points * requests.burst))
        decision = self._buckets.take("complexity", _key(principal), rate, points)
        if not decision.allowed:
            raise LimitExceededError(
                f"Operations of complexity {rate.per_minute} in all are allowed in a minute.",
                code="graphql_complexity_rate",
                retry_after=decision.retry_after,
            )

    def follow(self, principal: Principal) -> Callable[[], None]:
        """Count a subscription; call what is returned when it ends. Raises LimitExceededError."""
        key = _key(principal)
        if self._followed.get(key, 0) >= self.followed:
            raise LimitExceededError(
                f"{self.followed} subscriptions at the same time are allowed. End one before the next.",
                code="too_many_subscriptions",
                limit=self.followed,
            )
        self._followed[key] = self._followed.get(key, 0) + 1

        def end() -> None:
            self._followed[key] -= 1
            if not self._followed[key]:
                del self._followed[key]

        return end


class Followed:
    """What a subscription gives, and `end` when it gives no more: it has ended, failed, or was closed before it began.

    After so many `seconds` it raises LimitExceededError: whoever follows on begins anew, and is asked again who it is.
    """

    def __init__(self, found: AsyncIterator[Any], end: Callable[[], None], *, seconds: float) -> None:
        self._found = found
        self._end: Callable[[], None] | None = end
        self._seconds = seconds
        self._until: float | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._until is None:
            self._until = loop.time() + self._seconds
        try:
            async with asyncio.timeout_at(self._until) as limit:
                return await anext(self._found)
        except BaseException as error:
            if isinstance(error, TimeoutError) and limit.expired():
                await self.aclose()
                raise _expired(self._seconds) from error
            self._ended()
            raise

    async def aclose(self) -> None:
        self._ended()
        close = getattr(self._found, "aclose", None)
        if close is not None:
            await close()

    def __del__(self) -> None:
        self._ended()

    def _ended(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end()


def _expired(seconds: float) -> LimitExceededError:
    return LimitExceededError(
        f"A subscription ends after {seconds:g} seconds. Begin it anew, behind the last position that came.",
        code="subscription_expired",
        retry_after=0.0,
    )


def _key(principal: Principal) -> str:
    return f"{principal.tenant}/{principal.key_id or principal.subject}"
