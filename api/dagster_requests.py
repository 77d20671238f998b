"""What a request to Dagster's GraphQL wants, and what it may have. Pure.

Dagster itself knows neither users nor tenants, and answers whoever asks. So each document is parsed here, by the parser that
Dagster uses too, and what is sent on is what was parsed: nothing that is read twice can be read in two ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from graphql import (
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    parse,
    visit,
)

from resources.errors import InvalidInputError, NotPermittedError
from resources.realtime.model import RUN_TENANT_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import DocumentNode

_MAX_TOKENS = 20_000
# Arguments that runs are launched with, and where in them the tags of the run stand.
TAGGED: dict[str, tuple[str, ...]] = {
    "executionParams": ("executionMetadata", "tags"),
    "executionParamsList": ("executionMetadata", "tags"),
    "reexecutionParams": ("extraTags",),
    "backfillParams": ("tags",),
}


def reviewed(content: bytes, *, may_change: bool, tenant: str) -> bytes:
    """The request as it may be sent on: every run that it launches is tagged with `tenant`, whatever it says itself.

    Raises InvalidInputError for what is no GraphQL request in JSON, NotPermittedError for a mutation of who may only look.
    """
    try:
        request = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"the body is not valid JSON: {error}") from error
    if not isinstance(request, dict) or not isinstance(request.get("query"), str):
        raise _invalid("the body must be an object with a `query`")
    variables = request.get("variables") or {}
    if isinstance(variables, str):
        try:
            variables = orjson.loads(variables)
        except orjson.JSONDecodeError as error:
            raise _invalid(f"the variables are not valid JSON: {error}") from error
    if not isinstance(variables, dict):
        raise _invalid("`variables` must be an object")
    document = _parsed(request["query"])
    if OperationType.MUTATION in _operations(document):
        if not may_change:
            raise NotPermittedError("You may look at everything here, and change nothing.", code="read_only")
        _tag(document, variables, tenant)
    return orjson.dumps({**request, "variables": variables})


def check_query(query: str) -> None:
    """Raises NotPermittedError for anything but queries: what a link asks for must change nothing."""
    if _operations(_parsed(query)) - {OperationType.QUERY}:
        raise NotPermittedError("Only queries may be asked for by GET.", code="read_only")


def check_frame(frame: str | bytes) -> None:
    """Raises InvalidInputError or NotPermittedError for a message over the socket that asks for more than subscriptions."""
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"the message is not valid JSON: {error}") from error
    payload = message.get("payload") if isinstance(message, dict) else None
    query = payload.get("query") if isinstance(payload, dict) else None
    if query is None:
        return
    if not isinstance(query, str) or _operations(_parsed(query)) - {OperationType.SUBSCRIPTION, OperationType.QUERY}:
        raise NotPermittedError("Nothing can be changed over the socket.", code="read_only")


def _parsed(query: str) -> DocumentNode:
    try:
        return parse(query, max_tokens=_MAX_TOKENS)
    except (GraphQLError, RecursionError) as error:
        raise _invalid(str(error)) from error


def _operations(document: DocumentNode) -> set[OperationType]:
    return {each.operation for each in document.definitions if isinstance(each, OperationDefinitionNode)}


def _tag(document: DocumentNode, variables: dict[str, Any], tenant: str) -> None:
    for name, variable in _launches(document):
        if variable is not None and variable not in variables and variable in _without_default(document):
            continue  # null: the UI declares both ways to execute a run again, and uses one
        if variable is None or variable not in variables:
            raise _invalid(f"`{name}` must be given as a variable, with its value among `variables`")
        value = variables[variable]
        for launch in value if isinstance(value, list) else [value]:
            if isinstance(launch, dict):
                _overwrite(launch, TAGGED[name], tenant)
            elif launch is not None:
                raise _invalid(f"`{name}` must be an object")


def _launches(document: DocumentNode) -> list[tuple[str, str | None]]:
    """The arguments that launch runs, each with the variable that it is given as; None = it stands in the document."""
    found: list[tuple[str, str | None]] = []

    class Fields(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            for argument in node.arguments or ():
                if argument.name.value in TAGGED:
                    value = argument.value
                    given = value.name.value if isinstance(value, VariableNode) else None
                    found.append((argument.name.value, given))

    visit(document, Fields())
    return found


def _without_default(document: DocumentNode) -> set[str]:
    """The variables that are null when they are not given, in all operations."""
    declared = [
        variable
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
        for variable in definition.variable_definitions or ()
    ]
    with_default = {each.variable.name.value for each in declared if each.default_value is not None}
    return {each.variable.name.value for each in declared} - with_default


def _overwrite(launch: dict[str, Any], path: tuple[str, ...], tenant: str) -> None:
    place: dict[str, Any] = launch
    for name in path[:-1]:
        if not isinstance(place.get(name), dict):
            place[name] = {}
        place = place[name]
    given = place.get(path[-1])
    # A single value stands for a list of one.
    tags: list[Mapping[str, Any]] = [given] if isinstance(given, dict) else given if isinstance(given, list) else []
    kept = [tag for tag in tags if not (isinstance(tag, dict) and tag.get("key") == RUN_TENANT_TAG)]
    place[path[-1]] = [*kept, {"key": RUN_TENANT_TAG, "value": tenant}]


def _invalid(reason: str) -> InvalidInputError:
    return InvalidInputError(f"The GraphQL request is not accepted: {reason}.", code="graphql_invalid")
