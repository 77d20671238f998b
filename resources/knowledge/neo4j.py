"""The graph store over Bolt, with the official neo4j driver: for ArcadeDB (embedded) and Neo4j.

One `weave` is one transaction of about six short statements. It begins by writing the tenant's `Graph` node, so that
changes of one tenant happen one after the other: Neo4j lets the second wait, ArcadeDB lets it fail, and it is repeated
here. That makes reading what the document supported before, and deciding what to do about it in Python, exact.

The driver's own retries start with a pause of a second and leave ConstraintError out, which ArcadeDB raises when two
transactions merge the same new key. The loop here knows both servers' codes and pauses for milliseconds.
"""

from __future__ import annotations

import os
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import neo4j
from neo4j.exceptions import (
    AuthError,
    ConfigurationError,
    DriverError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
)

from resources.errors import ConflictError, NotFoundError, UnavailableError, UpstreamError
from resources.knowledge import queries
from resources.knowledge.contribution import NOTHING, Support, contribution_of, delta
from resources.knowledge.dialects import dialect_of, is_conflict
from resources.knowledge.model import Concept, ConceptView, Edge, EdgeType, Extraction, GraphCounts, concept_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from resources.knowledge.contribution import Contribution
    from resources.resilience.breaker import CircuitBreaker

Row = dict[str, Any]
T = TypeVar("T")

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.1
_CONNECTION_TRIES: Final = 2
# ArcadeDB keeps a statement's rows, each with all parameters, in a part of its heap: long lists must come in pieces.
_BATCH: Final = 500


class BoltGraphStore:
    """A GraphStore on a Bolt server. Safe to share between threads; a forked child opens connections of its own."""

    def __init__(
        self,
        url: str,
        *,
        user: str,
        password: str,
        database: str,
        pool_size: int = 8,
        connect_timeout: float = 5.0,
        conflict_timeout: float = 30.0,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._url = url
        self._auth = (user, password)
        self._database = database
        self._pool_size = pool_size
        self._connect_timeout = connect_timeout
        self._conflict_timeout = conflict_timeout
        self._breaker = breaker
        self._driver: neo4j.Driver | None = None
        self._owner = 0
        self._opening = threading.Lock()

    # --- changes ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Create constraints and indexes where they are missing."""
        dialect = self._run(lambda: dialect_of(self._open().get_server_info().agent))
        for statement in dialect.schema:
            self._read(statement, access=neo4j.WRITE_ACCESS)

    def weave(self, extraction: Extraction, *, tenant: str) -> None:
        """Make `extraction` the document's whole contribution, at once. An unchanged one costs two round trips.

        Raises InvalidInputError for an extraction whose parts do not fit together, ConflictError when other writers
        kept coming first, and UnavailableError.
        """
        new = contribution_of(extraction)
        self._write(lambda tx: _replace(tx, extraction, new, tenant=tenant))

    def retract(self, document_id: str, *, tenant: str) -> None:
        """Remove the document's contribution, and whatever no other document supports, at once."""
        self._write(lambda tx: _retract(tx, document_id, tenant=tenant))

    # --- questions -------------------------------------------------------------------------------------------------

    def concept(self, concept_id: str, *, tenant: str) -> ConceptView:
        """One concept with its neighbours. Raises NotFoundError."""
        rows = self._read(queries.CONCEPT, tenant=tenant, id=concept_id)
        if not rows:
            raise NotFoundError(f"There is no concept {concept_id!r}.", code="concept_not_found")
        return ConceptView(
            concept=_concept(rows[0]),
            requires=tuple(sorted(rows[0]["requires"])),
            required_by=tuple(sorted(rows[0]["required_by"])),
            related=tuple(sorted(rows[0]["related"])),
            documents=tuple(self.documents_of([concept_id], tenant=tenant)[concept_id]),
        )

    def find(self, text: str, *, tenant: str, limit: int = 10) -> Sequence[Concept]:
        """Concepts whose name contains `text` (case-insensitive): exact matches first, then shorter names."""
        rows = self._read(queries.FIND, tenant=tenant, folded=text.casefold(), id=concept_id(text), limit=limit)
        return [_concept(row) for row in rows]

    def concepts(self, *, tenant: str) -> Sequence[Concept]:
        """All concepts, in order of id."""
        rows = self._read(queries.CONCEPTS, tenant=tenant)
        return sorted((_concept(row) for row in rows), key=lambda concept: concept.id)

    def edges(self, *, tenant: str, type: EdgeType | None = None) -> Sequence[Edge]:
        """All edges, in order of source, target and type; the weight is the highest that any document gave."""
        edges = [
            Edge(source=row["source"], target=row["target"], type=kind, weight=row["weight"])
            for kind in EdgeType
            if type is None or kind is type
            for row in self._read(queries.EDGES[kind], tenant=tenant)
        ]
        return sorted(edges, key=lambda edge: (edge.source, edge.target, edge.type))

    def documents_of(self, concept_ids: Collection[str], *, tenant: str) -> dict[str, list[str]]:
        """For each concept the documents that mention it, the one most about it first."""
        documents: dict[str, list[str]] = {concept: [] for concept in concept_ids}
        rows = self._read(queries.DOCUMENTS_OF, tenant=tenant, ids=list(documents))
        for row in sorted(rows, key=lambda row: (-row["weight"], row["document"])):
            documents[row["concept"]].append(row["document"])
        return documents

    def counts(self, *, tenant: str) -> GraphCounts:
        """How large the tenant's graph is."""

        def total(query: str) -> int:
            return int(self._read(query, tenant=tenant)[0]["total"])

        return GraphCounts(
            concepts=total(queries.COUNT_CONCEPTS),
            edges=sum(total(query) for query in queries.COUNT_EDGES.values()),
            documents=total(queries.COUNT_DOCUMENTS),
        )

    def ping(self) -> float:
        """Seconds that one round trip takes. Also asked while the server is left alone: so one hears that it is back."""
        self._open()
        started = time.perf_counter()
        self._tried(self._reading(queries.PING))
        return time.perf_counter() - started

    def close(self) -> None:
        """Close the connections of this process. The next use opens new ones."""
        if self._driver is not None and self._owner == os.getpid():
            self._driver.close()
        self._driver = None

    # --- the driver ------------------------------------------------------------------------------------------------

    def _open(self) -> neo4j.Driver:
        if self._owner != os.getpid():
            # After a fork: the parent's sockets are not ours, and its lock may have been held.
            self._opening = threading.Lock()
            self._driver = None
            self._owner = os.getpid()
        with self._opening:
            if self._driver is None:
                self._driver = neo4j.GraphDatabase.driver(
                    self._url,
                    auth=self._auth,
                    connection_timeout=self._connect_timeout,
                    connection_acquisition_timeout=self._connect_timeout,
                    max_connection_pool_size=self._pool_size,
                    liveness_check_timeout=0,  # of a server that hangs we hear after connect_timeout, not never
                    notifications_min_severity="OFF",
                    telemetry_disabled=True,
                    user_agent="aiw",
                )
            return self._driver

    def _read(self, query: str, *, access: str = neo4j.READ_ACCESS, **parameters: Any) -> list[Row]:
        return self._run(self._reading(query, access=access, **parameters))

    def _reading(self, query: str, *, access: str = neo4j.READ_ACCESS, **parameters: Any) -> Callable[[], list[Row]]:
        def read() -> list[Row]:
            with self._open().session(database=self._database, default_access_mode=access) as session:
                return session.run(query, parameters).data()

        return read

    def _write(self, change: Callable[[neo4j.Transaction], None]) -> None:
        """One transaction, committed unless `change` rolled it back."""

        def write() -> None:
            with (
                self._open().session(database=self._database) as session,
                session.begin_transaction() as transaction,
            ):
                change(transaction)
                if not transaction.closed():
                    transaction.commit()

        self._run(write)

    def _run(self, work: Callable[[], T]) -> T:
        """As `_tried`, unless the server did not answer for some time and is left alone."""
        if self._breaker is None:
            return self._tried(work)
        return self._breaker.call(lambda: self._tried(work), failed=lambda error: isinstance(error, UnavailableError))

    def _tried(self, work: Callable[[], T]) -> T:
        """The result of `work`, repeated as long as others come first, and once for a connection that went stale.

        Safe because every change may be made twice: what it changes is decided anew from what is there.
        """
        deadline = time.monotonic() + self._conflict_timeout
        pause = _FIRST_PAUSE
        connections = 0
        while True:
            try:
                return work()
            except (AuthError, ConfigurationError) as error:
                raise _unavailable("refuses the connection; user name and password may be wrong") from error
            except (ServiceUnavailable, SessionExpired, OSError) as error:
                connections += 1
                if connections >= _CONNECTION_TRIES:
                    raise _unavailable("cannot be reached") from error
            except Neo4jError as error:
                if not is_conflict(error.code):
                    raise UpstreamError(
                        f"The graph store refused a statement: {error.message}", dependency="graph", reason=error.code
                    ) from error
                if time.monotonic() > deadline:
                    raise ConflictError(
                        f"Other writers of the graph came first for {self._conflict_timeout:g} s. Try again later.",
                        code="graph_contended",
                        retryable=True,
                    ) from error
                time.sleep(random.uniform(0, pause))  # noqa: S311  jitter, not a secret
                pause = min(pause * 2, _LONGEST_PAUSE)
            except DriverError as error:
                raise _unavailable("has no free connection, or broke one") from error


def _unavailable(what: str) -> UnavailableError:
    return UnavailableError(
        f"The graph store {what}. Check that it runs and that AIW_GRAPH__URL points to it.",
        dependency="graph",
    )


def _replace(tx: neo4j.Transaction, extraction: Extraction, new: Contribution, *, tenant: str) -> None:
    key = {"tenant": tenant, "document": extraction.document_id}
    saved = tx.run(queries.BEGIN, key).single(strict=True)["extraction"]
    former = Extraction.model_validate_json(saved) if saved is not None else None
    if former == extraction:
        tx.rollback()
        return
    tx.run(
        queries.SAVE_DOCUMENT,
        key,
        sha256=extraction.sha256,
        title=extraction.title,
        extraction=extraction.model_dump_json(),
    )
    _apply(tx, contribution_of(former) if former else NOTHING, new, **key)


def _retract(tx: neo4j.Transaction, document_id: str, *, tenant: str) -> None:
    key = {"tenant": tenant, "document": document_id}
    saved = tx.run(queries.BEGIN, key).single(strict=True)["extraction"]
    if saved is None:
        tx.rollback()
        return
    _apply(tx, contribution_of(Extraction.model_validate_json(saved)), NOTHING, **key)
    tx.run(queries.DELETE_DOCUMENT, key)


def _apply(tx: neo4j.Transaction, former: Contribution, new: Contribution, *, tenant: str, document: str) -> None:
    """Make the document's contribution `new` where it was `former`, and nothing else."""
    key = {"tenant": tenant, "document": document}
    change = delta(former, new)
    for kind, query in queries.REMOVE_EDGES.items():
        _each(tx, query, [{"source": s, "target": t} for s, t, k in sorted(change.removed_edges) if k is kind], **key)
    _each(tx, queries.REMOVE_SUPPORTS, [{"id": concept} for concept in sorted(change.removed_supports)], **key)
    added = [_support_row(support) for support in change.added_supports.values()]
    spoken: list[Row] = []
    for found in _each(tx, queries.ADD_SUPPORTS, added, **key):
        support = change.added_supports[found["id"]]
        if found["voice"] != document and support.rank(document) < _support(found).rank(found["voice"]):
            spoken.append(_support_row(support) | {"voice": document})
    heirs, orphans = _succession(tx, change.removed_supports, **key)
    _each(tx, queries.DELETE_CONCEPTS, orphans, tenant=tenant)
    _each(tx, queries.SPEAK, spoken + heirs, tenant=tenant)
    for kind, query in queries.ADD_EDGES.items():
        rows = [{"source": s, "target": t, "weight": w} for (s, t, k), w in change.added_edges.items() if k is kind]
        _each(tx, query, rows, **key)


def _succession(
    tx: neo4j.Transaction, removed: Iterable[str], *, tenant: str, document: str
) -> tuple[list[Row], list[Row]]:
    """Who speaks for the concepts that `document` spoke for, and the concepts that nobody supports any more."""
    supports: dict[str, dict[str, Support]] = {}
    ids = [{"id": concept} for concept in sorted(removed)]
    for row in _each(tx, queries.SUPPORTS_OF_SPOKEN, ids, tenant=tenant, document=document):
        by_document = supports.setdefault(row["id"], {})
        if row["document"] is not None:
            by_document[row["document"]] = _support(row)
    heirs = []
    for by_document in supports.values():
        if by_document:
            voice, support = min(by_document.items(), key=lambda item: item[1].rank(item[0]))
            heirs.append(_support_row(support) | {"voice": voice})
    return heirs, [{"id": concept} for concept, by_document in supports.items() if not by_document]


def _each(tx: neo4j.Transaction, query: str, rows: list[Row], **key: Any) -> list[Row]:
    """What the query returns for all rows, which it is given in batches; nothing is sent when there are none."""
    return [
        found
        for start in range(0, len(rows), _BATCH)
        for found in tx.run(query, key, rows=rows[start : start + _BATCH]).data()
    ]


def _support_row(support: Support) -> Row:
    concept = support.concept
    return {
        "id": concept.id,
        "name": concept.name,
        "folded": concept.name.casefold(),
        "kind": concept.kind,
        "description": concept.description,
        "difficulty": concept.difficulty,
        "weight": support.weight,
    }


def _support(row: Row) -> Support:
    return Support(_concept(row), row["weight"])


def _concept(row: Row) -> Concept:
    return Concept(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        description=row["description"],
        difficulty=row["difficulty"],
    )
