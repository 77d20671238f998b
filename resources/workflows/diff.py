"""What changed between two versions of a workflow: nodes, edges, inputs, and single values by their paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resources.workflows.spec import NodeSpec, WorkflowSpec

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `before` and `after` are None on the side where there is nothing."""

    kind: Literal["added", "removed", "changed"]
    path: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        match self.kind:
            case "added":
                return f"+ {self.path}: {self.after!r}"
            case "removed":
                return f"- {self.path}: {self.before!r}"
        return f"~ {self.path}: {self.before!r} → {self.after!r}"


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs, in the order of the newer one, by what it is about."""

    nodes: tuple[Change, ...] = ()
    edges: tuple[Change, ...] = ()
    inputs: tuple[Change, ...] = ()
    outputs: tuple[Change, ...] = ()
    other: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return any(self)

    def __iter__(self) -> Iterator[Change]:
        yield from (*self.nodes, *self.edges, *self.inputs, *self.outputs, *self.other)


def diff(before: WorkflowSpec, after: WorkflowSpec) -> Difference:
    """The steps from one spec to the other. Bodies are compared node by node too."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    parts = {"nodes", "inputs", "outputs"}
    nodes, edges = _nodes(before, after)
    return Difference(
        nodes=tuple(nodes),
        edges=tuple(edges),
        inputs=tuple(_each("inputs", old["inputs"], new["inputs"])),
        outputs=tuple(_each("outputs", old["outputs"], new["outputs"])),
        other=tuple(change for name in new if name not in parts for change in _values(name, old[name], new[name])),
    )


def _nodes(before: WorkflowSpec, after: WorkflowSpec) -> tuple[list[Change], list[Change]]:
    old, new = dict(_placed(before.nodes)), dict(_placed(after.nodes))
    nodes = [Change("removed", path, before=node.type) for path, node in old.items() if path not in new]
    edges = [
        Change("removed", f"{path}.needs", before=need)
        for path, node in old.items()
        if path not in new
        for need in node.needs
    ]
    for path, node in new.items():
        if path not in old:
            nodes.append(Change("added", path, after=node.type))
        else:
            nodes += _values(path, _fields(old[path]), _fields(node))
        had = old[path].needs if path in old else ()
        edges += [Change("removed", f"{path}.needs", before=need) for need in had if need not in node.needs]
        edges += [Change("added", f"{path}.needs", after=need) for need in node.needs if need not in had]
    return nodes, edges


def _placed(nodes: tuple[NodeSpec, ...]) -> Iterator[tuple[str, NodeSpec]]:
    waiting = [("nodes", node) for node in reversed(nodes)]
    while waiting:
        path, node = waiting.pop()
        own = f"{path}.{node.id}"
        yield own, node
        waiting += [(f"{own}.nodes", inner) for inner in reversed(node.nodes)]


def _fields(node: NodeSpec) -> dict[str, Any]:
    return node.model_dump(mode="json", exclude={"id", "needs", "nodes"})


def _each(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in before:
        if name not in after:
            yield Change("removed", f"{path}.{name}", before=before[name])
    for name, value in after.items():
        if name not in before:
            yield Change("added", f"{path}.{name}", after=value)
        else:
            yield from _values(f"{path}.{name}", before[name], value)


def _values(path: str, before: Any, after: Any) -> Iterator[Change]:
    waiting = [(path, before, after)]
    while waiting:
        where, old, new = waiting.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            names = [*new, *(name for name in old if name not in new)]
            waiting += [(f"{where}.{name}", old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in reversed(names)]
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            waiting += [(f"{where}[{index}]", old[index], new[index]) for index in reversed(range(len(old)))]
        elif old is _ABSENT:
            yield Change("added", where, after=new)
        elif new is _ABSENT:
            yield Change("removed", where, before=old)
        elif old != new:
            yield Change("changed", where, before=old, after=new)
