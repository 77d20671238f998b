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
from itertools import groupby
from operator import itemgetter
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
from resources.knowledge.changelog import MAX_CHANGES, Change, changes_of
from resources.knowledge.contribution import contribution_of, roots_of, support_of
from resources.knowledge.dialects import dialect_of, is_conflict
from resources.knowledge.model import ConceptView, Edge, EdgeType, Extraction, GraphCounts, Merge, concept_id
from resources.knowledge.state import GraphState, Scores
from resources.knowledge.weaving import BATCH, Row, concept_of, put_merge, replace, retract

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from resources.knowledge.model import Concept, Support
    from resources.knowledge.state import Changes, EdgeKey
    from resources.resilience.breaker import CircuitBreaker

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.1
_CONNECTION_TRIES: Final = 2


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
        contribution_of(extraction)
        self._write(lambda tx: replace(tx, extraction, tenant=tenant))

    def retract(self, document_id: str, *, tenant: str) -> None:
        """Remove the document's contribution, and whatever no other document supports, at once."""
        self._write(lambda tx: retract(tx, document_id, tenant=tenant))

    def put_merge(self, merge: Merge, *, tenant: str) -> None:
        """Keep a decision in the log of merges, in place of the one with its id, and make the graph agree with it, at once.

        Raises InvalidInputError for a merge that would make a concept stand for itself.
        """
        self._write(lambda tx: put_merge(tx, merge, tenant=tenant))

    # --- questions -------------------------------------------------------------------------------------------------

    def concept(self, concept_id: str, *, tenant: str) -> ConceptView:
        """One concept with its neighbours. Raises NotFoundError."""
        rows = self._read(queries.CONCEPT, tenant=tenant, id=concept_id)
        if not rows:
            raise NotFoundError(f"There is no concept {concept_id!r}.", code="concept_not_found")
        return ConceptView(
            concept=concept_of(rows[0]),
            requires=tuple(sorted(rows[0]["requires"])),
            required_by=tuple(sorted(rows[0]["required_by"])),
            related=tuple(sorted(rows[0]["related"])),
            documents=tuple(self.documents_of([concept_id], tenant=tenant)[concept_id]),
            part_of=tuple(sorted(rows[0]["part_of"])),
            parts=tuple(sorted(rows[0]["parts"])),
        )

    def find(self, text: str, *, tenant: str, limit: int = 10) -> Sequence[Concept]:
        """Concepts whose name contains `text` (case-insensitive): exact matches first, then shorter names."""
        rows = self._read(queries.FIND, tenant=tenant, folded=text.casefold(), id=concept_id(text), limit=limit)
        return [concept_of(row) for row in rows]

    def concepts(self, *, tenant: str) -> Sequence[Concept]:
        """All concepts, in order of id."""
        rows = self._read(queries.CONCEPTS, tenant=tenant)
        return sorted((concept_of(row) for row in rows), key=lambda concept: concept.id)

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

    def support(
        self, source: str, target: str | None = None, type: EdgeType | None = None, *, tenant: str, limit: int = 100
    ) -> Sequence[Support]:
        """The documents that support the concept `source`, or the edge from it to `target`, in order of id."""
        whole = target is None or type is None
        query = queries.SUPPORTING_CONCEPT if target is None or type is None else queries.SUPPORTING_EDGE[type]
        ends = {"source": source} if whole else {"source": source, "target": target}
        rows = sorted(self._read(query, tenant=tenant, limit=limit, **ends), key=lambda row: str(row["id"]))
        said = (Extraction.model_validate_json(row["extraction"]) for row in rows)
        roots = self._roots(tenant)
        found = (support_of(extraction, source, target, type, roots=roots) for extraction in said)
        return [support for support in found if support is not None]

    def supports(self, concept_ids: Collection[str], *, tenant: str, limit: int = 100) -> dict[str, list[Support]]:
        """For each concept the documents that support it, in order of id, `limit` of them at most."""
        found: dict[str, list[Support]] = {concept: [] for concept in concept_ids}
        pairs = sorted(
            (row["concept"], row["document"])
            for row in self._read(queries.SUPPORTING_CONCEPTS, tenant=tenant, ids=list(found))
        )
        kept = [(key, document) for key, several in groupby(pairs, itemgetter(0)) for _, document in [*several][:limit]]
        documents = sorted({document for _, document in kept})
        rows = self._read(queries.CONTRIBUTIONS, tenant=tenant, ids=documents) if documents else []
        said = {row["id"]: Extraction.model_validate_json(row["extraction"]) for row in rows}
        roots = self._roots(tenant)
        for key, document in kept:
            support = support_of(said[document], key, roots=roots) if document in said else None
            if support is not None:
                found[key].append(support)
        return found

    def merges(self, *, tenant: str) -> Sequence[Merge]:
        """The log of merges, the newest decision first."""
        rows = self._read(queries.MERGES, tenant=tenant)
        found = [Merge.model_validate_json(row["merge"]) for row in rows]
        return sorted(found, key=lambda merge: (merge.at, merge.id), reverse=True)

    def revision(self, *, tenant: str) -> int:
        """A number that grows by one with each change of the tenant's graph; 0 before the first."""
        rows = self._read(queries.REVISION, tenant=tenant)
        return int(rows[0]["revision"]) if rows else 0

    def state(self, *, tenant: str) -> GraphState:
        """The whole graph as plain data. It is at least as new as the revision it names, which is read first."""
        revision = self.revision(tenant=tenant)
        concepts = {row["id"]: concept_of(row) for row in self._read(queries.CONCEPTS, tenant=tenant)}
        edges = {
            (row["source"], row["target"], kind): row["weight"]
            for kind, query in queries.EDGES.items()
            for row in self._read(query, tenant=tenant)
        }
        mentions = _mentions(self._read(queries.MENTIONS, tenant=tenant))
        return GraphState(revision, concepts, edges, mentions, self._roots(tenant))

    def changes(self, *, since: int, tenant: str) -> Changes | None:
        """What was touched after that revision. None when that is not known any more, or too much to be told one by one."""
        current = self.revision(tenant=tenant)
        wanted = list(range(since + 1, current + 1))
        if len(wanted) > MAX_CHANGES:
            return None
        rows = self._read(queries.CHANGES, tenant=tenant, revisions=wanted) if wanted else []
        kept = [Change.from_json(row["revision"], row["touched"]) for row in rows]
        return changes_of(kept, since=since, current=current)

    def part(self, concepts: Collection[str], edges: Collection[EdgeKey], *, tenant: str) -> GraphState:
        """The named concepts and edges as they are now. Those that are not there any more are left out."""
        revision = self.revision(tenant=tenant)
        ids = [{"id": key} for key in sorted(concepts)]
        found = {row["id"]: concept_of(row) for row in self._each(queries.SOME_CONCEPTS, ids, tenant=tenant)}
        weights = {
            (row["source"], row["target"], kind): row["weight"]
            for kind, query in queries.SOME_EDGES.items()
            for row in self._each(
                query, [{"source": s, "target": t} for s, t, k in sorted(edges) if k is kind], tenant=tenant
            )
        }
        said = self._each(queries.MENTIONS_OF, ids, tenant=tenant)
        return GraphState(revision, found, weights, _mentions(said), self._roots(tenant))

    def write_scores(self, scores: Mapping[str, Scores], *, tenant: str) -> None:
        """Keep what was computed about concepts beside them. Unknown concepts are left out."""
        rows = [{"id": key, "scores": value.model_dump_json()} for key, value in sorted(scores.items())]
        for start in range(0, len(rows), BATCH):
            self._read(queries.WRITE_SCORES, access=neo4j.WRITE_ACCESS, tenant=tenant, rows=rows[start : start + BATCH])

    def scores(self, concept_ids: Collection[str], *, tenant: str) -> dict[str, Scores]:
        """What was last computed about these concepts."""
        rows = self._each(queries.SCORES, [{"id": key} for key in sorted(set(concept_ids))], tenant=tenant)
        return {row["id"]: Scores.model_validate_json(row["scores"]) for row in rows}

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

    def _roots(self, tenant: str) -> dict[str, str]:
        return roots_of(self.merges(tenant=tenant))

    def _each(self, query: str, rows: list[Row], *, tenant: str) -> list[Row]:
        """What the query returns for all rows, which it is given in batches; nothing is asked when there are none."""
        return [
            found
            for start in range(0, len(rows), BATCH)
            for found in self._read(query, tenant=tenant, rows=rows[start : start + BATCH])
        ]

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


def _mentions(rows: list[Row]) -> dict[str, dict[str, float]]:
    mentions: dict[str, dict[str, float]] = {}
    for row in rows:
        mentions.setdefault(row["concept"], {})[row["document"]] = row["weight"]
    return mentions


def _unavailable(what: str) -> UnavailableError:
    return UnavailableError(
        f"The graph store {what}. Check that it runs and that AIW_GRAPH__URL points to it.",
        dependency="graph",
    )
