"""From a path that was planned to one that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resources.knowledge.model import PathConcept, SavedPath

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from resources.knowledge.model import LearningPath
    from resources.knowledge.store import GraphStore
    from resources.knowledge.view import GraphView

PLATFORM: Final = "platform"
_OUTCOMES: Final = 3
_OWN: Final = "most-demanding."


def saved(
    path: LearningPath,
    *,
    id: str,
    name: str,
    now: datetime,
    description: str = "",
    audience: str | None = None,
    creator: str = PLATFORM,
) -> SavedPath:
    """The path as it is kept, with its steps as they are now."""
    last = [step.concept.name for step in path.steps if not step.optional][-_OUTCOMES:]
    return SavedPath(
        id=id,
        name=name,
        description=description,
        audience=audience,
        target=path.target,
        concepts=tuple(
            PathConcept(
                order=step.order, concept=step.concept.id, optional=step.optional, alternatives=step.substitutes
            )
            for step in path.steps
        ),
        minutes=path.minutes,
        difficulties=tuple(step.concept.difficulty for step in path.steps),
        outcomes=tuple(f"know {concept}" for concept in reversed(last)),
        creator=creator,
        custom=creator != PLATFORM,
        updated_at=now,
    )


def keep(planned: Iterable[LearningPath], view: GraphView, store: GraphStore, *, tenant: str, now: datetime) -> None:
    """Keep the platform's own paths, in place of all that it kept before. Those of users stay."""
    former = {path.id: path for path in store.paths(tenant=tenant) if not path.custom}
    for path in planned:
        name = f"To {view.concepts[view.place[path.target]].name}"
        new = saved(path, id=f"{_OWN}{path.target}", name=name, now=now)
        old = former.pop(new.id, None)
        if old is None or old.model_copy(update={"updated_at": now}) != new:
            store.put_path(new, tenant=tenant)
    for gone in former:
        store.drop_path(gone, tenant=tenant)
