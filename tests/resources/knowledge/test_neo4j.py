"""The store over Bolt on the real server, and what it does when that server is not there."""

from __future__ import annotations

import multiprocessing
import socket
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from neo4j.exceptions import ClientError, TransientError

from resources.errors import ConflictError, UnavailableError, UpstreamError
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.model import EdgeType, GraphCounts
from resources.knowledge.neo4j import BoltGraphStore
from tests.contracts.graph.given import PANDAS, contents
from tests.contracts.graph_store import GraphStoreContract
from tests.resources.knowledge.strategies import Decide, Learn, Retract, Weave, changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.knowledge.store import GraphStore
    from resources.settings import GraphSettings


def connect(graph_settings: GraphSettings, **changes: Any) -> BoltGraphStore:
    assert graph_settings.url is not None
    values: dict[str, Any] = {
        "url": graph_settings.url.get_secret_value(),
        "user": graph_settings.user,
        "password": graph_settings.password.get_secret_value(),
        "database": graph_settings.database,
        "http_url": graph_settings.http_url,
    }
    return BoltGraphStore(**values | changes)


@pytest.fixture(scope="module")
def bolt(graph_settings: GraphSettings) -> Iterator[BoltGraphStore]:
    store = connect(graph_settings)
    store.prepare()
    yield store
    store.close()


class TestBoltGraphStore(GraphStoreContract):
    @pytest.fixture
    def store(self, bolt: BoltGraphStore) -> GraphStore:
        return bolt


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(changes(), max_size=6))
def test_any_history_equals_a_rebuild_from_scratch(
    bolt: BoltGraphStore, history: list[Weave | Retract | Decide | Learn]
) -> None:
    tenant = f"t-{uuid4().hex[:10]}"
    rebuilt = MemoryGraphStore()
    for change in history:
        change.apply(bolt, tenant)
        change.apply(rebuilt, tenant)
    assert contents(bolt, tenant) == contents(rebuilt, tenant)


def _weave_in_fork(graph_settings: GraphSettings, tenant: str, document: str) -> None:
    store = connect(graph_settings)
    for revision in range(3):
        changed = PANDAS.model_copy(update={"document_id": document, "sha256": str(revision) * 64})
        store.weave(changed, tenant=tenant)
    store.close()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_processes_weave_at_the_same_time(bolt: BoltGraphStore, graph_settings: GraphSettings, tenant: str) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        futures = [pool.submit(_weave_in_fork, graph_settings, tenant, f"{n}.md") for n in range(4)]
        for future in futures:
            future.result(timeout=100)
    assert bolt.counts(tenant=tenant) == GraphCounts(concepts=3, edges=2, documents=4)


_parent: BoltGraphStore | None = None


def _count_in_fork(tenant: str) -> GraphCounts:
    assert _parent is not None
    counts = _parent.counts(tenant=tenant)
    _parent.close()
    return counts


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(bolt: BoltGraphStore, tenant: str) -> None:
    global _parent  # noqa: PLW0603  a forked child inherits globals, nothing else
    _parent = bolt
    bolt.weave(PANDAS, tenant=tenant)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        assert pool.submit(_count_in_fork, tenant).result(timeout=60).documents == 1
    assert bolt.counts(tenant=tenant).documents == 1


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    store = BoltGraphStore(f"bolt://127.0.0.1:{port}", user="u", password="p", database="graph", connect_timeout=1)
    for verb in (store.ping, store.prepare, lambda: store.weave(PANDAS, tenant="t")):
        with pytest.raises(UnavailableError) as caught:
            verb()
        assert caught.value.dependency == "graph"
        assert caught.value.retryable
    store.close()


def test_a_server_that_hangs_up_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def hang_up() -> None:
            while not stop.is_set():
                connection, _ = server.accept()
                connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        store = BoltGraphStore(f"bolt://127.0.0.1:{port}", user="u", password="p", database="g", connect_timeout=1)
        with pytest.raises(UnavailableError):
            store.ping()
        store.close()
        stop.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join(5)


def test_a_server_that_says_nothing_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        store = BoltGraphStore(f"bolt://127.0.0.1:{port}", user="u", password="p", database="g", connect_timeout=0.2)
        with pytest.raises(UnavailableError):
            store.ping()
        store.close()


def test_a_wrong_password_is_unavailable_and_not_printed(graph_settings: GraphSettings) -> None:
    store = connect(graph_settings, password="not-the-password")
    with pytest.raises(UnavailableError, match="password may be wrong") as caught:
        store.ping()
    assert "not-the-password" not in str(caught.value)
    store.close()


def test_the_store_works_again_after_it_was_closed(bolt: BoltGraphStore, tenant: str) -> None:
    bolt.close()
    assert bolt.counts(tenant=tenant).documents == 0


def test_a_weave_that_fails_half_way_leaves_the_graph_as_it_was(
    bolt: BoltGraphStore, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bolt.weave(PANDAS, tenant=tenant)
    before = contents(bolt, tenant)
    monkeypatch.setattr("resources.knowledge.queries.SPEAK", "THIS IS NOT CYPHER")
    monkeypatch.setattr("resources.knowledge.queries.ADD_EDGES", dict.fromkeys(EdgeType, "THIS IS NOT CYPHER"))
    changed = PANDAS.model_copy(update={"sha256": "1" * 64, "edges": PANDAS.edges[:1], "document_id": "second"})
    with pytest.raises(UpstreamError):
        bolt.weave(changed, tenant=tenant)
    assert contents(bolt, tenant) == before


def _error(kind: type[ClientError | TransientError], code: str) -> Exception:
    error = kind("scripted")
    error._neo4j_code = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        _error(TransientError, "Neo.TransientError.Transaction.DeadlockDetected"),
        _error(ClientError, "Neo.ClientError.Schema.ConstraintValidationFailed"),
    ],
)
def test_a_conflict_is_repeated_until_time_is_up(bolt: BoltGraphStore, error: Exception) -> None:
    failures = [error, error, error]

    def contended() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert bolt._run(contended) == "done"
    impatient = BoltGraphStore("bolt://127.0.0.1:1", user="", password="", database="", conflict_timeout=0)
    failures += [error] * 4  # work that takes long is not given up at its first conflict
    assert impatient._run(contended) == "done"
    failures += [error] * 100
    with pytest.raises(ConflictError) as caught:
        impatient._run(contended)
    assert caught.value.code == "graph_contended"
    assert caught.value.retryable
