"""A workflow as levels of nodes (its own, and the bodies of maps, loops and parallel groups), each one a graph."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rustworkx

from resources.workflows.graph import Dependency, Level
from resources.workflows.inputs import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from resources.workflows.node_type import NodeTypes
    from resources.workflows.spec import (
        NodeSpec,
    )
    from resources.workflows.validation.findings import Findings

MAX_PARALLEL = 50


@dataclass(slots=True)
class Frame:
    """One level while it is looked at. `owner` is the node whose body it is; `names` are those of bodies around."""

    nodes: tuple[NodeSpec, ...]
    path: str
    names: frozenset[str] = frozenset()
    parent: Frame | None = None
    owner: NodeSpec | None = None
    depth: int = 0
    index: dict[str, int] = field(default_factory=dict)
    bodies: dict[str, Frame] = field(default_factory=dict)
    branches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    edges: dict[str, dict[tuple[str, str | None], Dependency]] = field(default_factory=dict)
    outer: set[str] = field(default_factory=set)
    order: list[str] = field(default_factory=list)
    height: int = 0

    def place(self, node: NodeSpec) -> str:
        return f"{self.path}.{node.id}"


class Graphs:
    """Orders levels, and tells what is wrong with them as graphs."""

    def __init__(self, types: NodeTypes, findings: Findings) -> None:
        self._types = types
        self._findings = findings

    def look(self, frame: Frame) -> None:
        """Order the level, and tell of cycles, of too many nodes side by side and of those that never run."""
        self._order(frame)
        if len(frame.order) < len(frame.index):
            self._tell_cycles(frame)
        self._measure(frame)
        self._tell_unreachable(frame)

    def _order(self, frame: Frame) -> None:
        """Topological, and as written where that is free (Kahn, with a heap)."""
        waiting = {name: len({need for need, _ in frame.edges.get(name, ())}) for name in frame.index}
        followers = _followers(frame)
        ready = [frame.index[name] for name, count in waiting.items() if count == 0]
        heapq.heapify(ready)
        while ready:
            name = frame.nodes[heapq.heappop(ready)].id
            frame.order.append(name)
            for follower in followers[name]:
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    heapq.heappush(ready, frame.index[follower])

    def _tell_cycles(self, frame: Frame) -> None:
        names = list(frame.index)
        number = {name: position for position, name in enumerate(names)}
        graph = rustworkx.PyDiGraph()
        graph.add_nodes_from(names)
        graph.add_edges_from_no_data(
            [(number[need], number[name]) for name, edges in frame.edges.items() for need, _ in edges if name in number]
        )
        for component in rustworkx.strongly_connected_components(graph):
            if len(component) > 1:
                way = [names[position] for position in _cycle(graph, component)]
                shown = " → ".join([*way, way[0]] if len(way) <= 10 else [*way[:10], "…", way[0]])  # noqa: PLR2004  # a line
                hint = "something in it must not need, or read, what comes after"
                self._findings.report(
                    f"{frame.path}.{way[0]}", f"the nodes wait for each other: {shown}", hint, code="cycle_detected"
                )

    def _measure(self, frame: Frame) -> None:
        """The longest way through the level, and how many nodes wait for the same one at the same time."""
        rank: dict[str, int] = {}
        for name in frame.order:
            body = frame.bodies.get(name)
            before = max((rank[need] for need, _ in frame.edges.get(name, ())), default=0)
            rank[name] = before + 1 + (body.height if body else 0)
        frame.height = max(rank.values(), default=0)
        for name, followers in _followers(frame).items():
            together = Counter(rank[follower] for follower in followers if follower in rank)
            most = max(together.values(), default=0)
            if most > MAX_PARALLEL:
                message = f"{most} nodes run side by side after it, more than {MAX_PARALLEL}"
                self._findings.report(f"{frame.path}.{name}", message, "use a map", code="limit_exceeded")

    def _tell_unreachable(self, frame: Frame) -> None:
        """Nodes that need branches of which a router never takes both."""
        if not any(self._is_exclusive(frame.nodes[frame.index[name]]) for name in frame.branches):
            return
        under: dict[str, dict[str, frozenset[str]]] = {}
        for name in frame.order:
            node = frame.nodes[frame.index[name]]
            each = [self._conditions_of(frame, edge, under) for edge in frame.edges.get(name, {}).values()]
            explicit = [
                conditions
                for edge, conditions in zip(frame.edges.get(name, {}).values(), each, strict=True)
                if edge.explicit
            ]
            under[name] = _either(explicit) if node.join == "any" else _both(each)
            impossible = [router for router, branches in under[name].items() if not branches]
            if impossible:
                router = impossible[0]
                message = f"never runs, as it needs several branches of {router!r}, which takes one of them"
                hint = "join: any runs it when one of its needs has run"
                self._findings.report(f"{frame.path}.{name}", message, hint, code="unreachable_nodes")
                under[name] = {}

    def _conditions_of(
        self, frame: Frame, edge: Dependency, under: Mapping[str, dict[str, frozenset[str]]]
    ) -> dict[str, frozenset[str]]:
        conditions = under[edge.node]
        if edge.branch is not None and self._is_exclusive(frame.nodes[frame.index[edge.node]]):
            return conditions | {edge.node: frozenset({edge.branch})}
        return conditions

    def _is_exclusive(self, node: NodeSpec) -> bool:
        known = self._types.find(node.type)
        if known is None or known.kind != "router":
            return False
        return known.exclusive is None or known.exclusive(node)


def level(frame: Frame, done: Mapping[int, Level]) -> Level:
    """The level as it is compiled; `done` has its bodies, by the id of their frames."""
    needed = {need for edges in frame.edges.values() for need, _ in edges}
    return Level(
        nodes=tuple(frame.nodes[frame.index[name]] for name in frame.order),
        dependencies={name: tuple(frame.edges.get(name, {}).values()) for name in frame.order},
        branches=frame.branches,
        outer=frozenset(frame.outer),
        results=tuple(name for name in frame.order if name not in needed),
        bodies={name: done[id(body)] for name, body in frame.bodies.items()},
    )


def no_node(name: str, frame: Frame, where: Mapping[str, Frame]) -> tuple[str, str | None]:
    """Why the level has no such node, and what to write instead."""
    elsewhere = where.get(name)
    if elsewhere is not None and elsewhere.owner is not None and not _is_around(elsewhere, frame):
        owner = elsewhere.owner.id
        return f"the node {name!r} is inside of {owner!r}", f"what {owner!r} gives is nodes.{owner}.output"
    if elsewhere is not None:
        return f"the node {name!r} is not in the same body", "an expression can read its output"
    return f"there is no node {name!r}", nearest(name, frame.index)


def _followers(frame: Frame) -> dict[str, list[str]]:
    followers: dict[str, list[str]] = {name: [] for name in frame.index}
    for name, edges in frame.edges.items():
        for need in dict.fromkeys(need for need, _ in edges):
            followers[need].append(name)
    return followers


def _is_around(outer: Frame, inner: Frame) -> bool:
    at: Frame | None = inner
    while at is not None and at is not outer:
        at = at.parent
    return at is not None


def _cycle(graph: Any, component: Iterable[int]) -> list[int]:
    """One way round inside of a strongly connected component, from the node that is written first."""
    members = set(component)
    first = min(members)
    came_from = {first: first}
    waiting = [first]
    for position in waiting:
        for following in sorted(set(graph.successor_indices(position)) & members):
            if following == first:
                way = [position]
                while way[-1] != first:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if following not in came_from:
                came_from[following] = position
                waiting.append(following)
    return [first]


def _both(conditions: Iterable[Mapping[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for each in conditions:
        for router, branches in each.items():
            found[router] = found[router] & branches if router in found else branches
    return found


def _either(conditions: Sequence[Mapping[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    if not conditions:
        return {}
    common = set.intersection(*(set(each) for each in conditions))
    return {router: frozenset().union(*(each[router] for each in conditions)) for router in common}
