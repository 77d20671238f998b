"""The port of progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from resources.knowledge.progress.model import ConceptProgress, ProgressChange


class ProgressStore(Protocol):
    """What users say of how far they have come. Verbs raise UnavailableError when the store cannot be reached."""

    def change(
        self,
        concept: str,
        change: ProgressChange,
        *,
        user: str,
        tenant: str,
        now: datetime,
        unless: Callable[[ConceptProgress | None], None] | None = None,
    ) -> ConceptProgress:
        """Keep what the user says of a concept (an id). Of two changes at the same time neither is lost.

        Unless `unless` raises for what was said before (None = nothing).
        """

    def of(self, user: str, *, tenant: str) -> Sequence[ConceptProgress]:
        """All that the user has said, the latest first."""

    def forget(
        self,
        concept: str,
        *,
        user: str,
        tenant: str,
        unless: Callable[[ConceptProgress | None], None] | None = None,
    ) -> bool:
        """As if nothing had been said of the concept, unless `unless` raises for what was. False when nothing was."""
