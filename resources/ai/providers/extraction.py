"""A JSON Schema filled from a text by rule: the most literal value that the text offers for each property, in document order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resources.ai.offline import ExtractiveWriter

_WORD = re.compile(r"[^\W\d_]{3,}")
_NUMBER = re.compile(r"(?<![\w.,-])-?\d+(?:[.,]\d+)*(?!\w|-\d)")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w-]+(?:\s+[A-Z][\w-]+)*")
_QUOTED = re.compile(r"[\"“'‘]([^\"”'’]{1,200})[\"”'’]")
_FORMATS: Final = {
    "date": re.compile(r"\b\d{4}-\d{2}-\d{2}\b"),
    "date-time": re.compile(r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})"),
    "email": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "uri": re.compile(r"https?://[^\s<>\"')\]]+"),
    "uuid": re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE),
}
_TITLES: Final = frozenset({"title", "headline", "heading", "subject"})
_NAMES: Final = frozenset({"name", "city", "place", "person", "company", "location", "country", "author"})
_KEYWORDS: Final = frozenset(
    {"keyword", "keywords", "tag", "tags", "topic", "topics", "concept", "concepts", "entities"}
)
_QUESTIONS: Final = frozenset({"query", "question", "prompt", "search", "input", "request"})
_COMMON: Final = frozenset(
    ["the", "and", "for", "are", "was", "with", "that", "this", "from", "what", "how", "you", "can"]
)
_ITEMS: Final = 5


def words(text: str) -> set[str]:
    """The words of a text that say something."""
    return {word for word in _WORD.findall(text.casefold()) if word not in _COMMON}


class Extraction:
    """Values for one schema from one text. Numbers and names are given out once each, in the order of the text."""

    def __init__(self, question: str, passages: Sequence[str], writer: ExtractiveWriter) -> None:
        self._question = question
        self._text = "\n".join(passages)
        self._passages = passages
        self._writer = writer
        self._numbers = [float(one.replace(",", "")) for one in _NUMBER.findall(self._text) if one.count(".") <= 1]

    def filled(self, schema: Mapping[str, Any]) -> Any:
        """A value for `schema`. Whether it is valid is the caller's to check: a text may lack what the schema demands."""
        return self._value("", schema, schema)

    def _value(self, name: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
        if "$ref" in schema:
            target: Any = root
            for part in str(schema["$ref"]).removeprefix("#/").split("/"):
                target = target.get(part, {})
            return self._value(name, target, root)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._one_of(schema["enum"], schema.get("default"))
        for key in ("anyOf", "oneOf", "allOf"):
            if schema.get(key):
                return self._value(name, schema[key][0], root)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        match kind[0] if isinstance(kind, list) else kind:
            case "object":
                required = set(schema.get("required", ()))
                return {
                    key: self._value(key, inner, root)
                    for key, inner in schema.get("properties", {}).items()
                    if key in required or not _recursive(inner, root)
                }
            case "array":
                return self._items(name, schema, root)
            case "integer" | "number" as number:
                return self._number(schema, whole=number == "integer")
            case "boolean":
                return schema.get("default", bool(words(name.replace("_", " ")) & words(self._text)))
            case "null":
                return None
            case _:
                return self._string(name, schema)

    def _one_of(self, options: Sequence[Any], default: Any) -> Any:
        text = self._text.casefold()
        for option in options:
            if isinstance(option, str) and re.search(rf"\b{re.escape(option.casefold())}\b", text):
                return option
        return default if default is not None else options[0]

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> float | int:
        low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
        for index, number in enumerate(self._numbers):
            if low <= number <= high and (not whole or number.is_integer()):
                del self._numbers[index]
                return int(number) if whole else number
        fallback: float = schema.get("default", max(0, low) if low > float("-inf") else 0)
        return int(fallback) if whole else fallback

    def _string(self, name: str, schema: Mapping[str, Any]) -> str:
        parts = set(re.split(r"[_\W]+", name.casefold()))
        if pattern := _FORMATS.get(str(schema.get("format"))) or (
            schema.get("pattern") and re.compile(schema["pattern"])
        ):
            found = pattern.search(self._text) or pattern.search(self._question)
            return found[0] if found else str(schema.get("default", ""))
        if parts & _QUESTIONS:
            text = self._question
        elif parts & _TITLES:
            text = next((line.lstrip("# ").strip() for line in self._text.splitlines() if line.strip()), "")
        elif parts & _NAMES:
            found = _QUOTED.search(self._question) or _NAME.search(self._question) or _NAME.search(self._text)
            text = found[found.lastindex or 0] if found else str(schema.get("default", self._sentences(1)[0]))
        else:
            text = self._written()
        text = text or str(schema.get("default", ""))
        return text[: schema.get("maxLength", len(text))]

    def _items(self, name: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Any]:
        inner = schema.get("items", {"type": "string"})
        most = min(schema.get("maxItems", _ITEMS), _ITEMS)
        least = schema.get("minItems", 0)
        if inner.get("type", "string") != "string" or "$ref" in inner or "enum" in inner:
            return [self._value(name, inner, root) for _ in range(max(least, min(1, most)))]
        texts = self._keywords(most) if words(name.replace("_", " ")) & _KEYWORDS else self._sentences(most)
        return (texts * least)[: max(least, 1)] if len(texts) < least else texts

    def _keywords(self, most: int) -> list[str]:
        found = [word for word in _WORD.findall(self._text.casefold()) if word not in _COMMON]
        return sorted(dict.fromkeys(found), key=lambda word: (-found.count(word), found.index(word)))[:most]

    def _sentences(self, most: int) -> list[str]:
        found = [sentence.strip() for sentence in _SENTENCE.findall(self._text) if sentence.strip()]
        return list(dict.fromkeys(found))[:most] or [self._question]

    def _written(self) -> str:
        try:
            return self._writer.generate(self._question, passages=self._passages).text
        except InvalidInputError:  # no text at all
            return self._question


def _recursive(schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """Whether the schema may lead back to one that holds it; such a property is left out where it may be."""
    seen: set[str] = set()
    open_: list[Any] = [schema]
    while open_:
        node = open_.pop()
        if isinstance(node, list):
            open_.extend(node)
        elif isinstance(node, dict):
            ref = node.get("$ref")
            if isinstance(ref, str):
                if ref in seen:
                    return True
                seen.add(ref)
                target: Any = root
                for part in ref.removeprefix("#/").split("/"):
                    target = target.get(part, {})
                open_.append(target)
            open_.extend(value for key, value in node.items() if key not in {"$defs", "definitions"})
    return False
