"""How much one operation may ask for: told before anything is executed.

`complexity` counts fields, those within a list as often as the list is long (`first`, else five). What asks about the schema
itself is for those who operate the platform, and costs no complexity; the sizes hold for it, too.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    IntValueNode,
    OperationDefinitionNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)
from strawberry.extensions import SchemaExtension

from api.graphql import errors
from api.graphql.access import INTROSPECTION
from resources.errors import LimitExceededError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graphql import DocumentNode, GraphQLSchema, SelectionSetNode

    from resources.settings import GraphqlSettings

_LENGTH: Final = 5
"""Of a list that does not say how long it is."""
TOKENS: Final = 5000
"""Of the text of one request: the parser stops there."""

_META: Final = frozenset({"__schema", "__type"})
_CONNECTION: Final = frozenset({"edges", "nodes"})


@dataclass(frozen=True)
class Limits:
    """Of one operation."""

    depth: int = 15
    complexity: int = 1000
    aliases: int = 100
    selections: int = 200
    variable_depth: int = 10
    operations: int = 20
    query_seconds: float = 30.0
    mutation_seconds: float = 60.0
    subscription_seconds: float = 300.0

    @classmethod
    def of(cls, settings: GraphqlSettings) -> Limits:
        """Those of the settings."""
        return cls(**{one.name: getattr(settings, one.name) for one in fields(cls) if one.name != "operations"})


@dataclass
class Size:
    """What an operation asks for."""

    depth: int = 0
    complexity: int = 0
    aliases: int = 0
    selections: int = 0
    introspects: bool = False


class GuardExtension(SchemaExtension):
    """Refuses an operation that asks for too much, or for the schema without the right to."""

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if context.graphql_document is not None:
            try:
                self._check()
            except PlatformError as error:
                told = errors.of(error, service="graph")
                context.pre_execution_errors = [GraphQLError(told.message, extensions=told.extensions)]
        yield

    def _check(self) -> None:
        context = self.execution_context
        document = context.graphql_document
        assert document is not None
        schema: GraphQLSchema = context.schema._schema  # noqa: SLF001  # the library's own way
        limits = Limits() if context.context is None else context.context.limits
        if depth_of(context.variables or {}) > limits.variable_depth:
            raise _exceeded("variable_depth", limits.variable_depth)
        size = measure(document, schema, context.operation_name, context.variables or {}, limits)
        asked = context.context
        if asked is None:
            return
        if size.introspects:
            asked.check(INTROSPECTION)
        if asked.allowances is not None:
            asked.allowances.charge(asked.principal, size.complexity)


def measure(
    document: DocumentNode, schema: GraphQLSchema, name: str | None, variables: dict[str, Any], limits: Limits
) -> Size:
    """The size of the operation that would be executed. Raises LimitExceededError as soon as it is too large."""
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    if len(operations) > limits.operations:
        raise _exceeded("operations", limits.operations)
    size = Size()
    for operation in operations:
        if name is None or (operation.name is not None and operation.name.value == name):
            root = schema.get_root_type(operation.operation)
            _Walk(schema, fragments, variables, limits, size).walk(operation.selection_set, root, 0, 1, frozenset())
    return size


@dataclass
class _Walk:
    schema: GraphQLSchema
    fragments: dict[str, FragmentDefinitionNode]
    variables: dict[str, Any]
    limits: Limits
    size: Size

    def walk(self, chosen: SelectionSetNode, within: Any, depth: int, times: int, inside: frozenset[str]) -> None:
        for node in chosen.selections:
            if isinstance(node, FieldNode):
                self._field(node, within, depth + 1, times, inside)
                continue
            self._count("selections")
            if isinstance(node, FragmentSpreadNode):
                name = node.name.value
                fragment = self.fragments.get(name)
                if fragment is not None and name not in inside:
                    type_ = self.schema.get_type(fragment.type_condition.name.value)
                    self.walk(fragment.selection_set, type_, depth, times, inside | {name})
            else:
                condition = node.type_condition  # type: ignore[attr-defined]  # what is left is an inline fragment
                type_ = within if condition is None else self.schema.get_type(condition.name.value)
                self.walk(node.selection_set, type_, depth, times, inside)  # type: ignore[attr-defined]

    def _field(self, node: FieldNode, within: Any, depth: int, times: int, inside: frozenset[str]) -> None:
        self._count("selections")
        if node.alias is not None:
            self._count("aliases")
        if node.name.value in _META:
            self.size.introspects = True
            return
        self.size.depth = max(self.size.depth, depth)
        self._hold("depth")
        self.size.complexity += times
        self._hold("complexity")
        if node.selection_set is None:
            return
        known = (
            within.fields.get(node.name.value) if isinstance(within, GraphQLObjectType | GraphQLInterfaceType) else None
        )
        length = 1
        if known is not None and (said := self._length(node)) is not None:
            length = said
        elif known is not None and is_list_type(get_nullable_type(known.type)) and node.name.value not in _CONNECTION:
            length = _LENGTH
        self.walk(node.selection_set, get_named_type(known.type) if known else None, depth, times * length, inside)

    def _length(self, node: FieldNode) -> int | None:
        for argument in node.arguments:
            if argument.name.value != "first":
                continue
            value = argument.value
            found = self.variables.get(value.name.value) if isinstance(value, VariableNode) else None
            if isinstance(value, IntValueNode):
                found = int(value.value)
            if isinstance(found, int) and not isinstance(found, bool):
                return max(1, found)
        return None

    def _count(self, what: str) -> None:
        setattr(self.size, what, getattr(self.size, what) + 1)
        self._hold(what)

    def _hold(self, what: str) -> None:
        allowed = getattr(self.limits, what)
        if getattr(self.size, what) > allowed:
            raise _exceeded(what, allowed)


def depth_of(value: Any) -> int:
    """How deep a JSON value is nested; looked at level by level, so that nothing recurses."""
    level, depth = [value], 0
    while level := [
        inside
        for one in level
        if isinstance(one, dict | list)
        for inside in (one.values() if isinstance(one, dict) else one)
    ]:
        depth += 1
    return depth


def _exceeded(what: str, allowed: int) -> LimitExceededError:
    return LimitExceededError(
        f"The operation exceeds its limit of {what.replace('_', ' ')}: {allowed} are allowed. Ask for less at once.",
        code=f"graphql_{what}",
        limit=allowed,
    )
