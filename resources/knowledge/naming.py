"""Which concept a name means, and suggestions where it means none."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from resources.errors import NotFoundError
from resources.knowledge.model import concept_id

if TYPE_CHECKING:
    from resources.knowledge.model import Concept
    from resources.knowledge.view import GraphView

_SUGGESTIONS: Final = 5


def found(name: str, view: GraphView) -> int:
    """The place of the one concept that `name` means: its id, a merged alias of it, its name, or a part of exactly one name.

    Raises NotFoundError, with suggestions, for a name that no concept or more than one has.
    """
    for key in (name, concept_id(name)):
        if (place := view.place.get(view.aliases.get(key, key))) is not None:
            return place
    return view.place[resolve(name, {concept.id: concept for concept in view.concepts})]


def resolve(name: str, concepts: dict[str, Concept]) -> str:
    """The id of the one concept that `name` means: its id, its name, or a part of exactly one name.

    Raises NotFoundError, with suggestions, for a name that no concept or more than one has.
    """
    if name in concepts:
        return name
    if (plain := concept_id(name)) in concepts:
        return plain
    folded = name.casefold()
    found = sorted(
        (concept for concept in concepts.values() if folded.strip() and folded in concept.name.casefold()),
        key=lambda concept: (concept.kind != "subject", len(concept.name), concept.id),
    )
    if len(found) == 1:
        return found[0].id
    suggestions = [concept.name for concept in found[:_SUGGESTIONS]] or difflib.get_close_matches(
        plain, concepts, n=_SUGGESTIONS
    )
    what = f"{len(found)} concepts have {name!r} in their name" if found else f"There is no concept {name!r}"
    hint = f"Did you mean: {', '.join(suggestions)}?" if suggestions else "Ingest documents about it first."
    raise NotFoundError(
        f"{what}. {hint}",
        code="concept_ambiguous" if found else "concept_not_found",
        name=name,
        suggestions=suggestions,
    )
