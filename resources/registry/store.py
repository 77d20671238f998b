"""The port of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.registry.model import Agent, Beat, Registration


class AgentRegistry(Protocol):
    """Agents by tenant. All raise UnavailableError when the store cannot be reached."""

    def register(self, registration: Registration, *, tenant: str, now: datetime) -> tuple[Agent, bool]:
        """The agent, seen now, and whether it is new. One of the same name keeps its id and what is known of its health."""
        ...

    def get(self, agent_id: UUID, *, tenant: str) -> Agent:
        """Raises NotFoundError."""
        ...

    def list(self, *, tenant: str, after: str = "", limit: int = 1000) -> Sequence[Agent]:
        """By name, those behind `after`."""
        ...

    def able(self, capabilities: Sequence[str], *, tenant: str) -> Sequence[Agent]:
        """Those who say that they can do all of it, however they are; by name."""
        ...

    def heartbeat(self, agent_id: UUID, beat: Beat, *, tenant: str, now: datetime) -> Agent:
        """The agent, as it is after it. Raises NotFoundError: it is to register anew."""
        ...

    def remove(self, agent_id: UUID, *, tenant: str, unless: Callable[[Agent], None] | None = None) -> None:
        """Unless `unless` raises for how it is: nobody changes it in between. Raises NotFoundError."""
        ...

    def monitored(self, *, now: datetime) -> Sequence[Agent]:
        """Of all tenants: those to be asked for their health that are not lost."""
        ...

    def checked(self, agent_id: UUID, milliseconds: float | None, *, tenant: str) -> Agent | None:
        """Note that it answered, or with None that it did not; gives None when the agent is gone meanwhile."""
        ...

    def forget(self, *, before: datetime) -> int:
        """Remove those of all tenants that were last seen before that; gives how many."""
        ...
