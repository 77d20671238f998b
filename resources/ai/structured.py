"""Structured answers: a JSON Schema in each vendor's dialect, and the check that an answer is what was asked for.

Vendors take subsets of JSON Schema and differ in which. A schema is rewritten for one vendor so that it allows no more than what
was asked, and what the dialect cannot say is left out; the answer is always checked against the schema as it was asked.
"""

from __future__ import annotations

import re
from json import JSONDecoder
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from pydantic import BaseModel
from pydantic import ValidationError as PydanticError
from referencing import Registry
from referencing.exceptions import Unresolvable

from resources.ai.model import OutputSchema
from resources.errors import InvalidInputError, Problem, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resources.ai.model import Answer

_Model = TypeVar("_Model", bound=BaseModel)

_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_NESTED: Final = ("properties", "$defs", "definitions")
_LISTED: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_INEXPRESSIBLE: Final = frozenset(
    {"not", "if", "then", "else", "patternProperties", "dependentRequired", "dependentSchemas"}
    | {"unevaluatedProperties", "propertyNames", "prefixItems", "contains"}
)
_OPENAI_DROPS: Final = frozenset(
    {"default", "examples", "discriminator", "$schema", "$id", "minLength", "maxLength", "uniqueItems"}
)
_OPENAI_SAYS: Final = ("maxLength",)
_OPENAI_FORMATS: Final = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
)
_CONSTRAINTS: Final = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minLength", "maxLength", "maxItems", "uniqueItems"}
)


class AnswerInvalidError(UpstreamError):
    """The model's answer is not what the schema asks for. `problems` says where and why, in words that a model can mend it by.

    `answer` is what it said, of which some may hold (`members`).
    """

    default_code = "answer_invalid"

    def __init__(self, message: str, *, problems: tuple[Problem, ...], answer: Answer | None = None) -> None:
        super().__init__(message, problems=[str(problem) for problem in problems])
        self.problems = problems
        self.answer = answer


def output_of(model: type[BaseModel]) -> OutputSchema:
    """The schema that asks for `model`."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", model.__name__)[:64]
    return OutputSchema(name=name, json_schema=model.model_json_schema())


def read_answer(text: str, output: OutputSchema) -> Any:
    """The JSON of an answer, checked against the schema as it was asked. Raises AnswerInvalidError.

    A code fence around it is taken off. A property that may be missing but not be null, and is null (strict dialects make models
    write it so), is taken for missing.
    """
    value = _json_of(text)
    validator = _validator(output.json_schema)
    try:
        errors = list(validator.iter_errors(value))
        if errors and _drop_nulls(value, errors) and not list(validator.iter_errors(value)):
            errors = []
    except Unresolvable as error:
        raise _schema_invalid(str(error)) from error
    if errors:
        raise _invalid(Problem(_path(error), error.message) for error in errors)
    return value


def read_model(text: str, model: type[_Model]) -> _Model:
    """The answer as `model`. Raises AnswerInvalidError."""
    value = read_answer(text, output_of(model))
    try:
        return model.model_validate_json(orjson.dumps(value))
    except PydanticError as error:
        raise _invalid(
            Problem("$" + "".join(f".{part}" for part in one["loc"]), one["msg"]) for one in error.errors()
        ) from error


def members(text: str) -> dict[str, Any]:
    """The members of the JSON object that `text` is or begins: of one that was cut off, those that are whole."""
    fenced = _FENCE.match(text)
    rest = (fenced[1] if fenced else text.lstrip().removeprefix("```json")).lstrip()
    decoder = JSONDecoder()
    found: dict[str, Any] = {}
    sign, rest = rest[:1], rest[1:].lstrip()
    while sign in {"{", ","} and rest.startswith('"'):
        try:
            name, end = decoder.raw_decode(rest)
            rest = rest[end:].lstrip()
            if not rest.startswith(":"):
                break
            rest = rest[1:].lstrip()
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            break
        rest = rest[end:].lstrip()
        if not rest and not isinstance(value, str | list | dict):
            break  # a number that ends with the text may have been cut in two
        found[name] = value
        sign, rest = rest[:1], rest[1:].lstrip()
    return found


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises InvalidInputError when `schema` is no JSON Schema."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise _schema_invalid(error.message) from error


def openai_strict(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema as OpenAI's strict mode takes it, or None when strict mode cannot say it.

    All properties are required there (what was optional may be null) and no others are allowed. Source: OpenAI, "Structured
    model outputs", supported schemas.
    """
    if schema.get("type") != "object" or "anyOf" in schema:
        return None
    try:
        return _strict(schema)
    except _Inexpressible:
        return None


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as Anthropic's and Bedrock's native modes take it: objects closed, limits said in words.

    Source: Anthropic, "Structured outputs", JSON Schema limitations.
    """
    node = {key: value for key, value in schema.items() if key not in {"$schema", "$id", "default", "examples"}}
    limits = {key: node.pop(key) for key in sorted(_CONSTRAINTS & node.keys())}
    if node.get("minItems", 0) not in {0, 1}:
        limits["minItems"] = node.pop("minItems")
    _say(limits, node)
    if "oneOf" in node:
        node["anyOf"] = node.pop("oneOf")
        node.pop("discriminator", None)
    if node.get("type") == "object" or "properties" in node:
        node["additionalProperties"] = False
    return _rewritten(node, closed)


def unbounded(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as Gemini takes it: how many items a list may have is said in words. A few such limits are too much for it."""
    node = dict(schema)
    _say({key: node.pop(key) for key in ("minItems", "maxItems") if key in node}, node)
    return _rewritten(node, unbounded)


def _say(limits: Mapping[str, Any], node: dict[str, Any]) -> None:
    """The limits in words, where the dialect has no others for them."""
    if limits:
        words = ", ".join(f"{key}: {value}" for key, value in limits.items())
        node["description"] = f"{node['description']} ({words})" if "description" in node else words


class _Inexpressible(Exception):  # noqa: N818  # never leaves this file
    pass


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    if _INEXPRESSIBLE & schema.keys():
        raise _Inexpressible
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}  # no other keyword may stand beside it
    node = {key: value for key, value in schema.items() if key not in _OPENAI_DROPS}
    _say({key: schema[key] for key in _OPENAI_SAYS if key in schema}, node)
    if node.get("format") not in {None, *_OPENAI_FORMATS}:
        del node["format"]
    if "oneOf" in node:
        node["anyOf"] = node.pop("oneOf")
    if "allOf" in node:
        parts = node.pop("allOf")
        if len(parts) != 1:
            raise _Inexpressible
        return _strict({**node, **parts[0]})
    if node.get("type") == "object" or "properties" in node:
        if "properties" not in node or node.get("additionalProperties", False) is not False:
            raise _Inexpressible  # an object of any keys
        required = set(node.get("required", ()))
        node["properties"] = {
            key: value if key in required else _nullable(value) for key, value in node["properties"].items()
        }
        node["required"] = list(node["properties"])
        node["additionalProperties"] = False
    return _rewritten(node, _strict)


def _rewritten(node: dict[str, Any], rewrite: Any) -> dict[str, Any]:
    """The node with each schema inside of it rewritten."""
    for key in _NESTED:
        if key in node:
            node[key] = {name: rewrite(inner) for name, inner in node[key].items()}
    for key in _LISTED:
        if key in node:
            node[key] = [rewrite(inner) for inner in node[key]]
    if isinstance(node.get("items"), dict):
        node["items"] = rewrite(node["items"])
    return node


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    options = schema.get("anyOf", [schema])
    if any(option.get("type") == "null" for option in options) or "null" in schema.get("type", ()):
        return schema
    return {"anyOf": [*options, {"type": "null"}]}


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    check_schema(schema)
    return Draft202012Validator(schema, registry=Registry())  # an empty one: a reference must not fetch anything


def _json_of(text: str) -> Any:
    fenced = _FENCE.match(text)
    try:
        return orjson.loads(fenced[1] if fenced else text)
    except ValueError as error:
        raise _invalid([Problem("$", f"not JSON: {error}")]) from error


def _drop_nulls(value: Any, errors: list[ValidationError]) -> bool:
    """Take out the nulls that the errors complain of; whether there were any."""
    dropped = False
    for error in _leaves(errors):
        path = list(error.absolute_path)
        if error.instance is not None or not path:
            continue
        parent = value
        for part in path[:-1]:
            parent = parent[part]
        if isinstance(parent, dict) and parent.get(path[-1], False) is None:
            del parent[path[-1]]
            dropped = True
    return dropped


def _leaves(errors: list[ValidationError]) -> Iterator[ValidationError]:
    for error in errors:
        yield error
        yield from _leaves(error.context or [])


def _path(error: ValidationError) -> str:
    return str(error.json_path)


def _invalid(problems: Iterator[Problem] | list[Problem]) -> AnswerInvalidError:
    found = tuple(problems)
    return AnswerInvalidError(
        "The model's answer is not what its schema asks for: " + "; ".join(str(problem) for problem in found[:5]),
        problems=found,
    )


def _schema_invalid(reason: str) -> InvalidInputError:
    return InvalidInputError(f"The schema of the answer is not a JSON Schema: {reason}", code="schema_invalid")
