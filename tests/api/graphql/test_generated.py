"""Operations that nobody thought of: none is answered with a failure from inside, whatever it asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import pytest
import schemathesis
from graphql import print_schema
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import nodes
from schemathesis.core.result import Ok

from api.graphql.errors import INTERNAL
from api.graphql.schema import unified

if TYPE_CHECKING:
    from schemathesis.schemas import APIOperation

    Operation = APIOperation[Any, Any, Any, Any]

EXAMPLES: Final = int(os.environ.get("AIW_TEST_SCHEMA_EXAMPLES", "1"))
"""For each root field; more of them search longer."""

schemathesis.graphql.scalar("Decimal", st.decimals(allow_nan=False, places=2).map(str).map(nodes.String))
schemathesis.graphql.scalar("JSON", st.one_of(st.text().map(nodes.String), st.integers().map(nodes.Int)))
SCHEMA = schemathesis.graphql.from_file(print_schema(unified().core))
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]


@pytest.fixture(scope="session")
def here(_address: str) -> str:
    """Where the API is; it acts on behalf of the tenant that the last test has left."""
    return _address


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    deadline=None,
    database=None,
)
@given(data=st.data())
def test_generated_operations_are_answered(operation: Operation, data: st.DataObject, here: str) -> None:
    case = data.draw(operation.as_strategy())
    answer = case.call(base_url=f"{here}/graphql", timeout=30)
    assert answer.status_code < 500, answer.text
    body = answer.json()
    assert {"data", "errors"} & set(body), body
    codes = {error["extensions"]["code"] for error in body.get("errors", ())}
    assert INTERNAL not in codes, (case.body, body)
