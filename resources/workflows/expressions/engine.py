"""Expressions filled in, and asked what they read; and what is said about those that fail."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from jinja2 import TemplateSyntaxError
from jinja2.exceptions import SecurityError, TemplateError, UndefinedError

from resources.errors import InvalidInputError, LimitExceededError, Problem
from resources.workflows.expressions.bounds import TooMuchError, bounded_work
from resources.workflows.expressions.parsing import MARKERS, Compiled, Parsed, Reference, References
from resources.workflows.expressions.sandbox import Sandbox
from resources.workflows.expressions.values import Outputs, Variables, as_json, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.workflows.context import TaskContext

T = TypeVar("T")
MAX_RENDERED_BYTES = 1024 * 1024
MAX_SECONDS = 2.0
_CACHED_TEMPLATES = 1024
_CACHED_LENGTH = 64 * 1024


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
        self._jinja = Sandbox()
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
            "nodes": Outputs(task.nodes),
            "metadata": task.metadata,
            "env": Variables(task.environment, self.environment),
            "run": {"id": task.event_id, "tenant": task.tenant, "workflow": task.workflow_type},
            **task.scope,
            **scope,
        }

    def _parse(self, text: str, path: str) -> Parsed:
        return self._guarded(self._parsed if len(text) <= _CACHED_LENGTH else self._read, text, path)

    def _template(self, text: str, path: str) -> Compiled:
        return self._guarded(self._compiled if len(text) <= _CACHED_LENGTH else self._compile, text, path)

    def _guarded(self, read: Callable[[str], T], text: str, path: str) -> T:
        try:
            with bounded_work(self._max_bytes, self._max_seconds):
                return read(text)
        except TemplateSyntaxError as error:
            raise _invalid(error.message or "its syntax is wrong", path, text) from error
        except (RecursionError, MemoryError, SyntaxError) as error:
            raise _invalid("it is nested too deeply", path, text) from error

    def _read(self, text: str) -> Parsed:
        if len(text) > self._max_bytes:
            raise TemplateSyntaxError(f"it is longer than {self._max_bytes} characters", 1)
        return Parsed.of(self._jinja.parse(text))

    def _compile(self, text: str) -> Compiled:
        parsed = self._read(text)
        return Compiled(parsed, self._jinja.from_string(parsed.tree))

    def _evaluate(self, text: str, names: Mapping[str, Any], path: str, *, only_native: bool = False) -> Any:
        template = self._template(text, path)
        parsed = template.parsed
        if only_native and not parsed.native:
            raise _invalid("a condition is one expression, with nothing around it", path, text)
        try:
            with bounded_work(self._max_bytes, self._max_seconds) as budget:
                if parsed.native:
                    value = template.value(names)
                    return value if parsed.plain and isinstance(value, _JSON) else plain(value)
                return as_json(template.text(names, budget))
        except UndefinedError as error:
            raise _undefined(error, parsed, names, path) from error
        except TooMuchError as error:
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


_JSON = (dict, list, str, int, float, bool, type(None))


def _shown(text: str) -> str:
    shown = text.strip()
    return repr(shown if len(shown) <= 100 else shown[:99] + "…")  # noqa: PLR2004  # a line


def _invalid(reason: str, path: str, text: str) -> InvalidInputError:
    problem = Problem(path, f"{_shown(text)} is not a valid expression: {reason}", code="expression_invalid")
    return InvalidInputError(str(problem), code="expression_invalid", problems=(problem,))


def _undefined(error: UndefinedError, parsed: Parsed, names: Mapping[str, Any], path: str) -> InvalidInputError:
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
