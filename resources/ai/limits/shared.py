"""The port of what processes use of a provider's limits together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from resources.ai.limits.window import Quota


class SharedWindows(Protocol):
    """Windows of places (a key and a model), for all processes. Blocking; verbs raise UnavailableError."""

    def take(self, place: str, grant: UUID, *, tenant: str, tokens: int, quota: Quota) -> float:
        """0 = a request of about so many tokens may go, and counts; else the seconds after which to ask again.

        Of the tenants that wait the one that was granted the fewest tokens goes first.
        """

    def settle(self, grant: UUID, tokens: int) -> None:
        """What the request really took."""

    def learn(self, place: str, *, used: int) -> None:
        """The provider says that so many tokens are used: what nobody here was granted is used by others."""

    def close(self, place: str, seconds: float) -> None:
        """The provider has refused: nobody goes before this is over."""
