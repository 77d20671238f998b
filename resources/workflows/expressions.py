"""Expressions in the strings of a workflow: `{{ nodes.search.output.hits[0].title | upper }}`.

Jinja, with everything taken away that is not needed. Templates read JSON and nothing else: attributes are keys of objects (so
`output.items` is the key and not a method), the few methods and filters are in the tables below, and macros, includes and
imports do not exist. What an expression may cost is bounded as well: every value that a filter or an operator makes is counted
against one budget, every turn of a loop looks at the clock, and the result has a greatest size.
"""

from __future__ import annotations

import functools
import math
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from types import BuiltinMethodType, MethodType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote

import orjson
from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes, pass_environment
from jinja2.exceptions import SecurityError, TemplateError, UndefinedError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.utils import Namespace

from resources.errors import InvalidInputError, LimitExceededError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jinja2 import Environment, Template

    from resources.workflows.context import TaskContext

T = TypeVar("T")

MAX_RENDERED_BYTES = 1024 * 1024
MAX_RANGE = 10_000
MAX_SECONDS = 2.0
MAX_INTEGER_BITS = 4096
_WORK_FACTOR = 16
_CACHED_TEMPLATES = 1024
_CACHED_LENGTH = 64 * 1024

MARKERS = re.compile(r"\{\{|\{%|\{#|\$\{[A-Za-z_]\w*\}")
_VARIABLE = re.compile(r"\$?\$\{([A-Za-z_]\w*)\}")

FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "join", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "select",
    "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip
"""The filters that there are: those of Jinja whose result is not much larger than what they are given."""

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


class Expressions:
    """Fills in expressions. `environment` names the process's variables that they may read. Safe to share between threads."""

    def __init__(
        self,
        *,
        environment: frozenset[str] = frozenset(),
        max_bytes: int = MAX_RENDERED_BYTES,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self.environment = environment
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._jinja = _Environment()
        self._parsed = functools.lru_cache(_CACHED_TEMPLATES)(self._read)
        self._compiled = functools.lru_cache(_CACHED_TEMPLATES)(self._compile)

    def render(self, value: Any, task: TaskContext, **scope: Any) -> Any:
        """The JSON value with all expressions filled in; strings without any are what they were.

        A string that is one expression becomes the expression's value; one in which text and expressions mix becomes text,
        and JSON when the text is an object or an array. Raises InvalidInputError (`expression_undefined`,
        `expression_invalid`, `expression_failed`) and LimitExceededError (`expression_limit`), both with the path.
        """
        names: Mapping[str, Any] | None = None

        def filled(value: Any, path: str) -> Any:
            nonlocal names
            if isinstance(value, str):
                if MARKERS.search(value) is None:
                    return value
                if names is None:
                    names = self._names(task, scope)
                return self._evaluate(value, names, path)
            if isinstance(value, Mapping):
                return {key: filled(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
            if isinstance(value, list | tuple):
                return [filled(item, f"{path}[{index}]") for index, item in enumerate(value)]
            return value

        return filled(value, "")

    def condition(self, text: str, task: TaskContext, **scope: Any) -> bool:
        """Whether the expression holds; it may stand in braces or not. Raises as `render` does."""
        return bool(self._evaluate(as_expression(text), self._names(task, scope), "", only_native=True))

    def references(self, value: Any) -> References:
        """What the expressions of a JSON value read, without evaluating them. Raises InvalidInputError for wrong ones."""
        found: dict[Reference, None] = {}
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str) and MARKERS.search(value):
                found.update(dict.fromkeys(self._parse(value, "").references))
            elif isinstance(value, Mapping):
                waiting.extend(reversed(list(value.values())))
            elif isinstance(value, list | tuple):
                waiting.extend(reversed(value))
        return References(tuple(found))

    def sole_reference(self, text: str) -> Reference | None:
        """What the string stands for when it is one plain reference, such as `{{ inputs.x }}`."""
        parsed = self._parse(text, "")
        return parsed.references[0] if parsed.plain else None

    def _names(self, task: TaskContext, scope: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "inputs": task.event_data,
            "nodes": _Outputs(task.nodes),
            "metadata": task.metadata,
            "env": _Variables(task.environment, self.environment),
            "run": {"id": task.event_id, "tenant": task.tenant, "workflow": task.workflow_type},
            **task.scope,
            **scope,
        }

    def _parse(self, text: str, path: str) -> _Parsed:
        return self._guarded(self._parsed if len(text) <= _CACHED_LENGTH else self._read, text, path)

    def _template(self, text: str, path: str) -> _Compiled:
        return self._guarded(self._compiled if len(text) <= _CACHED_LENGTH else self._compile, text, path)

    def _guarded(self, read: Callable[[str], T], text: str, path: str) -> T:
        try:
            with _budget(self._max_bytes, self._max_seconds):
                return read(text)
        except TemplateSyntaxError as error:
            raise _invalid(error.message or "its syntax is wrong", path, text) from error
        except (RecursionError, MemoryError, SyntaxError) as error:
            raise _invalid("it is nested too deeply", path, text) from error

    def _read(self, text: str) -> _Parsed:
        if len(text) > self._max_bytes:
            raise TemplateSyntaxError(f"it is longer than {self._max_bytes} characters", 1)
        return _Parsed.of(self._jinja.parse(text))

    def _compile(self, text: str) -> _Compiled:
        parsed = self._read(text)
        return _Compiled(parsed, self._jinja.from_string(parsed.tree))

    def _evaluate(self, text: str, names: Mapping[str, Any], path: str, *, only_native: bool = False) -> Any:
        template = self._template(text, path)
        parsed = template.parsed
        if only_native and not parsed.native:
            raise _invalid("a condition is one expression, with nothing around it", path, text)
        try:
            with _budget(self._max_bytes, self._max_seconds) as budget:
                if parsed.native:
                    value = template.value(names)
                    return value if parsed.plain and isinstance(value, _JSON) else _plain(value)
                return _as_json(template.text(names, budget))
        except UndefinedError as error:
            raise _undefined(error, parsed, names, path) from error
        except _TooMuchError as error:
            message = f"The expression {_shown(text)} is stopped: {error}."
            raise LimitExceededError(message, code="expression_limit", path=path) from error
        except (SecurityError, TemplateError) as error:
            raise _invalid(str(error), path, text) from error
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            problem = Problem(path, f"{_shown(text)} fails: {error}", code="expression_failed")
            raise InvalidInputError(str(problem), code="expression_failed", problems=(problem,)) from error


def has_markers(value: str) -> bool:
    """Whether there is an expression in the string."""
    return MARKERS.search(value) is not None


def as_expression(condition: str) -> str:
    """A condition, which may lack its braces, as a template."""
    return condition if has_markers(condition) else "{{ " + condition + " }}"


# What was compiled


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What a text says. `native`: it is one expression. `plain`: one that only names something."""

    tree: nodes.Template
    references: tuple[Reference, ...]
    native: bool
    plain: bool

    @classmethod
    def of(cls, tree: nodes.Template) -> _Parsed:
        found = _references(tree)
        expression = _only_expression(tree)
        if expression is None:
            return cls(tree, found, native=False, plain=False)
        result = nodes.Assign(nodes.Name("result", "store", lineno=1), expression, lineno=1)
        native = nodes.Template([result], lineno=1)
        return cls(native, found, native=True, plain=len(found) == 1 and _is_chain(expression))


@dataclass(frozen=True, slots=True)
class _Compiled:
    """That, as a program."""

    parsed: _Parsed
    template: Template

    def value(self, names: Mapping[str, Any]) -> Any:
        context = self.template.new_context(dict(names))
        for _ in self.template.root_render_func(context):
            pass
        value = context.vars["result"]
        if isinstance(value, Undefined):
            _refuse(value)
        return value

    def text(self, names: Mapping[str, Any], budget: _Budget) -> str:
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
    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"} | {"loop", *_GLOBALS}
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


# What expressions see


class _Outputs(Mapping[str, Mapping[str, Any]]):
    """`nodes`: what ran, each with its `output`."""

    def __init__(self, outputs: Mapping[str, Any]) -> None:
        self._outputs = outputs

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return {"output": self._outputs[name]}

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)


class _Variables(Mapping[str, str]):
    """`env`: what the workflow sets, then those of the process's variables that are allowed."""

    def __init__(self, own: Mapping[str, str], allowed: frozenset[str]) -> None:
        self._own = own
        self._allowed = allowed

    def __getitem__(self, name: str) -> str:
        if name in self._own:
            return self._own[name]
        if name in self._allowed:
            return os.environ[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from sorted(name for name in self._allowed if name not in self._own and name in os.environ)

    def __len__(self) -> int:
        return sum(1 for _ in self)


_JSON = (dict, list, str, int, float, bool, type(None))


def _plain(value: Any) -> Any:
    """The value as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else orjson.loads(_packed(value))


def _packed(value: Any, option: int = 0) -> bytes:
    """The value as JSON text. It is measured first, as a short list can hold a long text a million times."""
    _measure(value)
    try:
        return orjson.dumps(value, default=_json_of, option=orjson.OPT_NON_STR_KEYS | option)
    except orjson.JSONEncodeError as error:
        raise error.__cause__ or TypeError(f"its value is no JSON: {error}") from error


def _measure(value: Any) -> None:
    budget, size, waiting = _current.get(), 0, [value]
    while waiting:
        found = waiting.pop()
        size += len(found) if isinstance(found, str) else 1
        if isinstance(found, Mapping):
            size += sum(len(str(key)) for key in found)
            waiting.extend(found.values())
        elif isinstance(found, list | tuple):
            waiting.extend(found)
        if size > budget.max_bytes:
            raise _TooMuchError(f"its value is larger than {budget.max_bytes} bytes")
    budget.expect(size)


def _json_of(value: Any) -> Any:
    if isinstance(value, Undefined):
        _refuse(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        listed = list(_counted(value))
        _measure(listed)
        return listed
    raise TypeError(f"its value is no JSON but a {type(value).__name__}")


def _text(value: Any) -> str:
    """The value as it stands in a text: JSON, but for strings and times."""
    if isinstance(value, str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Undefined):
        _refuse(value)
    return _packed(value).decode()


def _as_json(text: str) -> Any:
    """What a text says in JSON, if it is an object or an array; else the text."""
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


# What it may cost


class _TooMuchError(Exception):
    """A bound was reached."""


class _Budget:
    """What one evaluation may still use."""

    def __init__(self, max_bytes: int, max_seconds: float) -> None:
        self.max_bytes = max_bytes
        self._written = 0
        self._work = _WORK_FACTOR * max_bytes
        self._deadline = time.monotonic() + max_seconds

    def turn(self) -> None:
        if time.monotonic() > self._deadline:
            raise _TooMuchError("it takes too long")

    def write(self, piece: str) -> None:
        self.turn()
        self._written += len(piece)
        if self._written > self.max_bytes:
            raise _TooMuchError(f"its text is longer than {self.max_bytes} characters")

    def expect(self, size: int) -> None:
        """Before a value of `size` characters or items is made."""
        self.turn()
        if size > self.max_bytes:
            raise _TooMuchError(f"a value would be larger than {self.max_bytes}")
        self._work -= size
        if self._work < 0:
            raise _TooMuchError("it makes too many large values")


_current: ContextVar[_Budget] = ContextVar("expression_budget")


@contextmanager
def _budget(max_bytes: int, max_seconds: float) -> Iterator[_Budget]:
    budget = _Budget(max_bytes, max_seconds)
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    budget = _current.get()
    for value in values:
        budget.expect(1)
        yield value


def _metered(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, whose result counts."""

    @functools.wraps(function)  # copies Jinja's mark too, by which it passes its context first
    def metered(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if hasattr(result, "__next__"):
            return _counted(result)
        _current.get().expect(len(result) if isinstance(result, str | list | tuple | dict) else 1)
        return result

    return metered


@pass_environment
def _join(environment: Environment, values: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    """Text of all values, `d` between them."""
    pieces: list[str] = []
    size = 0
    for value in _counted(values):
        piece = _text(value if attribute is None else environment.getitem(value, attribute))
        size += len(piece) + len(d)
        if size > _current.get().max_bytes:
            raise _TooMuchError("a text would get too long")
        pieces.append(piece)
    return d.join(pieces)


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    """The text with `new` for each `old`."""
    text, old, new = _text(text), _text(old), _text(new)
    times = text.count(old) if count < 0 else min(count, text.count(old))
    _current.get().expect(len(text) + times * len(new))
    return text.replace(old, new, times)


@pass_environment
def _sum(
    environment: Environment, values: Iterable[Any], attribute: str | None = None, start: float = 0
) -> int | float:
    """The sum of numbers."""
    total = start
    for value in _counted(values):
        number = value if attribute is None else environment.getitem(value, attribute)
        if not isinstance(number, int | float):
            raise TypeError(f"sum adds numbers, not {type(number).__name__}")
        total += number
    return total


def _tojson(value: Any, indent: int | None = None) -> str:
    """The value as JSON text."""
    return _packed(value, orjson.OPT_INDENT_2 if indent else 0).decode()


def _truncate(text: str, length: int = 255, killwords: bool = False, end: str = "…") -> str:
    """At most `length` characters of the text, cut at a word unless `killwords`."""
    text = _text(text)
    if len(text) <= length:
        return text
    cut = text[: max(0, length - len(end))]
    is_whole = killwords or text[len(cut)].isspace()
    return (cut if is_whole else cut.rsplit(" ", 1)[0]) + end


def _round(value: float, precision: int = 0, method: str = "common") -> float:
    """The number with that many places behind the point; `method` is common, ceil or floor."""
    if not isinstance(precision, int) or abs(precision) > 15:  # noqa: PLR2004  # digits of a float
        raise ValueError("precision is between -15 and 15")
    if method == "common":
        return round(value, precision)
    step = {"ceil": math.ceil, "floor": math.floor}[method]
    return float(step(value * 10**precision) / 10**precision)


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > MAX_RANGE:
        raise _TooMuchError(f"a range has more than {MAX_RANGE} numbers")
    return found


def _now() -> datetime:
    return datetime.now(UTC)


_GLOBALS: dict[str, Any] = {"now": _now, "range": _range, "namespace": Namespace}
_OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "join": _join,
    "replace": _replace,
    "sum": _sum,
    "tojson": _tojson,
    "truncate": _truncate,
    "round": _round,
    "string": _text,
    "upper": lambda value: _text(value).upper(),
    "lower": lambda value: _text(value).lower(),
    "title": lambda value: _text(value).title(),
    "capitalize": lambda value: _text(value).capitalize(),
    "trim": lambda value: _text(value).strip(),
    "wordcount": lambda value: len(_text(value).split()),
    "urlencode": lambda value: quote(_text(value), safe=""),
}
_LOOPED, _SLICED = "~looped", "~sliced"  # no name that can be written


# The sandbox


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            finalize=_text,
            keep_trailing_newline=True,
            autoescape=False,
            optimized=False,
            cache_size=0,
        )
        self.globals = dict(_GLOBALS)
        self.filters = {name: _metered(_OWN_FILTERS.get(name) or JINJA_FILTERS[name]) for name in FILTERS}
        self.filters |= {_LOOPED: _counted, _SLICED: _metered(lambda value, *bounds: value[slice(*bounds)])}
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
            _refuse(argument)
        if isinstance(obj, Mapping | list | tuple | str | range):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.getattr(obj, argument) if isinstance(argument, str) else self.undefined(obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:
        if any(obj is allowed for allowed in _GLOBALS.values()):
            return True
        if not isinstance(obj, BuiltinMethodType | MethodType):
            return False
        return any(isinstance(obj.__self__, kind) and obj.__name__ in names for kind, names in _METHODS.items())

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().call(context, obj, *args, **kwargs)
        _current.get().expect(len(result) if isinstance(result, str | list) else 1)
        return result

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for operand in (left, right):
            if isinstance(operand, Undefined):
                _refuse(operand)
        _current.get().expect(_size_of_result(operator, left, right))
        return super().call_binop(context, operator, left, right)


_SEQUENCES = (str, list, tuple)


def _size_of_result(operator: str, left: Any, right: Any) -> int:
    """How large the result gets, at most. Raises for operands that the operator is not meant for."""
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if numbers and operator == "**":
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MAX_INTEGER_BITS:
            raise _TooMuchError("a number would get too large")
        return 1
    if numbers:
        if sum(value.bit_length() for value in (left, right) if isinstance(value, int)) > MAX_INTEGER_BITS:
            raise _TooMuchError("a number would get too large")
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


# What went wrong


def _refuse(value: Undefined) -> NoReturn:
    value._fail_with_undefined_error()  # noqa: SLF001  # Jinja's own way to raise what the value says


def _shown(text: str) -> str:
    shown = text.strip()
    return repr(shown if len(shown) <= 100 else shown[:99] + "…")  # noqa: PLR2004  # a line


def _invalid(reason: str, path: str, text: str) -> InvalidInputError:
    problem = Problem(path, f"{_shown(text)} is not a valid expression: {reason}", code="expression_invalid")
    return InvalidInputError(str(problem), code="expression_invalid", problems=(problem,))


def _undefined(error: UndefinedError, parsed: _Parsed, names: Mapping[str, Any], path: str) -> InvalidInputError:
    for reference in parsed.references:
        reached: Any = names
        for depth, part in enumerate((reference.root, *reference.path)):
            known = _keys(reached)
            try:
                reached = reached[part]
            except (LookupError, TypeError):
                if reference.optional:
                    break
                missing = Reference(reference.root, reference.path[:depth])
                where = Reference(reference.root, reference.path[: depth - 1]) if depth else None
                there = f"{where} has {known}" if where else f"there is {known}"
                problem = Problem(path, f"{missing} is undefined", there, code="expression_undefined")
                return InvalidInputError(
                    str(problem), code="expression_undefined", problems=(problem,), reference=str(missing)
                )
    problem = Problem(path, str(error), code="expression_undefined")
    return InvalidInputError(str(problem), code="expression_undefined", problems=(problem,))


def _keys(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(list(map(str, value))[:20]) or "nothing"
    if isinstance(value, list | tuple):
        return f"{len(value)} items"
    return "no further parts"
