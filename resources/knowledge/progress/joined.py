"""Progress that the graph knows of, too: there it hangs on its concepts."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from resources.errors import UnavailableError
from resources.knowledge.state import LearnerProgress
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from resources.knowledge.progress.model import ConceptProgress, ProgressChange
    from resources.knowledge.progress.store import ProgressStore
    from resources.knowledge.store import GraphStore

log = get_logger(__name__)

_TOLD: Final = 50


class JoinedProgress:
    """A ProgressStore that tells the graph. `store` has the truth; the graph follows, at the latest with the next change."""

    def __init__(self, store: ProgressStore, graph: GraphStore) -> None:
        self._store = store
        self._graph = graph

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
        kept = self._store.change(concept, change, user=user, tenant=tenant, now=now, unless=unless)
        latest = islice(self._store.of(user, tenant=tenant), _TOLD)
        try:
            self._graph.put_progress([_of(user, one) for one in latest], tenant=tenant)
        except UnavailableError:
            log.warning("progress.graph_behind", tenant=tenant, concept=concept)
        return kept

    def of(self, user: str, *, tenant: str) -> Sequence[ConceptProgress]:
        return self._store.of(user, tenant=tenant)

    def forget(
        self,
        concept: str,
        *,
        user: str,
        tenant: str,
        unless: Callable[[ConceptProgress | None], None] | None = None,
    ) -> bool:
        """The graph forgets before it is done here: nothing must be left there that is forgotten here."""

        def checked(said: ConceptProgress | None) -> None:
            if unless is not None:
                unless(said)
            self._graph.drop_progress(user, concept, tenant=tenant)

        return self._store.forget(concept, user=user, tenant=tenant, unless=checked)


def _of(user: str, said: ConceptProgress) -> LearnerProgress:
    return LearnerProgress(
        user=user,
        concept=said.concept,
        status=said.status.value,
        percent=said.percent,
        minutes=said.minutes_spent,
        rating=said.difficulty_rating,
        started_at=said.started_at,
        completed_at=said.completed_at,
        updated_at=said.updated_at,
    )
