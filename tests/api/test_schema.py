"""The OpenAPI document is true: generated requests, good and bad ones, are answered as it says, and never with a 500."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from resources.settings import Settings

if TYPE_CHECKING:
    from schemathesis.schemas import APIOperation

    Operation = APIOperation[Any, Any, Any, Any]

EXAMPLES = int(os.environ.get("AIW_TEST_SCHEMA_EXAMPLES", "6"))
"""For each operation; more of them search longer."""

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
ENDLESS = ("/tail", "/stream")
SCHEMA = schemathesis.openapi.from_dict(create_app(MagicMock(rate_buckets=None), Settings(_env_file=None)).openapi())
OPERATIONS = [
    operation
    for operation in (found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok))
    if not operation.path.endswith(ENDLESS)
]


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
def test_requests_are_answered_as_the_document_says(operation: Operation, data: st.DataObject, here: str) -> None:
    mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case = data.draw(operation.as_strategy(generation_mode=mode))
    case.call_and_validate(base_url=here, checks=CHECKS, timeout=90)
