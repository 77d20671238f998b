"""What a model is asked to say of a document, and how what it says is read.

The limits stand in the schema itself (`maxItems`, `maxLength`, whole numbers of a range), not in its words only: where the
decoding is held to the schema by a grammar, a small model then comes to an end. Shares are asked for in per cent: a grammar can
hold whole numbers to a range, and no others. Reading is milder than asking: what is too long is cut, and the items of a list that
hold are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from resources.ai.structured import members, output_of
from resources.content.analysers.terms import MAX_CONCEPTS, MAX_KEYWORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from resources.ai.model import OutputSchema

MAX_ENTITIES: Final = 30
MAX_OBJECTIVES: Final = 5
MAX_ISSUES: Final = 4
_WORDS_PER_ITEM: Final = 8
"""A document of eight words for each item of a list: of a paragraph, nobody wants twenty concepts."""
_LEAST_ITEMS: Final = 3


def _cut(length: int) -> BeforeValidator:
    def cut(value: Any) -> Any:
        return value[:length] if isinstance(value, str | list) else value

    return BeforeValidator(cut)


def _holding(item: type[BaseModel], most: int) -> BeforeValidator:
    """The items that hold, in their order; a list of which none holds is left as it is, for its error to be told."""

    def holding(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [one for one in value if _is_one(item, one)][:most] or value[:most]

    return BeforeValidator(holding)


def _is_one(item: type[BaseModel], value: Any) -> bool:
    try:
        item.model_validate(value)
    except ValidationError:
        return False
    return True


def _in_per_cent(value: Any) -> Any:
    """What is said as a share all the same: 0.9 is 90."""
    return round(100 * value) if isinstance(value, float) and abs(value) <= 1 else value


_PerCent = Annotated[int, Field(ge=0, le=100), BeforeValidator(_in_per_cent)]
_Name = Annotated[str, Field(min_length=1, max_length=80), _cut(80)]
_Sentence = Annotated[str, Field(min_length=1, max_length=200), _cut(200)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Term(_Said):
    """A concept or keyword."""

    text: _Name
    weight: _PerCent


class Name(_Said):
    """A named thing."""

    kind: Literal["person", "organization", "location", "date", "money", "technology"]
    text: _Name


class Aim(_Said):
    """A learning objective."""

    level: Literal["remember", "understand", "apply", "analyse", "evaluate", "create"]
    text: _Sentence


class Tone(_Said):
    """The tone of the document."""

    label: Literal["negative", "neutral", "positive"]
    score: Annotated[int, Field(ge=-100, le=100), BeforeValidator(_in_per_cent)]


class Fault(_Said):
    """Something to mend."""

    kind: Literal["readability", "completeness", "accuracy", "coherence", "grammar", "vocabulary", "structure"]
    severity: Literal["low", "medium", "high"]
    message: _Sentence
    suggestion: _Sentence


class Sure(_Said):
    """How sure the model is of each part."""

    language: _PerCent
    summary: _PerCent
    concepts: _PerCent
    keywords: _PerCent
    entities: _PerCent
    objectives: _PerCent
    sentiment: _PerCent
    quality: _PerCent
    difficulty: _PerCent


class DocumentAnalysis(_Said):
    """An analysis of a document."""  # its descriptions are also told in words: not every server shows a schema to its model

    language: Annotated[str, Field(pattern="^([A-Za-z]{2}|und)$")] = Field(
        description="the language of the document as a code of ISO 639-1, or und"
    )
    summary: Annotated[str, Field(min_length=1, max_length=700), _cut(700)] = Field(
        description="what the document says, in at most 400 characters"
    )
    concepts: Annotated[tuple[Term, ...], Field(max_length=MAX_CONCEPTS), _holding(Term, MAX_CONCEPTS)] = Field(
        description="what it is about, the most important first: noun phrases of one to three words as it spells them, "
        "each with a weight from 0 to 100"
    )
    keywords: Annotated[tuple[Term, ...], Field(max_length=MAX_KEYWORDS), _holding(Term, MAX_KEYWORDS)] = Field(
        description="words that somebody would search for to find it, each with a weight from 0 to 100"
    )
    entities: Annotated[tuple[Name, ...], Field(max_length=MAX_ENTITIES), _holding(Name, MAX_ENTITIES)] = Field(
        description="the people, organizations, places, dates, amounts of money and technologies that it names, as it spells them"
    )
    objectives: Annotated[tuple[Aim, ...], Field(max_length=MAX_OBJECTIVES), _holding(Aim, MAX_OBJECTIVES)] = Field(
        description="what a reader can do afterwards, beginning with a verb, with its level of Bloom's taxonomy"
    )
    sentiment: Tone = Field(description="its tone, with a score from -100 (negative) to 100 (positive)")
    quality: _PerCent = Field(description="0 = worthless to a reader, 100 = could not be better")
    issues: Annotated[tuple[Fault, ...], Field(max_length=MAX_ISSUES), _holding(Fault, MAX_ISSUES)] = Field(
        description="what would make it better; none if it is fine"
    )
    difficulty: _PerCent = Field(description="0 = for anybody, 30 = beginners, 60 = advanced, 80 and more = experts")
    prerequisites: Annotated[tuple[_Name, ...], Field(max_length=8), _cut(8)] = Field(
        description="what one should know before, as noun phrases"
    )
    confidence: Sure = Field(description="how sure you are of each, from 0 to 100: be honest, not modest")


PARTS: Final = tuple(DocumentAnalysis.model_fields)
_READERS: Final[Mapping[str, type[BaseModel]]] = {
    name: create_model(name, **{name: (field.annotation, field)})  # type: ignore[call-overload]  # pydantic's own way to copy a field
    for name, field in DocumentAnalysis.model_fields.items()
}
_LISTS: Final = ("concepts", "keywords", "entities")


def schema_of(parts: Iterable[str], *, words: int) -> OutputSchema:
    """The schema that asks for `parts` of a document of so many words."""
    output = output_of(DocumentAnalysis)
    asked = list(parts)
    schema = output.json_schema
    properties = {name: schema["properties"][name] for name in asked}
    most = max(_LEAST_ITEMS, words // _WORDS_PER_ITEM)
    for name in _LISTS:
        if name in properties:
            properties[name]["maxItems"] = min(properties[name]["maxItems"], most)
    wanted = {**schema, "properties": properties, "required": asked}
    return output.model_copy(update={"json_schema": _with_its_own_definitions(wanted)})


def wish_for(parts: Iterable[str]) -> str:
    """The same in words."""
    fields = DocumentAnalysis.model_fields
    listed = "\n".join(f"- {name}: {fields[name].description}" for name in parts)
    return f"Analyse this document. Write one JSON object with these keys:\n{listed}"


def read_parts(text: str, wanted: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The parts of an answer that hold, and what is wrong with those that do not."""
    said = members(text)
    held: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name in wanted:
        if name not in said:
            wrong[name] = "is missing"
            continue
        try:
            held[name] = getattr(_READERS[name].model_validate({name: said[name]}), name)
        except ValidationError as error:
            first = error.errors()[0]
            wrong[name] = ".".join([*map(str, first["loc"]), str(first["msg"])])
    return held, wrong


def _with_its_own_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the definitions that nothing refers to."""
    definitions = schema.pop("$defs", {})
    used: dict[str, Any] = {}
    waiting = list(_references(schema["properties"]))
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = definitions[name]
            waiting.extend(_references(definitions[name]))
    return {**schema, "$defs": used} if used else schema


def _references(node: Any) -> Iterable[str]:
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
