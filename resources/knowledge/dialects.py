"""What the Bolt servers do differently, in one place.

ArcadeDB presents itself as `Neo4j/5.26.0 compatible (ArcadeDB 26.10.2)` and speaks the same Cypher but for the statements
that create full-text and vector indexes: those it takes as SQL over HTTP, while questions to these indexes go over Bolt. It
works optimistically: of two transactions that collide the later fails, where Neo4j lets it wait. Both report that with codes
that are worth a retry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DIMENSIONS: Final = 384
"""Of the vectors of concepts' names: those of the bundled model."""

_SCHEMA: Final = (
    "CREATE CONSTRAINT graph_key IF NOT EXISTS FOR (g:Graph) REQUIRE g.tenant IS UNIQUE",
    "CREATE CONSTRAINT change_key IF NOT EXISTS FOR (x:Change) REQUIRE (x.tenant, x.revision) IS UNIQUE",
    "CREATE CONSTRAINT document_key IF NOT EXISTS FOR (d:Document) REQUIRE (d.tenant, d.id) IS UNIQUE",
    "CREATE CONSTRAINT contribution_key IF NOT EXISTS FOR (k:Contribution) REQUIRE (k.tenant, k.id) IS UNIQUE",
    "CREATE CONSTRAINT concept_key IF NOT EXISTS FOR (c:Concept) REQUIRE (c.tenant, c.id) IS UNIQUE",
    "CREATE CONSTRAINT merge_key IF NOT EXISTS FOR (m:Merge) REQUIRE (m.tenant, m.id) IS UNIQUE",
    "CREATE INDEX merge_tenant IF NOT EXISTS FOR (m:Merge) ON (m.tenant)",
    "CREATE INDEX concept_tenant IF NOT EXISTS FOR (c:Concept) ON (c.tenant)",
    "CREATE INDEX document_tenant IF NOT EXISTS FOR (d:Document) ON (d.tenant)",
    "CREATE CONSTRAINT chunk_key IF NOT EXISTS FOR (h:Chunk) REQUIRE (h.tenant, h.id) IS UNIQUE",
    "CREATE CONSTRAINT resource_key IF NOT EXISTS FOR (r:LearningResource) REQUIRE (r.tenant, r.id) IS UNIQUE",
    "CREATE CONSTRAINT path_key IF NOT EXISTS FOR (p:LearningPath) REQUIRE (p.tenant, p.id) IS UNIQUE",
    "CREATE CONSTRAINT progress_key IF NOT EXISTS FOR (u:UserProgress) REQUIRE (u.tenant, u.user, u.concept) IS UNIQUE",
    "CREATE INDEX path_tenant IF NOT EXISTS FOR (p:LearningPath) ON (p.tenant)",
    "CREATE INDEX step_concept IF NOT EXISTS FOR (s:PathConcept) ON (s.tenant, s.concept)",
    "CREATE INDEX progress_concept IF NOT EXISTS FOR (u:UserProgress) ON (u.tenant, u.concept)",
)

# For CONTAINS, in Neo4j only.
_TEXT_INDEX: Final = "CREATE TEXT INDEX concept_folded IF NOT EXISTS FOR (c:Concept) ON (c.folded)"

_VECTORS_IN_SQL: Final = (
    "CREATE INDEX IF NOT EXISTS ON Concept (embedding) LSM_VECTOR "
    f'METADATA {{"dimensions": {DIMENSIONS}, "similarity": "COSINE"}}'
)
_VECTORS_IN_CYPHER: Final = (
    "CREATE VECTOR INDEX concept_vectors IF NOT EXISTS FOR (c:Concept) ON (c.embedding) OPTIONS {indexConfig: "
    f"{{`vector.dimensions`: {DIMENSIONS}, `vector.similarity_function`: 'cosine'}}}}"
)

# Two MERGEs of one new key: the constraint lets only one of them succeed, and the other finds the node when repeated.
_MERGED_TWICE: Final = "Neo.ClientError.Schema.ConstraintValidationFailed"
_DELETED_MEANWHILE: Final = "Neo.ClientError.Statement.EntityNotFound"
_TRANSIENT: Final = "Neo.TransientError."


@dataclass(frozen=True, slots=True)
class Dialect:
    """`schema` are the statements that create the constraints and indexes that are missing, `over_http` those in SQL.

    `words` and `vectors` are what the indexes over concepts' names and over their vectors are called.
    """

    name: str
    schema: tuple[str, ...]
    words: str
    vectors: str
    over_http: tuple[str, ...] = ()


ARCADEDB: Final = Dialect(
    "arcadedb",
    schema=_SCHEMA,
    words="Concept[folded]",
    vectors="Concept[embedding]",
    over_http=(
        "CREATE PROPERTY Concept.folded IF NOT EXISTS STRING",
        "CREATE INDEX IF NOT EXISTS ON Concept (folded) FULL_TEXT",
        "CREATE PROPERTY Concept.embedding IF NOT EXISTS ARRAY_OF_FLOATS",
        _VECTORS_IN_SQL,
    ),
)
NEO4J: Final = Dialect(
    "neo4j",
    schema=(
        *_SCHEMA,
        _TEXT_INDEX,
        "CREATE FULLTEXT INDEX concept_words IF NOT EXISTS FOR (c:Concept) ON EACH [c.folded]",
        _VECTORS_IN_CYPHER,
    ),
    words="concept_words",
    vectors="concept_vectors",
)


def dialect_of(agent: str) -> Dialect:
    """The dialect of a server that introduces itself as `agent`."""
    return ARCADEDB if "arcadedb" in agent.casefold() else NEO4J


def is_conflict(code: str | None) -> bool:
    """Whether an error of either server means that another transaction came first, so that a repetition may succeed."""
    return code is not None and (code.startswith(_TRANSIENT) or code in {_MERGED_TWICE, _DELETED_MEANWHILE})
