"""The store over Bolt on a real Neo4j, which `make test-neo4j` gets; skipped where it is not asked for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.knowledge.dialects import NEO4J, dialect_of
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.neo4j import BoltGraphStore
from resources.servers import ports
from tests.contracts.graph.given import contents
from tests.contracts.graph_store import GraphStoreContract
from tests.resources.knowledge.strategies import Decide, Learn, Retract, Weave, changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.knowledge.store import GraphStore

CLASSPATH = os.environ.get("AIW_TEST_NEO4J")
pytestmark = pytest.mark.skipif(CLASSPATH is None, reason="`make test-neo4j` gets a Neo4j and runs these")

OPENED = ("java.nio", "java.io", "java.lang", "java.util.concurrent", "sun.nio.ch")


@pytest.fixture(scope="module")
def neo4j_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Neo4j of this module's own. It ends with its standard input, also when this process is killed."""
    assert CLASSPATH is not None
    jars = Path(CLASSPATH).read_text(encoding="utf-8").strip()
    (port,) = ports.free_ports(1)
    command = [
        "java",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED),
        "-cp",
        jars,
        str(Path(__file__).parent / "neo4j_server" / "Server.java"),
        str(tmp_path_factory.mktemp("neo4j")),
        str(port),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        said = iter(server.stdout.readline, "")
        assert any(line.strip() == "ready" for line in said), "Neo4j ended before it was ready"
        yield f"bolt://{ports.LOOPBACK}:{port}"
        server.stdin.close()


@pytest.fixture(scope="module")
def bolt(neo4j_url: str) -> Iterator[BoltGraphStore]:
    store = BoltGraphStore(neo4j_url, user="neo4j", password="", database="neo4j", connect_timeout=30)
    store.prepare()
    yield store
    store.close()


class TestRealNeo4j(GraphStoreContract):
    @pytest.fixture
    def store(self, bolt: BoltGraphStore) -> GraphStore:
        return bolt


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
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


def test_it_is_told_from_arcadedb(bolt: BoltGraphStore) -> None:
    assert dialect_of(bolt._open().get_server_info().agent) is NEO4J
