"""What a domain gives to the graph: its parts of the roots, its fields on others' types, and who may see what.

A type is written in the module that owns it. Another module adds fields to it with `extends`; the fields know where they come
from, so that the same types make one schema or several (`schema.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import strawberry

if TYPE_CHECKING:
    from api.graphql.context import GraphContext

Reference = Callable[["GraphContext", list[str]], Awaitable[Sequence[Any]]]
Added = TypeVar("Added", bound=type)


@dataclass(frozen=True)
class Module:
    """One domain. `access`: `Type.field` → the scope that it asks for, for each field of the module that calls a service.

    `entities`: type → how instances are loaded by key, many at once; of the types that the module owns. The scope that an entity
    asks for stands in `access` under the type's name. `cache`: `Type.field` → for how many seconds an answer with it may be given
    again, as long as nothing happens in the tenant; fields that are not named are always asked anew (`caching.py`).
    """

    name: str
    query: type
    access: Mapping[str, str]
    mutation: type | None = None
    subscription: type | None = None
    entities: Mapping[type, Reference] = field(default_factory=dict)
    cache: Mapping[str, int] = field(default_factory=dict)


def extends(target: type) -> Callable[[Added], Added]:
    """Add the fields of the decorated class to a type of another module.

    In resolvers `self` is the target, of which only the key is sure to be known.
    """

    def add(cls: Added) -> Added:
        added = strawberry.type(cls)
        target.__strawberry_definition__.fields.extend(added.__strawberry_definition__.fields)  # type: ignore[attr-defined]
        return added

    return add


def key_of(type: type) -> str:
    """The name of the field that is the key of an entity."""
    from strawberry.federation.schema_directives import Key

    definition: Any = type.__strawberry_definition__  # type: ignore[attr-defined]
    return next(str(found.fields) for found in definition.directives if isinstance(found, Key))


def stub(type: type, key: str) -> Any:
    """An entity of which only the key is known: for fields that a module adds to another's type."""
    found: Any = object.__new__(type)
    setattr(found, key_of(type), key)
    return found
