"""Learning paths: from what is known to a goal, every prerequisite before what needs it.

A path is the goal's prerequisite closure without what is known, in topological order. Concepts that require each other are
put in order by leaving out the weakest edges of their cycle; the path names these. What a wish leaves out takes along all that
needs it, so that a path is closed under prerequisites even where it does not reach its goal.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import sparse

from resources.knowledge.algorithms.prerequisites import closure
from resources.knowledge.algorithms.structure import order
from resources.knowledge.model import (
    Edge,
    EdgeType,
    LearningPath,
    LearningStep,
    LeftOut,
    PathAlternative,
    PathWishes,
)
from resources.knowledge.naming import found
from resources.knowledge.view import RELATED_TO, lists_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from resources.knowledge.algorithms.structure import Order
    from resources.knowledge.projection import GraphProjections
    from resources.knowledge.view import Adjacency, GraphView

_NAMED_REASONS: Final = 3
_DOCUMENTS: Final = 5
_READABLE: Final = 200
_SUBSTITUTES: Final = 3
_TRIED: Final = 200
_LEVELS: Final = {"beginner": 1, "intermediate": 2, "advanced": 3, "expert": 4}
_MINUTES: Final = (30, 60, 120, 240)
"""For a concept of which no time is known, by difficulty."""
_NO_WISHES: Final = PathWishes()


class LearningPaths:
    """Plans paths over resident graphs. Safe to share between threads."""

    def __init__(self, views: GraphProjections) -> None:
        self._views = views

    def plan(
        self,
        target: str,
        *,
        source: str | None = None,
        known: Collection[str] = frozenset(),
        done: Mapping[str, float] | None = None,
        wishes: PathWishes = _NO_WISHES,
        tenant: str,
    ) -> LearningPath:
        """The way to `target` for someone who knows `known`, and comes from `source`. All are names or ids of concepts.

        What only a known concept needs is not on the path. The source counts as known, together with all that it requires,
        when it is itself on the way to the target; otherwise the path says so in its notes. `done` says of ids how much of each
        is learned, 0 to 1 (1 is known); ids that are not there any more are left out.
        Raises NotFoundError, with suggestions, for a name that no concept or more than one has.
        """
        view = self._views.view(tenant)
        done = {view.aliases.get(key, key): share for key, share in (done or {}).items()}
        goal = found(target, view)
        start = found(source, view) if source is not None else None
        learned = {found(name, view) for name in known}
        learned |= {view.place[key] for key, share in done.items() if share >= 1 and key in view.place}
        whole = view.once(order)

        notes = []
        everything = whole.closure([goal])
        if start is not None and start in everything:
            learned |= whole.closure([start])
        elif start is not None:
            notes.append(
                f"{view.concepts[start].name} is not a prerequisite of {view.concepts[goal].name}; "
                "the path starts from the beginning."
            )
        if goal in learned:
            notes.append(f"{view.concepts[goal].name} is known already.")
        plan = _Plan(
            view, whole, goal, learned, {view.place[key]: done[key] for key in done if key in view.place}, wishes
        )
        needed = whole.closure([goal], known=learned)
        ordered, left_out = plan.limited(plan.ordered(needed))
        complete = goal in learned or goal in ordered
        if not complete:
            notes.append(f"Within these limits the path does not reach {view.concepts[goal].name}.")
        steps = self._with_resources(plan.steps(plan.with_optional(ordered)), tenant=tenant)
        return LearningPath(
            source=None if start is None else view.ids[start],
            target=view.ids[goal],
            steps=steps,
            cut_edges=tuple(edge for edge in whole.cut if view.place[edge.source] in everything),
            notes=tuple(notes),
            minutes=sum(step.minutes for step in steps),
            complete=complete,
            left_out=tuple(LeftOut(concept=view.ids[place], reason=reason) for place, reason in left_out.items()),
            alternatives=tuple(plan.alternatives(needed)),
        )

    def _with_resources(self, steps: tuple[LearningStep, ...], *, tenant: str) -> tuple[LearningStep, ...]:
        """The steps with what can be read for each, of the first 200 steps."""
        wanted = {step.concept.id: step.documents for step in steps[:_READABLE] if step.documents}
        if not wanted:
            return steps
        found = self._views.store.resources(wanted, tenant=tenant)
        return tuple(step.model_copy(update={"resources": tuple(found.get(step.concept.id, ()))}) for step in steps)


class _Plan(NamedTuple):
    """One question, in places of the view."""

    view: GraphView
    order: Order
    goal: int
    learned: set[int]
    done: dict[int, float]
    wishes: PathWishes

    def ordered(self, needed: set[int]) -> list[int]:
        """`needed` in an order of the wished style, the goal last."""
        if self.wishes.style == "depth":
            return self._by_branch(needed)
        needed_by = {place: sum(one in needed for one in self.order.requiring[place]) for place in needed}
        if self.wishes.style == "breadth":
            levels = self._levels(needed)
            return sorted(needed, key=lambda place: (levels[place], self._rank(place), -needed_by[place], place))
        missing = {place: sum(one in needed for one in self.order.required[place]) for place in needed}
        ready = [(self._difficulty(place), self._rank(place), place) for place, count in missing.items() if not count]
        heapq.heapify(ready)
        result = []
        while ready:
            *_, place = heapq.heappop(ready)
            result.append(place)
            for freed in self.order.requiring[place]:
                if freed in missing:
                    missing[freed] -= 1
                    if not missing[freed]:
                        heapq.heappush(ready, (self._difficulty(freed), self._rank(freed), freed))
        return result

    def limited(self, ordered: Sequence[int]) -> tuple[list[int], dict[int, str]]:
        """What fits the wishes, and why the rest does not. What is left out takes along all that requires it."""
        wishes, names = self.wishes, self.view.concepts
        hardest = _LEVELS[wishes.max_difficulty] if wishes.max_difficulty else len(_LEVELS)
        kept: list[int] = []
        left: dict[int, str] = {}
        spent = 0
        for place in ordered:
            concept = names[place]
            missed = next((one for one in self.order.required[place] if one in left), None)
            if missed is not None:
                left[place] = f"needs {names[missed].name}, which is left out"
            elif self._difficulty(place) > hardest:
                left[place] = f"is harder than {wishes.max_difficulty}"
            elif concept.category in wishes.avoid and place != self.goal:
                left[place] = f"is about {concept.category}, which is to be avoided"
            elif wishes.max_minutes is not None and spent + self._minutes(place) > wishes.max_minutes:
                left[place] = f"takes {self._minutes(place)} minutes, and {wishes.max_minutes - spent} are left"
            elif wishes.max_steps is not None and len(kept) == wishes.max_steps:
                left[place] = f"would be more than {wishes.max_steps} steps"
            else:
                kept.append(place)
                spent += self._minutes(place)
        return kept, left

    def with_optional(self, ordered: list[int]) -> list[tuple[int, int | None]]:
        """The steps, and among them what is related to them (with the step that it is related to), as far as there is room."""
        wishes = self.wishes
        result: list[tuple[int, int | None]] = [(place, None) for place in ordered]
        if not wishes.optional or self.goal not in ordered:
            return result
        near = self.view.once(_related)
        on_path, open_to = set(ordered), set(ordered) | self.learned
        hardest = _LEVELS[wishes.max_difficulty] if wishes.max_difficulty else len(_LEVELS)
        best: dict[int, tuple[float, int]] = {}
        for place in ordered:
            for edge in range(near.starts[place], near.starts[place + 1]):
                other, weight = near.ends[edge], near.values[edge]
                if (
                    other not in open_to
                    and self.view.concepts[other].category not in wishes.avoid
                    and self._difficulty(other) <= hardest
                    and self.goal not in self.order.required[other]
                    and all(one in open_to for one in self.order.required[other])
                    and (other not in best or weight > best[other][0])
                ):
                    best[other] = (weight, place)
        room = wishes.max_steps - len(ordered) if wishes.max_steps is not None else len(best)
        left = wishes.max_minutes - sum(map(self._minutes, ordered)) if wishes.max_minutes is not None else None
        for other in sorted(best, key=lambda one: (self._rank(one), -best[one][0], one))[: wishes.optional]:
            if room <= 0 or (left is not None and self._minutes(other) > left):
                continue
            anchor = best[other][1]
            before = {anchor, *self.order.required[other]} & on_path - {self.goal}
            at = max((number for number, (place, _) in enumerate(result, 1) if place in before), default=0)
            result.insert(min(at, len(result) - 1), (other, anchor))
            room -= 1
            left = None if left is None else left - self._minutes(other)
        return result

    def steps(self, ordered: Sequence[tuple[int, int | None]]) -> tuple[LearningStep, ...]:
        concepts, ids = self.view.concepts, self.view.ids
        position = {place: number for number, (place, _) in enumerate(ordered, 1)}
        levels = self._levels(position)
        needed_by: dict[int, list[int]] = {place: [] for place in position}
        for place, anchor in ordered:
            if anchor is None:
                for one in self.order.required[place]:
                    if one in needed_by:
                        needed_by[one].append(place)
        return tuple(
            LearningStep(
                order=position[place],
                concept=concepts[place],
                level=levels[place],
                requires=tuple(
                    ids[one]
                    for one in sorted(
                        (one for one in self.order.required[place] if one in position), key=position.__getitem__
                    )
                ),
                reason=self._reason(place, anchor, needed_by[place]),
                documents=self._documents(place),
                minutes=self._minutes(place),
                optional=anchor is not None,
                substitutes=self._substitutes(place, position),
            )
            for place, anchor in ordered
        )

    def alternatives(self, needed: set[int]) -> list[PathAlternative]:
        """Paths without the weakest prerequisite, then without the weakest of what is left, and so on.

        What a sender has declared, of weight 1, is not doubted.
        """
        chosen: list[PathAlternative] = []
        blocked: set[tuple[int, int]] = set()
        while len(chosen) < self.wishes.alternatives:
            shorter = self._shorter(needed, blocked)
            if shorter is None:
                break
            needed, edge = shorter
            blocked.add(edge)
            steps, left_out = self.limited(self.ordered(needed))
            if not left_out:
                chosen.append(
                    PathAlternative(
                        steps=tuple(self.view.ids[place] for place in steps),
                        minutes=sum(map(self._minutes, steps)),
                        presumes=tuple(self._edge(one, other) for one, other in sorted(blocked)),
                    )
                )
        return chosen

    def _shorter(self, needed: set[int], blocked: set[tuple[int, int]]) -> tuple[set[int], tuple[int, int]] | None:
        starts, ends, values = self.view.requires
        edges = sorted(
            (values[edge], place, ends[edge])
            for place in needed
            for edge in range(starts[place], starts[place + 1])
            if ends[edge] in needed and values[edge] < 1 and (place, ends[edge]) not in blocked
        )
        for _, place, other in edges[:_TRIED]:
            without = blocked | {(place, other)}
            seen: set[int] = set()
            waiting = [self.goal]
            while waiting:
                here = waiting.pop()
                if here not in seen and here in needed:
                    seen.add(here)
                    waiting += [one for one in self.order.required[here] if (here, one) not in without]
            if len(seen) < len(needed):
                return seen, (place, other)
        return None

    def _edge(self, place: int, other: int) -> Edge:
        starts, ends, values = self.view.requires
        weight = values[ends.index(other, starts[place], starts[place + 1])]
        return Edge(source=self.view.ids[place], target=self.view.ids[other], type=EdgeType.REQUIRES, weight=weight)

    def _by_branch(self, needed: set[int]) -> list[int]:
        """Depth first: what a concept requires, then the concept itself."""
        result: list[int] = []
        seen = {self.goal}
        waiting = [(self.goal, iter(self._branches(self.goal)))] if needed else []
        while waiting:
            place, rest = waiting[-1]
            following = next((one for one in rest if one in needed and one not in seen), None)
            if following is None:
                result.append(place)
                waiting.pop()
            else:
                seen.add(following)
                waiting.append((following, iter(self._branches(following))))
        return result

    def _branches(self, place: int) -> list[int]:
        return sorted(self.order.required[place], key=lambda one: (self._rank(one), self.order.levels[one], one))

    def _levels(self, places: Collection[int]) -> dict[int, int]:
        levels: dict[int, int] = {}
        for place in sorted(places, key=self.order.levels.__getitem__):
            levels[place] = 1 + max((levels[one] for one in self.order.required[place] if one in levels), default=0)
        return levels

    def _rank(self, place: int) -> int:
        return 0 if self.view.concepts[place].category in self.wishes.prefer else 1

    def _difficulty(self, place: int) -> int:
        return int(self.view.levels[place])

    def _minutes(self, place: int) -> int:
        known = self.view.concepts[place].minutes
        whole = _MINUTES[self._difficulty(place) - 1] if known is None else known
        return round(whole * (1 - self.done.get(place, 0.0)))

    def _documents(self, place: int) -> tuple[str, ...]:
        mentioned = self.view.mentions.get(self.view.ids[place], {})
        return tuple(sorted(mentioned, key=lambda document: (-mentioned[document], document))[:_DOCUMENTS])

    def _substitutes(self, place: int, position: Mapping[int, int]) -> tuple[str, ...]:
        near = self.view.once(_related)
        fitting = [
            (-near.values[edge], other)
            for edge in range(near.starts[place], near.starts[place + 1])
            if (other := near.ends[edge]) not in position
            and other not in self.learned
            and self._difficulty(other) <= self._difficulty(place)
            and all(
                one in self.learned or position.get(one, position[place]) < position[place]
                for one in self.order.required[other]
            )
        ]
        return tuple(self.view.ids[other] for _, other in sorted(fitting)[:_SUBSTITUTES])

    def _reason(self, place: int, anchor: int | None, needed_by: Sequence[int]) -> str:
        concepts = self.view.concepts
        if place == self.goal:
            return "the goal"
        if anchor is not None:
            return f"optional: related to {concepts[anchor].name}"
        names = [concepts[one].name for one in needed_by]
        if not names:  # what needs it is left out
            return f"on the way to {concepts[self.goal].name}"
        more = f" and {len(names) - _NAMED_REASONS} more" if len(names) > _NAMED_REASONS else ""
        return f"needed by {', '.join(names[:_NAMED_REASONS])}{more}"


def hardest(view: GraphView, limit: int) -> list[int]:
    """The concepts (places) below which most prerequisites stand one on another; those without any are left out."""
    levels = view.once(order).levels
    first = np.lexsort((np.arange(len(view)), -levels))[:limit].tolist()
    return [place for place in first if levels[place] > 0]


def _related(view: GraphView) -> Adjacency:
    """What is related to each concept, in both directions."""
    chosen = (view.kinds == RELATED_TO) & (view.sources != view.targets)
    ends = np.concatenate([view.sources[chosen], view.targets[chosen]])
    others = np.concatenate([view.targets[chosen], view.sources[chosen]])
    weights = np.concatenate([view.weights[chosen], view.weights[chosen]])
    matrix = sparse.csr_array((weights, (ends, others)), shape=(len(view), len(view)))
    matrix.sum_duplicates()
    return lists_of(matrix)


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
    if path.complete and path.target not in place and path.target not in learned:
        messages.append(f"The target {path.target!r} is not on the path.")
    return messages
