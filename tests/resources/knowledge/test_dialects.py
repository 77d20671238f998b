from __future__ import annotations

import pytest

from resources.knowledge.dialects import ARCADEDB, NEO4J, Dialect, dialect_of, is_conflict


@pytest.mark.parametrize(
    ("agent", "dialect"),
    [
        ("Neo4j/5.26.0 compatible (ArcadeDB 26.10.2)", ARCADEDB),
        ("Neo4j/5.26.0", NEO4J),
        ("Neo4j/2026.10.1", NEO4J),
    ],
)
def test_a_server_is_known_by_how_it_introduces_itself(agent: str, dialect: Dialect) -> None:
    assert dialect_of(agent) is dialect


@pytest.mark.parametrize(
    ("code", "conflict"),
    [
        ("Neo.TransientError.Transaction.DeadlockDetected", True),
        ("Neo.ClientError.Schema.ConstraintValidationFailed", True),
        ("Neo.ClientError.Statement.EntityNotFound", True),
        ("Neo.ClientError.Statement.SyntaxError", False),
        ("Neo.DatabaseError.General.UnknownError", False),
        (None, False),
    ],
)
def test_only_collisions_are_worth_a_repetition(code: str | None, *, conflict: bool) -> None:
    assert is_conflict(code) is conflict
