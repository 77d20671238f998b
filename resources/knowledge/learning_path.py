"""Learning paths: from what is known to a goal, every prerequisite before what needs it.

A path is the goal's prerequisite closure without what is known, in topological levels. Concepts that require each other are
put in order by leaving out the weakest edges of their cycle; the path names these.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from resources.errors import NotFoundError
from resources.knowledge.algorithms.prerequisites import closure, levels, without_cycles
from resources.knowledge.model import Concept, EdgeType, LearningPath, LearningStep, concept_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from resources.knowledge.model import Edge
    from resources.knowledge.store import GraphStore

_NAMED_REASONS: Final = 3
_SUGGESTIONS: Final = 5
_DOCUMENTS: Final = 5


class LearningPaths:
    """Plans paths over the graph of a store."""

    def __init__(self, graph: GraphStore) -> None:
        self._graph = graph

    def plan(
        self, target: str, *, source: str | None = None, known: Collection[str] = frozenset(), tenant: str
    ) -> LearningPath:
        """The way to `target` for someone who knows `known`, and comes from `source`. All are names or ids of concepts.

        What only a known concept needs is not on the path. The source counts as known, together with all that it requires,
        when it is itself on the way to the target; otherwise the path says so in its notes.
        Raises NotFoundError, with suggestions, for a name that no concept or more than one has.
        """
        concepts = {concept.id: concept for concept in self._graph.concepts(tenant=tenant)}
        goal = resolve(target, concepts)
        start = resolve(source, concepts) if source is not None else None
        learned = {resolve(name, concepts) for name in known}

        requires = [
            edge
            for edge in self._graph.edges(tenant=tenant, type=EdgeType.REQUIRES)
            if edge.source in concepts and edge.target in concepts
        ]
        whole = closure([goal], requires)
        relevant = [edge for edge in requires if edge.source in whole]
        kept, cut = without_cycles(relevant)
        whole = closure([goal], kept)

        notes = []
        if start is not None and start in whole:
            learned |= closure([start], kept)
        elif start is not None:
            notes.append(
                f"{concepts[start].name} is not a prerequisite of {concepts[goal].name}; "
                "the path starts from the beginning."
            )
        if goal in learned:
            notes.append(f"{concepts[goal].name} is known already.")
        chosen = closure([goal], kept, known=learned)
        return LearningPath(
            source=start,
            target=goal,
            steps=self._steps(chosen, kept, goal, concepts, tenant=tenant),
            cut_edges=tuple(cut),
            notes=tuple(notes),
        )

    def _steps(
        self, chosen: set[str], edges: Sequence[Edge], goal: str, concepts: dict[str, Concept], *, tenant: str
    ) -> tuple[LearningStep, ...]:
        requires: dict[str, set[str]] = defaultdict(set)
        needed_by: dict[str, set[str]] = defaultdict(set)
        for edge in edges:
            if edge.source in chosen and edge.target in chosen:
                requires[edge.source].add(edge.target)
                needed_by[edge.target].add(edge.source)
        documents = self._graph.documents_of(chosen, tenant=tenant)
        level_of = {key: level for level, group in enumerate(levels(chosen, edges), start=1) for key in group}
        ordered = sorted(chosen, key=lambda key: (level_of[key], -len(needed_by[key]), key))
        position = {key: order for order, key in enumerate(ordered, start=1)}
        return tuple(
            LearningStep(
                order=position[key],
                concept=concepts[key],
                level=level_of[key],
                requires=tuple(sorted(requires[key], key=position.__getitem__)),
                reason="the goal" if key == goal else _reason(needed_by[key], concepts, position),
                documents=tuple(documents[key][:_DOCUMENTS]),
            )
            for key in ordered
        )


def validate(path: LearningPath, edges: Iterable[Edge], *, known: Collection[str] = frozenset()) -> list[str]:
    """What is wrong with a path, in sentences; empty when every prerequisite comes before what needs it.

    `edges` are the graph's; only prerequisites count, without those that the path says it has cut. `known` are ids.
    """
    cut = {(edge.source, edge.target) for edge in path.cut_edges}
    requires = [edge for edge in edges if edge.type is EdgeType.REQUIRES and (edge.source, edge.target) not in cut]
    learned = set(known)
    if path.source is not None and path.source in closure([path.target], requires):
        learned |= closure([path.source], requires)
    messages = []
    place: dict[str, int] = {}
    for number, step in enumerate(path.steps, start=1):
        if step.concept.id in place:
            messages.append(f"{step.concept.id!r} is there twice, as steps {place[step.concept.id]} and {number}.")
        place.setdefault(step.concept.id, number)
        if step.order != number:
            messages.append(f"Step {number}, {step.concept.id!r}, says that it is number {step.order}.")
    for edge in requires:
        if edge.source not in place or edge.source == edge.target:
            continue
        if edge.target not in place:
            if edge.target not in learned:
                messages.append(f"{edge.source!r} requires {edge.target!r}, which is neither a step nor known.")
        elif place[edge.target] > place[edge.source]:
            messages.append(f"{edge.source!r} comes before {edge.target!r}, which it requires.")
    if path.target not in place and path.target not in learned:
        messages.append(f"The target {path.target!r} is not on the path.")
    return messages


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


def _reason(needed_by: Iterable[str], concepts: dict[str, Concept], position: dict[str, int]) -> str:
    names = [concepts[key].name for key in sorted(needed_by, key=position.__getitem__)]
    more = f" and {len(names) - _NAMED_REASONS} more" if len(names) > _NAMED_REASONS else ""
    return f"needed by {', '.join(names[:_NAMED_REASONS])}{more}"
