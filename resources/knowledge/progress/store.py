"""The port of progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from resources.knowledge.progress.model import Change, ConceptProgress


class ProgressStore(Protocol):
    """Progress of all tenants' users. Verbs raise UnavailableError when the store cannot be reached."""

    def tell(self, user: str, change: Change, *, tenant: str, now: datetime) -> ConceptProgress:
        """Keep what the user tells; of two at the same time neither is lost."""

    def of(self, users: Collection[str], *, tenant: str) -> Mapping[str, Sequence[ConceptProgress]]:
        """Their concepts, for each user in order of concept; empty for who has told nothing."""
