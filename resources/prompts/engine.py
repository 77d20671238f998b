"""Handlebars, as prompts use it: pure, bounded, and with variables that are checked before they are put in.

Values are JSON and nothing else, so a template reaches no attribute and calls no method. Text is not escaped unless the prompt
gives HTML: a model reads `<` as `<`. A value is never read as a template: what a user writes stays what it is.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_handlebars import CompiledTemplate, HandlebarsEnvironment

    from resources.prompts.model import PromptSpec, PromptVersion, Rendered, Variable, VariableType

MAX_CHARS = 1_000_000
MAX_DEPTH = 10
MAX_OUTPUT = 4_000_000
CACHED = 1000

_REFUSED = {
    "a script element": re.compile(r"<script", re.IGNORECASE),
    "a javascript: address": re.compile(r"javascript:", re.IGNORECASE),
    "an event handler of HTML": re.compile(r"\bon[a-z]+\s*=", re.IGNORECASE),
    "__proto__": re.compile(r"__proto__"),
    "constructor[": re.compile(r"constructor\["),
}
_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_RESERVED_VARIABLES = frozenset({"prototype", "constructor", "this"})
_TAG = re.compile(r"\{\{\{?~?\s*(?P<sign>[#^/&!>]?)\s*(?P<name>[A-Za-z_][\w-]*)?")
# A line with nothing but a tag that gives no text is not a line of the result (Handlebars, "whitespace control"; Mustache spec).
_STANDALONE = re.compile(r"^[ \t]*(\{\{~?(?:[#/^!]|else\b)(?:(?!\}\}).)*\}\})[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_TYPES: Mapping[VariableType, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}


class PromptEngine:
    """Checks and renders. `now` is what the helper of that name tells."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._compiled: OrderedDict[tuple[str, bool, bool], CompiledTemplate] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, spec: PromptSpec, *, content: str, system: str | None) -> None:
        """Everything that is wrong with a prompt whose includes are resolved. Raises InvalidInputError with all of it."""
        problems = [*_variable_problems(spec.variables)]
        for field, text in (("content", content), ("system", system)):
            if text is not None:
                problems += _text_problems(field, text) or self._template_problems(field, text, spec)
        if not problems:
            for number, example in enumerate(spec.examples):
                try:
                    self._checked(spec, example.variables)
                except InvalidInputError as error:
                    problems += [Problem(f"examples[{number}].{found.path}", found.message) for found in error.problems]
        if problems:
            raise InvalidInputError(
                f"The prompt {spec.id!r} cannot be published: {'; '.join(map(str, problems))}.",
                code="prompt_invalid",
                problems=tuple(problems),
            )

    def render(self, prompt: PromptVersion, variables: Mapping[str, Any]) -> Rendered:
        """Fill the prompt in. Raises InvalidInputError for variables that are missing, unknown or of another type, and for
        a text that is not of the prompt's output format (`prompt_output`).
        """
        from resources.prompts.model import Rendered

        spec = prompt.spec
        given = self._checked(spec, variables)
        system = None if prompt.system is None else self._fill(prompt.system, spec, given)
        text = self._fill(prompt.content, spec, given)
        _check_format(spec, text)
        return Rendered(
            prompt_version=prompt.reference, sha256=prompt.sha256, system=system, text=text, model=dict(spec.model)
        )

    def _checked(self, spec: PromptSpec, variables: Mapping[str, Any]) -> dict[str, Any]:
        problems = [
            Problem(
                f"variables.{name}", "is not a variable of this prompt", f"known: {', '.join(spec.variables) or 'none'}"
            )
            for name in variables
            if name not in spec.variables
        ]
        given: dict[str, Any] = {}
        for name, variable in spec.variables.items():
            if name in variables:
                given[name] = variables[name]
                problems += _type_problems(f"variables.{name}", variable, variables[name])
            elif variable.default is not None:
                given[name] = variable.default
            elif variable.required and spec.strict:
                problems.append(Problem(f"variables.{name}", f"is missing; it is a {variable.type}"))
            elif not variable.required:
                given[name] = None
        if problems:
            raise InvalidInputError(
                f"The prompt {spec.id!r} cannot be rendered: {'; '.join(map(str, problems))}.",
                code="prompt_variables",
                problems=tuple(problems),
            )
        return given

    def _fill(self, source: str, spec: PromptSpec, given: dict[str, Any]) -> str:
        from pydantic_handlebars import HandlebarsError

        try:
            return self._template(source, strict=spec.strict, escape=spec.output_format == "html").render(given)
        except (HandlebarsError, RecursionError) as error:
            raise InvalidInputError(
                f"The prompt {spec.id!r} cannot be rendered: {error}.", code="prompt_render"
            ) from error

    def _template(self, source: str, *, strict: bool, escape: bool) -> CompiledTemplate:
        key = (source, strict, escape)
        with self._lock:
            if key in self._compiled:
                self._compiled.move_to_end(key)
                return self._compiled[key]
        compiled = self._environment(strict=strict, escape=escape).compile(_STANDALONE.sub(r"\1", source))
        with self._lock:
            self._compiled[key] = compiled
            while len(self._compiled) > CACHED:
                self._compiled.popitem(last=False)
        return compiled

    def _environment(self, *, strict: bool, escape: bool) -> HandlebarsEnvironment:
        from pydantic_handlebars import HandlebarsEnvironment

        environment = HandlebarsEnvironment(
            extra_helpers=True, strict=strict, auto_escape=escape, max_depth=100, max_output_size=MAX_OUTPUT
        )
        for name, helper in _helpers(self._now).items():
            environment.register_helper(name, helper)
        for name in ("log",):
            environment.unregister_helper(name)
        return environment

    def _template_problems(self, field: str, text: str, spec: PromptSpec) -> list[Problem]:
        from pydantic_handlebars import HandlebarsError, check_template_compatibility

        environment = self._environment(strict=spec.strict, escape=False)
        try:
            environment.compile(text)
            found = check_template_compatibility(
                text,
                spec.variables_schema(),
                helpers=set(environment._helpers),  # noqa: SLF001  # it has no public list
            )
        except (HandlebarsError, RecursionError) as error:
            return [Problem(field, str(error), "see the Handlebars guide: https://handlebarsjs.com/guide/")]
        return [Problem(field, issue.message) for issue in found.issues if issue.severity == "error"]


def _helpers(now: Callable[[], datetime]) -> dict[str, Callable[..., Any]]:
    def length(*args: Any, options: object) -> int:
        del options
        return len(args[0]) if args and isinstance(args[0], str | list | dict) else 0

    def contains(*args: Any, options: object) -> bool:
        del options
        return len(args) > 1 and isinstance(args[0], str | list | dict) and args[1] in args[0]

    def capitalize(*args: Any, options: object) -> str:
        del options
        text = str(args[0]) if args and args[0] is not None else ""
        return text[:1].upper() + text[1:]

    def tell_now(*args: Any, options: object) -> str:
        del options
        at = now()
        # Without an argument a helper is given the context.
        return at.strftime(args[0]) if args and isinstance(args[0], str) else at.isoformat(timespec="seconds")

    def format_date(*args: Any, options: object) -> str:
        del options
        if len(args) < 2 or not isinstance(args[0], str):  # noqa: PLR2004  # a value and a format
            return ""
        try:
            return datetime.fromisoformat(args[0]).strftime(str(args[1]))
        except ValueError:
            return args[0]

    return {
        "len": length,
        "contains": contains,
        "capitalize": capitalize,
        "now": tell_now,
        "format_date": format_date,
    }


def _variable_problems(variables: Mapping[str, Variable]) -> list[Problem]:
    problems = []
    for name, variable in variables.items():
        if not _VARIABLE.fullmatch(name) or "__" in name or name in _RESERVED_VARIABLES:
            hint = "letters, digits and single underscores, a letter first"
            problems.append(Problem(f"variables.{name}", "cannot be the name of a variable", hint))
        if variable.default is not None:
            problems += _type_problems(f"variables.{name}.default", variable, variable.default)
    return problems


def _type_problems(path: str, variable: Variable, value: Any) -> list[Problem]:
    if value is None and not variable.required:
        return []
    wanted = _TYPES.get(variable.type)
    if wanted is not None and (
        not isinstance(value, wanted) or (variable.type == "number" and isinstance(value, bool))
    ):
        return [Problem(path, f"is a {type(value).__name__}, not a {variable.type}")]
    problems = []
    if variable.items is not None and isinstance(value, list | tuple):
        for number, item in enumerate(value):
            problems += _type_problems(f"{path}[{number}]", variable.items, item)
    if variable.properties is not None and isinstance(value, dict):
        for name, inner in variable.properties.items():
            if name in value:
                problems += _type_problems(f"{path}.{name}", inner, value[name])
            elif inner.required:
                problems.append(Problem(f"{path}.{name}", "is missing"))
    return problems


def _text_problems(field: str, text: str) -> list[Problem]:
    if len(text) > MAX_CHARS:
        return [Problem(field, f"has {len(text):,} characters, more than {MAX_CHARS:,}")]
    problems = [Problem(field, f"contains {what}") for what, pattern in _REFUSED.items() if pattern.search(text)]
    depth = deepest = 0
    for tag in _TAG.finditer(text):
        depth += {"#": 1, "^": 1 if tag["name"] else 0, "/": -1}.get(tag["sign"], 0)
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        problems.append(Problem(field, f"has blocks nested {deepest} deep, more than {MAX_DEPTH}"))
    return problems


def _check_format(spec: PromptSpec, text: str) -> None:
    try:
        if spec.output_format == "json":
            orjson.loads(text)
        elif spec.output_format == "yaml":
            import yaml

            yaml.safe_load(text)
    except ValueError as error:
        wrong = error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "yaml":
            raise
        wrong = ValueError(str(error))
    else:
        return
    raise InvalidInputError(
        f"The prompt {spec.id!r} was to give {spec.output_format.upper()}, and gave something else: {wrong}.",
        code="prompt_output",
    )
