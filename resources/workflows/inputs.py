"""The inputs of a run: what a workflow says about them, and whether what is given fits."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resources.workflows.spec import InputSpec, WorkflowSpec

_SIZED = (str, list)
_NUMBERS = (int, float)
_INPUT: Final = re.compile(r"\s*\{\{\s*inputs\.(\w+)\s*\}\}\s*")


def check_inputs(spec: WorkflowSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a run: those given, defaults for the others, None for what may be left out and is.

    Raises InvalidInputError (`inputs_invalid`) with every problem.
    """
    problems = [
        Problem(f"inputs.{name}", "there is no such input", nearest(name, spec.inputs), code="input_not_found")
        for name in given
        if name not in spec.inputs
    ]
    values: dict[str, Any] = {}
    for name, wanted in spec.inputs.items():
        value = given.get(name)
        if value is None:
            if wanted.required and not wanted.has_default:
                hint = wanted.description or None
                problems.append(Problem(f"inputs.{name}", "is required", hint, code="input_missing"))
            values[name] = wanted.default
            continue
        value = _fitting(wanted, value)
        problems += problems_of_value(f"inputs.{name}", wanted, value)
        values[name] = value
    if problems:
        listed = "; ".join(map(str, problems[:3])) + ("; …" if len(problems) > 3 else "")  # noqa: PLR2004  # a line
        message = f"The inputs of the workflow {spec.name!r} are not valid: {listed}."
        raise InvalidInputError(message, code="inputs_invalid", problems=tuple(problems))
    return values


def problems_of_value(path: str, wanted: InputSpec, value: Any) -> Iterator[Problem]:
    """Everything in which the value is not as the input wants it."""
    if not _is_of(wanted.type, value):
        shown = f"is not of the type {wanted.type} but {_type_of(value)}"
        yield Problem(path, shown, code="type_mismatch")
        return
    if wanted.enum is not None and not any(_same(value, allowed) for allowed in wanted.enum):
        allowed = ", ".join(map(repr, wanted.enum))
        hint = (
            nearest(value, [item for item in wanted.enum if isinstance(item, str)]) if isinstance(value, str) else None
        )
        yield Problem(path, f"is none of {allowed}", hint, code="input_invalid")
    size: float | None = None
    what = ""
    if isinstance(value, _SIZED):
        size, what = len(value), " characters" if isinstance(value, str) else " items"
    elif isinstance(value, _NUMBERS):
        size = value
    if size is not None and wanted.min is not None and size < wanted.min:
        yield Problem(path, f"is {size}{what}, less than {wanted.min:g}", code="input_invalid")
    if size is not None and wanted.max is not None and size > wanted.max:
        yield Problem(path, f"is {size}{what}, more than {wanted.max:g}", code="input_invalid")
    if wanted.pattern is not None and isinstance(value, str) and not matches(wanted.pattern, value):
        yield Problem(path, f"does not match the pattern {wanted.pattern!r}", code="input_invalid")


def problems_of_definition(path: str, wanted: InputSpec) -> Iterator[Problem]:
    """What is wrong with the description of an input: its limits, and its default measured by them."""
    if wanted.min is not None and wanted.max is not None and wanted.min > wanted.max:
        yield Problem(f"{path}.min", f"is greater than max ({wanted.min:g} > {wanted.max:g})", code="field_invalid")
    if wanted.type not in {"string", "integer", "number", "array"}:
        for name in ("min", "max"):
            if getattr(wanted, name) is not None:
                yield Problem(f"{path}.{name}", f"has no meaning for the type {wanted.type}", code="field_invalid")
    if wanted.pattern is not None:
        if wanted.type not in {"string", "any"}:
            yield Problem(f"{path}.pattern", f"has no meaning for the type {wanted.type}", code="field_invalid")
        try:
            _matcher(wanted.pattern)
        except SchemaError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            hint = "patterns are of the kind that matches in linear time: no look-around, no back-references"
            yield Problem(f"{path}.pattern", f"is no regular expression: {reason}", hint, code="pattern_invalid")
            return
    for index, allowed in enumerate(wanted.enum or ()):
        if not _is_of(wanted.type, allowed):
            yield Problem(f"{path}.enum[{index}]", f"is not of the type {wanted.type}", code="type_mismatch")
    if wanted.has_default:
        yield from problems_of_value(f"{path}.default", wanted, wanted.default)


def matches(pattern: str, value: str) -> bool:
    """Whether the whole value matches. In linear time, whatever the pattern (Rust's regex crate)."""
    try:
        _matcher(pattern).validate_python(value)
    except ValidationError:
        return False
    return True


def nearest(name: str, known: Any) -> str | None:
    """A hint for a name that does not exist: the one that may be meant, else those that there are."""
    known = [str(item) for item in known]
    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there is {', '.join(known[:20])}" if known else None


@lru_cache(256)
def _matcher(pattern: str) -> TypeAdapter[str]:
    return TypeAdapter(Annotated[str, StringConstraints(pattern=rf"^(?:{pattern})\z")])


def _fitting(wanted: InputSpec, value: Any) -> Any:
    """2.0 is an integer too, as JSON has one kind of number."""
    if wanted.type == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _is_of(kind: str, value: Any) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, _NUMBERS) and not isinstance(value, bool) and math.isfinite(value)
        case "boolean":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
    return True


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _type_of(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return kinds.get(type(value), "null")


def partition_input_of(spec: WorkflowSpec) -> str | None:
    """The input that is the partition of all of the workflow's assets that have one. None: there is no such input."""
    partitions = {node.asset.partition for node in spec.nodes if node.asset is not None} - {None}
    found = {match[1] if (match := _INPUT.fullmatch(str(partition))) else None for partition in partitions}
    name = found.pop() if len(found) == 1 else None
    return name if name in spec.inputs and spec.inputs[name].type == "string" else None


def problems_of_given(path: str, given: Mapping[str, Any], spec: WorkflowSpec) -> Iterator[Problem]:
    """What is wrong with the inputs that something gives to a workflow."""
    for name in given:
        if name not in spec.inputs:
            message = f"the workflow {spec.name!r} has no such input"
            yield Problem(f"{path}.{name}", message, nearest(name, spec.inputs), "input_not_found")
    for name, wanted in spec.inputs.items():
        if wanted.required and not wanted.has_default and name not in given:
            message = f"the input {name!r} of {spec.name!r} is required and has no default"
            yield Problem(path, message, None, "input_missing")
