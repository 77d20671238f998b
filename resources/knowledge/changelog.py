"""What was touched by each change of a graph, for those who keep up with it. The last changes are kept, not all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from resources.knowledge.model import EdgeType
from resources.knowledge.state import Changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from resources.knowledge.contribution import Delta
    from resources.knowledge.state import EdgeKey

MAX_CHANGES: Final = 500
MAX_TOUCHED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `concepts` is None when it touched too much to be told one by one."""

    revision: int
    concepts: frozenset[str] | None
    edges: frozenset[EdgeKey]

    @classmethod
    def of(cls, revision: int, deltas: Iterable[Delta]) -> Change:
        concepts: frozenset[str] = frozenset()
        edges: frozenset[EdgeKey] = frozenset()
        for change in deltas:
            concepts |= change.added_supports.keys() | change.removed_supports
            edges |= change.added_edges.keys() | change.removed_edges
        if len(concepts) + len(edges) > MAX_TOUCHED:
            return cls(revision, None, frozenset())
        return cls(revision, concepts, edges)

    def to_json(self) -> str | None:
        if self.concepts is None:
            return None
        return json.dumps({"concepts": sorted(self.concepts), "edges": sorted(self.edges)})

    @classmethod
    def from_json(cls, revision: int, text: str | None) -> Change:
        if text is None:
            return cls(revision, None, frozenset())
        told = json.loads(text)
        edges = frozenset((source, target, EdgeType(kind)) for source, target, kind in told["edges"])
        return cls(revision, frozenset(told["concepts"]), edges)


def changes_of(kept: Sequence[Change], *, since: int, current: int) -> Changes | None:
    """All that was touched after `since`; None if one of the changes up to `current` is not kept, or does not tell."""
    if {change.revision for change in kept} != set(range(since + 1, current + 1)):
        return None
    concepts: set[str] = set()
    edges: set[EdgeKey] = set()
    for change in kept:
        if change.concepts is None:
            return None
        concepts |= change.concepts
        edges |= change.edges
    if len(concepts) + len(edges) > MAX_TOUCHED:
        return None
    return Changes(current, frozenset(concepts), frozenset(edges))
