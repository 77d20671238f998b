"""What a text says: whether it is one expression, what it reads, and the program that it becomes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Undefined, nodes

from resources.workflows.expressions.functions import GLOBALS
from resources.workflows.expressions.values import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template

    from resources.workflows.expressions.bounds import Budget

MARKERS = re.compile(r"\{\{|\{%|\{#|\$\{[A-Za-z_]\w*\}")
RUN_NAMES = frozenset({"id", "tenant", "workflow"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that an expression reads, and the keys behind it as far as they are written down: `nodes`, `("a", "output")`.

    `optional`: the expression goes on when there is no such thing (`| default(…)`, `is defined`).
    """

    root: str
    path: tuple[str | int, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        return self.root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)


@dataclass(frozen=True, slots=True)
class References:
    """All that a value's expressions read."""

    found: tuple[Reference, ...] = ()

    @property
    def inputs(self) -> frozenset[str]:
        """Names of inputs."""
        return frozenset(str(found.path[0]) for found in self.found if found.root == "inputs" and found.path)

    @property
    def nodes(self) -> Mapping[str, frozenset[tuple[str | int, ...]]]:
        """Node → paths behind it."""
        paths: dict[str, set[tuple[str | int, ...]]] = {}
        for found in self.found:
            if found.root == "nodes" and found.path:
                paths.setdefault(str(found.path[0]), set()).add(found.path[1:])
        return {node: frozenset(behind) for node, behind in paths.items()}

    @property
    def env(self) -> frozenset[str]:
        """Names of variables."""
        return frozenset(str(found.path[0]) for found in self.found if found.root == "env" and found.path)

    @property
    def scope(self) -> frozenset[str]:
        """All other names: `item`, `event`, or one that does not exist."""
        known = {"inputs", "nodes", "env", "metadata", "run"}
        return frozenset(found.root for found in self.found if found.root not in known)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text says. `native`: it is one expression. `plain`: one that only names something."""

    tree: nodes.Template
    references: tuple[Reference, ...]
    native: bool
    plain: bool

    @classmethod
    def of(cls, tree: nodes.Template) -> Parsed:
        found = _references(tree)
        expression = _only_expression(tree)
        if expression is None:
            return cls(tree, found, native=False, plain=False)
        result = nodes.Assign(nodes.Name("result", "store", lineno=1), expression, lineno=1)
        native = nodes.Template([result], lineno=1)
        return cls(native, found, native=True, plain=len(found) == 1 and _is_chain(expression))


@dataclass(frozen=True, slots=True)
class Compiled:
    """That, as a program."""

    parsed: Parsed
    template: Template

    def value(self, names: Mapping[str, Any]) -> Any:
        context = self.template.new_context(dict(names))
        for _ in self.template.root_render_func(context):
            pass
        value = context.vars["result"]
        if isinstance(value, Undefined):
            refuse(value)
        return value

    def text(self, names: Mapping[str, Any], budget: Budget) -> str:
        pieces = []
        for piece in self.template.root_render_func(self.template.new_context(dict(names))):
            budget.write(piece)
            pieces.append(piece)
        return "".join(pieces)


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    """The one expression that the text consists of, white space aside."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    parts = [
        part for part in tree.body[0].nodes if not (isinstance(part, nodes.TemplateData) and not part.data.strip())
    ]
    return parts[0] if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None


def _is_chain(node: nodes.Node) -> bool:
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
            return False
        node = node.node
    return isinstance(node, nodes.Name)


def _references(tree: nodes.Node) -> tuple[Reference, ...]:
    """The names that are read, but for those that the template sets itself. In the order in which they stand."""
    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"} | {"loop", *GLOBALS}
    found: dict[Reference, None] = {}
    waiting: list[tuple[nodes.Node, bool]] = [(tree, False)]
    while waiting:
        node, optional = waiting.pop()
        path: list[str | int] = []
        inner: nodes.Node = node
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            waiting += [(child, False) for child in reversed([*node.iter_child_nodes(exclude=("node",))])]
            waiting.append((node.node.node, False))  # the last part names a method
            continue
        others: list[nodes.Node] = []
        while isinstance(inner, nodes.Getattr | nodes.Getitem):
            if isinstance(inner, nodes.Getattr):
                path.append(inner.attr)
            elif isinstance(inner.arg, nodes.Const) and isinstance(inner.arg.value, str | int):
                path.append(inner.arg.value)
            else:
                path.clear()  # what stands behind an expression is not known
                others.append(inner.arg)
            inner = inner.node
        if isinstance(inner, nodes.Name) and inner.ctx == "load":
            if inner.name not in own:
                found[Reference(inner.name, tuple(reversed(path)), optional)] = None
            waiting += [(other, False) for other in others]
            continue
        spares = (isinstance(node, nodes.Filter) and node.name in {"default", "d"}) or (
            isinstance(node, nodes.Test) and node.name in {"defined", "undefined"}
        )
        spared = node.node if spares and isinstance(node, nodes.Filter | nodes.Test) else None
        children = list(node.iter_child_nodes())
        waiting += [(child, child is spared) for child in reversed(children)]
    return tuple(found)
