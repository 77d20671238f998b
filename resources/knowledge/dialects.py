"""What the Bolt servers do differently, in one place.

ArcadeDB presents itself as `Neo4j/5.26.0 compatible (ArcadeDB 26.10.2)` and speaks the same Cypher but for the statements
that create full-text, text and vector indexes (those it takes over HTTP, as SQL). It works optimistically: of two
transactions that collide the later fails, where Neo4j lets it wait. Both report that with codes that are worth a retry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from resources.knowledge.queries import SCHEMA, TEXT_INDEX

# Two MERGEs of one new key: the constraint lets only one of them succeed, and the other finds the node when repeated.
_MERGED_TWICE: Final = "Neo.ClientError.Schema.ConstraintValidationFailed"
_DELETED_MEANWHILE: Final = "Neo.ClientError.Statement.EntityNotFound"
_TRANSIENT: Final = "Neo.TransientError."


@dataclass(frozen=True, slots=True)
class Dialect:
    """`schema` are the statements that create the constraints and indexes that are missing."""

    name: str
    schema: tuple[str, ...]


ARCADEDB: Final = Dialect("arcadedb", schema=SCHEMA)
NEO4J: Final = Dialect("neo4j", schema=(*SCHEMA, TEXT_INDEX))


def dialect_of(agent: str) -> Dialect:
    """The dialect of a server that introduces itself as `agent`."""
    return ARCADEDB if "arcadedb" in agent.casefold() else NEO4J


def is_conflict(code: str | None) -> bool:
    """Whether an error of either server means that another transaction came first, so that a repetition may succeed."""
    return code is not None and (code.startswith(_TRANSIENT) or code in {_MERGED_TWICE, _DELETED_MEANWHILE})
