"""What a JSON Schema says about a place inside of a value: enough to check references and the types of connected ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Schema = Mapping[str, Any]

_DEEPEST = 12
_BY_KEYWORD = {"properties": "object", "items": "array", "prefixItems": "array"}


def at(schema: Schema, path: Sequence[str | int]) -> list[Schema] | None:
    """What the value at `path` can be; None when nothing is known. Raises KeyError with the part that is not there.

    An object is taken to have no keys but its properties, unless it says otherwise.
    """
    found = _alternatives(schema, schema)
    for part in path:
        if found is None:
            return None
        behind: list[Schema] = []
        unknown = False
        for alternative in found:
            step = _step(alternative, part)
            if step is True:
                unknown = True
            elif step is not None:
                deeper = _alternatives(schema, step)
                unknown = unknown or deeper is None
                behind += deeper or []
        if not behind and not unknown:
            raise KeyError(part)
        found = None if unknown else behind
    return found


def keys(schema: Schema, path: Sequence[str | int]) -> list[str]:
    """The properties of the value at `path`, as far as they are known."""
    try:
        found = at(schema, path)
    except KeyError:
        return []
    return [name for alternative in found or () for name in alternative.get("properties", ())]


def types(alternatives: Sequence[Schema] | None) -> frozenset[str] | None:
    """The JSON types that the value can have; None when that is not known."""
    if alternatives is None:
        return None
    found: set[str] = set()
    for alternative in alternatives:
        kind = alternative.get("type")
        if isinstance(kind, str):
            found.add(kind)
        elif isinstance(kind, list):
            found.update(kind)
        else:
            values = alternative.get("enum", [alternative["const"]] if "const" in alternative else None)
            if values is None:
                return None
            found.update(_type_of(value) for value in values)
    return frozenset(found)


def _step(schema: Schema, part: str | int) -> Schema | bool | None:
    """What stands behind one key or index: a schema, True for anything, None for nothing."""
    kind = schema.get("type") or next((kind for word, kind in _BY_KEYWORD.items() if word in schema), None)
    if kind == "object" and isinstance(part, str):
        properties = schema.get("properties", {})
        if part in properties:
            return _or_any(properties[part])
        more = schema.get("additionalProperties", not properties)
        return _or_any(more) if more is not False else None
    if kind == "array" and isinstance(part, int):
        listed = schema.get("prefixItems", [])
        return _or_any(listed[part] if 0 <= part < len(listed) else schema.get("items", True))
    if kind == "string" and isinstance(part, int):
        return {"type": "string"}
    return None


def _or_any(schema: Schema | bool) -> Schema | bool:
    return schema if isinstance(schema, bool) or schema else True


def _alternatives(root: Schema, schema: Schema | bool, depth: int = 0) -> list[Schema] | None:
    """The schema without references and choices; None when it can be anything."""
    if isinstance(schema, bool) or depth > _DEEPEST:
        return None
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        target = root.get("$defs", {}).get(name)
        return None if target is None else _alternatives(root, target, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            found: list[Schema] = []
            for choice in schema[word]:
                inner = _alternatives(root, choice, depth + 1)
                if inner is None:
                    return None
                found += inner
            return found
    known = {"type", "enum", "const", *_BY_KEYWORD}
    return [schema] if known & schema.keys() else None


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return kinds.get(type(value), "null")
