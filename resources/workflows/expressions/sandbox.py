"""What is left of Jinja: statements, methods and operators, each with its bound."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from types import BuiltinMethodType, MethodType
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.utils import Namespace

from resources.workflows.expressions.bounds import TooMuchError, counted, current, metered
from resources.workflows.expressions.functions import FILTERS, GLOBALS, OWN_FILTERS
from resources.workflows.expressions.values import refuse, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment

MAX_INTEGER_BITS = 4096
_VARIABLE = re.compile(r"\$?\$\{([A-Za-z_]\w*)\}")

_METHODS: dict[type, frozenset[str]] = {
    str: frozenset({"upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines",
                    "startswith", "endswith", "find", "count", "isdigit", "removeprefix", "removesuffix"}),
    Mapping: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"index", "count"}),
    tuple: frozenset({"index", "count"}),
    date: frozenset({"isoformat", "date", "timestamp", "weekday", "year", "month", "day", "hour", "minute", "second"}),
    LoopContext: frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem"}),
}  # fmt: skip

_STATEMENTS = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock, nodes.With,
    nodes.FilterBlock, nodes.Expr, nodes.Helper,
)  # fmt: skip

_LOOPED, _SLICED = "~looped", "~sliced"  # no name that can be written


class Sandbox(ImmutableSandboxedEnvironment):
    """Templates that read JSON and nothing else."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            finalize=text_of,
            keep_trailing_newline=True,
            autoescape=False,
            optimized=False,
            cache_size=0,
        )
        self.globals = dict(GLOBALS)
        self.filters = {name: metered(OWN_FILTERS.get(name) or JINJA_FILTERS[name]) for name in FILTERS}
        self.filters |= {_LOOPED: counted, _SLICED: metered(lambda value, *bounds: value[slice(*bounds)])}
        self.tests = {name: test for name, test in JINJA_TESTS.items() if name not in {"filter", "test"}}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _prepared(super()._parse(source, name, filename), self)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if type(obj) is Namespace:
            return super().getattr(obj, attribute)
        for kind, methods in _METHODS.items():
            if isinstance(obj, kind) and attribute in methods:
                return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj
        if isinstance(argument, Undefined):
            refuse(argument)
        if isinstance(obj, Mapping | list | tuple | str | range):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.getattr(obj, argument) if isinstance(argument, str) else self.undefined(obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:
        if any(obj is allowed for allowed in GLOBALS.values()):
            return True
        if not isinstance(obj, BuiltinMethodType | MethodType):
            return False
        return any(isinstance(obj.__self__, kind) and obj.__name__ in names for kind, names in _METHODS.items())

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().call(context, obj, *args, **kwargs)
        current.get().expect(len(result) if isinstance(result, str | list) else 1)
        return result

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for operand in (left, right):
            if isinstance(operand, Undefined):
                refuse(operand)
        current.get().expect(_size_of_result(operator, left, right))
        return super().call_binop(context, operator, left, right)


_SEQUENCES = (str, list, tuple)


def _size_of_result(operator: str, left: Any, right: Any) -> int:
    """How large the result gets, at most. Raises for operands that the operator is not meant for."""
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if numbers and operator == "**":
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MAX_INTEGER_BITS:
            raise TooMuchError("a number would get too large")
        return 1
    if numbers:
        if sum(value.bit_length() for value in (left, right) if isinstance(value, int)) > MAX_INTEGER_BITS:
            raise TooMuchError("a number would get too large")
        return 1
    if operator == "+" and isinstance(left, _SEQUENCES) and isinstance(right, _SEQUENCES):
        return len(left) + len(right)
    if operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, _SEQUENCES) and isinstance(times, int):
                return len(sequence) * max(0, times)
    if operator in {"+", "-"} and isinstance(left, date) and isinstance(right, date):
        return 1
    raise TypeError(f"{type(left).__name__} {operator} {type(right).__name__} is not possible")


def _prepared(tree: nodes.Template, environment: Environment) -> nodes.Template:
    """The tree with bounded loops and joins, and with variables written `${NAME}`. Raises for what is not allowed."""
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, _STATEMENTS):
            raise TemplateSyntaxError(f"{type(node).__name__.lower()} is not possible here", node.lineno)
        if isinstance(node, nodes.Filter | nodes.Test):
            known = environment.filters if isinstance(node, nodes.Filter) else environment.tests
            if node.name not in known:
                near = ", ".join(get_close_matches(node.name, known)) or ", ".join(FILTERS)
                raise TemplateSyntaxError(
                    f"there is no {type(node).__name__.lower()} {node.name!r}, but {near}", node.lineno
                )
        if isinstance(node, nodes.For):
            if node.recursive:
                raise TemplateSyntaxError("a recursive loop is not possible here", node.lineno)
            node.iter = nodes.Filter(node.iter, _LOOPED, [], [], None, None, lineno=node.lineno)
        if isinstance(node, nodes.Output):
            node.nodes = [part for found in node.nodes for part in _with_variables(found)]
        for name, value in list(node.iter_fields()):
            if isinstance(value, nodes.Expr):
                setattr(node, name, _bounded(value))
            elif isinstance(value, list):
                setattr(node, name, [_bounded(item) if isinstance(item, nodes.Expr) else item for item in value])
        waiting += node.iter_child_nodes()
    return tree


def _bounded(node: nodes.Expr) -> nodes.Expr:
    """The expression; a filter, whose result is counted, instead of `a ~ b` and of `a[b:c]`."""
    if isinstance(node, nodes.Concat):
        return nodes.Filter(nodes.List(node.nodes), "join", [], [], None, None, lineno=node.lineno)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        bounds = [part or nodes.Const(None) for part in (node.arg.start, node.arg.stop, node.arg.step)]
        return nodes.Filter(node.node, _SLICED, bounds, [], None, None, lineno=node.lineno)
    return node


def _with_variables(part: nodes.Expr) -> Iterator[nodes.Expr]:
    if not isinstance(part, nodes.TemplateData):
        yield part
        return
    end = 0
    for match in _VARIABLE.finditer(part.data):
        if match.start() > end:
            yield nodes.TemplateData(part.data[end : match.start()], lineno=part.lineno)
        if match[0].startswith("$$"):
            yield nodes.TemplateData(match[0][1:], lineno=part.lineno)
        else:
            name = nodes.Name("env", "load", lineno=part.lineno)
            yield nodes.Getattr(name, match[1], "load", lineno=part.lineno)
        end = match.end()
    if end < len(part.data) or not part.data:
        yield nodes.TemplateData(part.data[end:], lineno=part.lineno)
