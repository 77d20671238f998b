"""The schema as text: SDL, and types for TypeScript."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    is_required_input_field,
    print_schema,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCALARS: Final = {
    "ID": "string",
    "String": "string",
    "Int": "number",
    "Float": "number",
    "Boolean": "boolean",
    "DateTime": "string",
    "Decimal": "string",
    "JSON": "unknown",
}


def sdl(schema: GraphQLSchema) -> str:
    """The whole schema, in the schema definition language."""
    return print_schema(schema) + "\n"


def typescript(schema: GraphQLSchema) -> str:
    """An interface for each type and input, a union of texts for each enumeration."""
    return "".join(_declarations(schema))


def _declarations(schema: GraphQLSchema) -> Iterator[str]:
    yield "// Made by `aiw graphql schema`. Times are ISO 8601, decimals are text, so that no digit is lost.\n"
    for name, type_ in sorted(schema.type_map.items()):
        if name.startswith(("_", "link__")):
            continue
        if isinstance(type_, GraphQLEnumType):
            yield f"\nexport type {name} = {' | '.join(repr(value) for value in type_.values)}\n"
        elif isinstance(type_, GraphQLObjectType | GraphQLInputObjectType):
            given = isinstance(type_, GraphQLInputObjectType)
            fields = "".join(
                f"  {field}{'?' if given and not is_required_input_field(found) else ''}: {_told(found.type)}\n"
                for field, found in type_.fields.items()
                if not field.startswith("_")
            )
            yield f"\nexport interface {name} {{\n{fields}}}\n"


def _told(type_: Any) -> str:
    if isinstance(type_, GraphQLNonNull):
        return _plain(type_.of_type)
    return f"{_plain(type_)} | null"


def _plain(type_: Any) -> str:
    if isinstance(type_, GraphQLList):
        inside = _told(type_.of_type)
        return f"({inside})[]" if " " in inside else f"{inside}[]"
    return _SCALARS.get(type_.name, str(type_.name))
