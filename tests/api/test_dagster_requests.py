"""What may be asked of Dagster's GraphQL, and the tenant that is written into each launch."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from api.dagster_requests import TAGGED, check_frame, check_query, reviewed
from resources.errors import InvalidInputError, NotPermittedError
from resources.realtime.model import RUN_TENANT_TAG

LAUNCH = "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
OURS = {"key": RUN_TENANT_TAG, "value": "home"}
FORGED = {"key": RUN_TENANT_TAG, "value": "acme"}
OTHER = {"key": "team", "value": "blue"}


def review(query: str, variables: Any = None, *, may_change: bool = True) -> Any:
    content = orjson.dumps({"query": query, "variables": variables})
    return orjson.loads(reviewed(content, may_change=may_change, tenant="home"))


@pytest.mark.parametrize("given", [[], [FORGED], [FORGED, OTHER, FORGED], FORGED, None])
def test_the_tenant_of_a_launch_is_always_the_callers(given: Any) -> None:
    found = review(LAUNCH, {"p": {"selector": {}, "executionMetadata": {"tags": given}}})
    tags = found["variables"]["p"]["executionMetadata"]["tags"]
    assert [tag for tag in tags if tag["key"] == RUN_TENANT_TAG] == [OURS]
    assert (OTHER in tags) == (isinstance(given, list) and OTHER in given)


def test_a_launch_without_tags_gets_the_tenant() -> None:
    assert review(LAUNCH, {"p": {}})["variables"]["p"]["executionMetadata"] == {"tags": [OURS]}


def test_each_of_several_launches_gets_it() -> None:
    query = "mutation($p: [ExecutionParams!]!) { launchMultipleRuns(executionParamsList: $p) { __typename } }"
    found = review(query, {"p": [{}, {"executionMetadata": {"tags": [FORGED]}}]})
    assert [each["executionMetadata"]["tags"] for each in found["variables"]["p"]] == [[OURS], [OURS]]


@pytest.mark.parametrize(
    ("field", "argument", "path"),
    [
        ("launchRunReexecution", "reexecutionParams", "extraTags"),
        ("launchPartitionBackfill", "backfillParams", "tags"),
    ],
)
def test_so_do_re_executions_and_backfills(field: str, argument: str, path: str) -> None:
    query = f"mutation($p: X) {{ {field}({argument}: $p) {{ __typename }} }}"
    assert review(query, {"p": {path: [FORGED, OTHER]}})["variables"]["p"][path] == [OTHER, OURS]


@pytest.mark.parametrize(
    "query",
    [
        "mutation { launchRun(executionParams: {selector: {}}) { __typename } }",
        "mutation($p: ExecutionParams = {}) { launchRun(executionParams: $p) { __typename } }",
        "mutation($s: X) { a: launchRun(executionParams: {selector: $s}) { __typename } }",
        "mutation { ...F } fragment F on Mutation { launchRun(executionParams: {}) { __typename } }",
        "query Q { version } mutation M { launchRun(executionParams: {}) { __typename } }",
    ],
)
def test_a_launch_whose_tags_cannot_be_seen_is_refused(query: str) -> None:
    with pytest.raises(InvalidInputError, match="as a variable"):
        review(query, {"s": {}})


def test_an_argument_that_is_declared_and_not_given_launches_nothing() -> None:
    query = (
        "mutation($executionParams: ExecutionParams, $p: ReexecutionParams) "
        "{ launchRunReexecution(executionParams: $executionParams, reexecutionParams: $p) { __typename } }"
    )
    assert review(query, {"p": {"extraTags": [FORGED]}})["variables"] == {"p": {"extraTags": [OURS]}}


def test_variables_as_a_string_are_read_too() -> None:
    found = review(LAUNCH, '{"p": {}}')
    assert found["variables"]["p"]["executionMetadata"]["tags"] == [OURS]


@pytest.mark.parametrize(
    "query",
    [
        LAUNCH,
        "query Q { version } mutation M { reloadWorkspace { __typename } }",
        "  # a comment\n mutation { setNuxSeen }",
    ],
)
def test_who_may_only_look_changes_nothing(query: str) -> None:
    with pytest.raises(NotPermittedError):
        review(query, {"p": {}}, may_change=False)


def test_who_may_only_look_may_ask() -> None:
    assert review("query Mutation { version }", may_change=False)["query"] == "query Mutation { version }"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'[{"query": "{version}"}]',
        b'{"query": 1}',
        b'{"query": "{"}',
        b'{"query": "{a}", "variables": [1]}',
    ],
)
def test_what_is_no_request_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInputError):
        reviewed(content, may_change=True, tenant="home")


@pytest.mark.parametrize("depth", [500, 100_000])
def test_a_bomb_is_refused(depth: int) -> None:
    with pytest.raises(InvalidInputError):
        review("{a" * 10_000 * (depth // 100), {})
    with pytest.raises(InvalidInputError):
        review("{a(x:" + "[" * depth, {})


def test_a_member_that_stands_twice_is_sent_once() -> None:
    content = b'{"query": "{version}", "query": "mutation { setNuxSeen }"}'
    with pytest.raises(NotPermittedError):
        reviewed(content, may_change=False, tenant="home")


def test_a_link_changes_nothing() -> None:
    check_query("{ version }")
    with pytest.raises(NotPermittedError):
        check_query("mutation { setNuxSeen }")


def test_the_socket_is_for_subscriptions() -> None:
    check_frame('{"type": "connection_init", "payload": {}}')
    check_frame('{"id": "1", "type": "start", "payload": {"query": "subscription { x }"}}')
    with pytest.raises(NotPermittedError):
        check_frame('{"id": "1", "type": "start", "payload": {"query": "mutation { setNuxSeen }"}}')
    with pytest.raises(InvalidInputError):
        check_frame("{")


def test_every_launch_that_dagster_knows_is_tagged() -> None:
    from dagster_graphql.schema import create_schema

    mutations = create_schema().graphql_schema.mutation_type.fields
    launches = {name: set(field.args) for name, field in mutations.items() if "launch" in name or "reexecut" in name}
    assert len(launches) >= 6
    assert {name for name, arguments in launches.items() if not arguments <= set(TAGGED)} == set()
