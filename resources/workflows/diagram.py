"""Workflows as pictures: Mermaid for documents that draw it themselves, SVG and PNG for all others.

The drawing is layered (Sugiyama, Tagawa and Toda, 1981): a node stands below all that it needs, nodes of a layer stand in the
order that keeps neighbours close (barycentres, a few sweeps), and bodies are boxes inside of their node's box.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resources.workflows.graph import CheckedWorkflow, Level
    from resources.workflows.spec import NodeSpec

_CHARACTER: Final = 7.2
_LEAST_WIDTH, _HEIGHT = 110.0, 44.0
_GAP_X, _GAP_Y, _MARGIN, _TITLE = 28.0, 46.0, 16.0, 24.0
_SWEEPS = 6
_LONGEST_LABEL = 40
_SCALE = 2

_STYLE = (
    "text{font-family:'DejaVu Sans',Verdana,Arial,sans-serif;font-size:12px;fill:#1f2937}"
    ".type{font-size:10px;fill:#6b7280}.branch{font-size:10px;fill:#92400e}"
    ".node{fill:#fff;stroke:#64748b;stroke-width:1.2}.router{fill:#fef3c7;stroke:#b45309;stroke-width:1.2}"
    ".body{fill:#eff6ff;stroke:#3b82f6;stroke-width:1.2}"
    ".edge{fill:none;stroke:#475569;stroke-width:1.2}.implied{stroke-dasharray:4 3}"
)


def mermaid(checked: CheckedWorkflow) -> str:
    """A flowchart in Mermaid's language. Edges that come from expressions alone are dotted."""
    lines = ["flowchart TD"]
    lines += _mermaid(checked.level, 1)
    return "\n".join(lines) + "\n"


def svg(checked: CheckedWorkflow) -> str:
    """The workflow as an SVG document, with nothing in it that is loaded or executed."""
    box = _laid_out(checked.level)
    width, height = box.width + 2 * _MARGIN, box.height + 2 * _MARGIN
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label={quoteattr(checked.spec.name)}>'
        ),
        f"<style>{_STYLE}</style>",
        (
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0,0 L8,4 L0,8 z" fill="#475569"/></marker></defs>'
        ),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *_drawn(box, _MARGIN, _MARGIN),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def png(checked: CheckedWorkflow) -> bytes:
    """The same picture as PNG, at twice its size."""
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg(checked), zoom=_SCALE))


# Mermaid


def _mermaid(level: Level, depth: int) -> Iterator[str]:
    indent = "    " * depth
    for node in level.nodes:
        label = f"{node.id}<br/><small>{node.type}</small>"
        body = level.bodies.get(node.id)
        if body is not None:
            yield f'{indent}subgraph {_name(node.id)}["{label}"]'
            yield from _mermaid(body, depth + 1)
            yield f"{indent}end"
        elif node.id in level.branches:
            yield f'{indent}{_name(node.id)}{{"{label}"}}'
        else:
            yield f'{indent}{_name(node.id)}["{label}"]'
    for name, dependencies in level.dependencies.items():
        for one in dependencies:
            arrow = f"-- {one.branch} -->" if one.branch else "-->" if one.explicit else "-.->"
            yield f"{indent}{_name(one.node)} {arrow} {_name(name)}"


def _name(id: str) -> str:
    """Ids as Mermaid takes them: words of its own, such as `end`, break its parser."""
    return f"n_{id}"


# Layout


@dataclass(slots=True)
class _Placed:
    """A node and where it stands within its level; `x` and `y` are its upper left corner, `band` its layer's top and bottom."""

    node: NodeSpec
    is_router: bool
    body: _Box | None
    width: float
    height: float
    layer: int = 0
    x: float = 0.0
    y: float = 0.0
    band: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class _Edge:
    start: str
    end: str
    branch: str | None
    explicit: bool
    bends: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class _Box:
    nodes: dict[str, _Placed]
    edges: list[_Edge]
    width: float
    height: float


def _laid_out(level: Level) -> _Box:
    placed = {node.id: _sized(node, level) for node in level.nodes}
    edges = [
        _Edge(one.node, name, one.branch, one.explicit)
        for name, dependencies in level.dependencies.items()
        for one in dependencies
    ]
    for name, dependencies in level.dependencies.items():
        placed[name].layer = max((placed[one.node].layer + 1 for one in dependencies), default=0)
    layers = _with_bends(placed, edges)
    _sort(layers, edges)
    width, height = _place(layers, placed, edges)
    return _Box(placed, edges, width, height)


def _sized(node: NodeSpec, level: Level) -> _Placed:
    body = _laid_out(level.bodies[node.id]) if node.id in level.bodies else None
    width = max(_LEAST_WIDTH, 24 + _CHARACTER * max(len(_label(node.id)), len(_label(node.type)) + 2))
    height = _HEIGHT
    if body is not None:
        width, height = max(width, body.width + 2 * _MARGIN), body.height + 2 * _MARGIN + _TITLE
    return _Placed(node, node.id in level.branches, body, width, height)


# An item of a layer: a node by its id, or the place where an edge (by its number) passes through.
_Item = str | tuple[int, int]


def _with_bends(placed: Mapping[str, _Placed], edges: list[_Edge]) -> list[list[_Item]]:
    layers: list[list[_Item]] = [[] for _ in range(max((one.layer for one in placed.values()), default=-1) + 1)]
    for name, one in placed.items():
        layers[one.layer].append(name)
    for number, edge in enumerate(edges):
        for layer in range(placed[edge.start].layer + 1, placed[edge.end].layer):
            layers[layer].append((number, layer))
    return layers


def _sort(layers: list[list[_Item]], edges: list[_Edge]) -> None:
    """Put each item near the middle of its neighbours, from above and from below in turn."""
    above: dict[_Item, list[_Item]] = {item: [] for layer in layers for item in layer}
    below: dict[_Item, list[_Item]] = {item: [] for layer in layers for item in layer}
    passing: dict[int, list[_Item]] = {}
    for layer in layers:
        for item in layer:
            if isinstance(item, tuple):
                passing.setdefault(item[0], []).append(item)
    for number, edge in enumerate(edges):
        way: list[_Item] = [edge.start, *passing.get(number, []), edge.end]
        for upper, lower in itertools.pairwise(way):
            above[lower].append(upper)
            below[upper].append(lower)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        order = range(1, len(layers)) if down else range(len(layers) - 2, -1, -1)
        for number in order:
            near = layers[number - 1 if down else number + 1]
            position = {item: index for index, item in enumerate(near)}
            own = {item: index for index, item in enumerate(layers[number])}

            def middle(
                item: _Item,
                neighbours: dict[_Item, list[_Item]] = neighbours,
                position: dict[_Item, int] = position,
                own: dict[_Item, int] = own,
            ) -> tuple[float, int]:
                places = [position[one] for one in neighbours[item]]
                return (sum(places) / len(places) if places else own[item], own[item])

            layers[number].sort(key=middle)


def _place(layers: list[list[_Item]], placed: Mapping[str, _Placed], edges: list[_Edge]) -> tuple[float, float]:
    """Give each item its place: layers from above, each in the middle."""

    def width_of(item: _Item) -> float:
        return placed[item].width if isinstance(item, str) else _GAP_X / 2

    widths = [sum(map(width_of, layer)) + _GAP_X * (len(layer) - 1) for layer in layers]
    widest = max(widths, default=0.0)
    y = 0.0
    for layer, width in zip(layers, widths, strict=True):
        x = (widest - width) / 2
        height = max((placed[item].height for item in layer if isinstance(item, str)), default=_HEIGHT)
        for item in layer:
            if isinstance(item, str):
                placed[item].x, placed[item].y = x, y + (height - placed[item].height) / 2
                placed[item].band = y, y + height
            else:
                middle = x + width_of(item) / 2
                edges[item[0]].bends += [(middle, y), (middle, y + height)]
            x += width_of(item) + _GAP_X
        y += height + _GAP_Y
    return widest, max(0.0, y - _GAP_Y)


# Drawing


def _drawn(box: _Box, x: float, y: float) -> Iterator[str]:
    for one in box.nodes.values():
        yield from _drawn_node(one, x, y)
    for edge in box.edges:
        yield from _drawn_edge(edge, box, x, y)


def _drawn_node(one: _Placed, x: float, y: float) -> Iterator[str]:
    left, top = x + one.x, y + one.y
    kind = "body" if one.body else "router" if one.is_router else "node"
    yield f"<g><title>{escape(one.node.description or one.node.id)}</title>"
    yield (
        f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{one.width:.1f}" height="{one.height:.1f}" '
        f'rx="{18 if one.is_router else 6}"/>'
    )
    name, type_name = escape(_label(one.node.id)), escape(_label(one.node.type))
    if one.body is not None:
        yield f'<text x="{left + 12:.1f}" y="{top + 18:.1f}">{name} <tspan class="type">{type_name}</tspan></text>'
        inner = (one.width - one.body.width) / 2
        yield from _drawn(one.body, left + inner, top + _MARGIN + _TITLE)
    else:
        middle = left + one.width / 2
        yield f'<text x="{middle:.1f}" y="{top + 19:.1f}" text-anchor="middle">{name}</text>'
        yield f'<text class="type" x="{middle:.1f}" y="{top + 34:.1f}" text-anchor="middle">{type_name}</text>'
    yield "</g>"


def _drawn_edge(edge: _Edge, box: _Box, x: float, y: float) -> Iterator[str]:
    start, end = box.nodes[edge.start], box.nodes[edge.end]
    leaves, arrives = start.x + start.width / 2, end.x + end.width / 2
    points = [
        (leaves, start.y + start.height),
        (leaves, start.band[1]),
        *edge.bends,
        (arrives, end.band[0] - 1),
        (arrives, end.y - 1),
    ]
    shifted = [(x + across, y + down) for across, down in dict.fromkeys(points)]
    path = f"M{shifted[0][0]:.1f},{shifted[0][1]:.1f}"
    for (from_x, from_y), (to_x, to_y) in itertools.pairwise(shifted):
        half = (from_y + to_y) / 2
        if from_x == to_x:
            path += f" L{to_x:.1f},{to_y:.1f}"
        else:
            path += f" C{from_x:.1f},{half:.1f} {to_x:.1f},{half:.1f} {to_x:.1f},{to_y:.1f}"
    implied = "" if edge.explicit else " implied"
    yield f'<path class="edge{implied}" d="{path}" marker-end="url(#arrow)"/>'
    if edge.branch is not None:
        sloping = [(one, other) for one, other in itertools.pairwise(shifted) if one[0] != other[0]] or [
            (shifted[0], shifted[-1])
        ]
        (from_x, from_y), (to_x, to_y) = sloping[0]
        across, down = (from_x + 2 * to_x) / 3, (from_y + 2 * to_y) / 3 + 3
        yield f'<text class="branch" x="{across + 5:.1f}" y="{down:.1f}">{escape(_label(edge.branch))}</text>'


def _label(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
