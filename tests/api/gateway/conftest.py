"""The federated graph on the services of the tests: seven subgraphs, a supergraph and a real gateway.

One subgraph is a process, which can die; the others are served from here, as they would be by whoever registers them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.gateway.assembly import Federation, prepare, running
from api.gateway.registry import Subgraph
from api.gateway.subgraph import create_subgraph, sdl_of
from api.graphql.subgraphs import MODULES
from resources.errors import UnavailableError
from resources.servers import ports
from resources.servers.node import find_node
from resources.servers.process import RestartPolicy
from resources.tenants.permissions import Role
from tests.api.auth.people import People
from tests.api.harness import serving
from tests.api.knowledge import teach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.dependencies import Services
    from api.gateway.assembly import Place
    from resources.database.postgres import Database
    from resources.servers.node import Node
    from resources.settings import Settings

HERE = Path(__file__).parent
CLIENTS = Path(sys.prefix) / "graph-clients"
NAMES = [module.name for module in MODULES]
MORTAL = "knowledge"
"""The subgraph that is a process of its own."""
GHOST = "archive"
"""A subgraph that is registered, and was dead before the gateway began."""
_GHOST_SDL = """
schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"]) { query: Query }
type Query { archived: String }
type Workflow @key(fields: "id") { id: ID! archive: String }
"""
TENANT = "federated"
FOREVER = RestartPolicy(first_delay=3600.0, largest_delay=3600.0)
"""What dies stays dead, until the test itself starts it again."""


@dataclass
class Answer:
    """What came back."""

    status: int
    body: dict[str, Any]

    @property
    def data(self) -> Any:
        return self.body.get("data")

    @property
    def codes(self) -> set[tuple[str, str | None]]:
        """The errors, as code and service."""
        found = (error.get("extensions", {}) for error in self.body.get("errors", []))
        return {(str(one.get("code")), one.get("service")) for one in found}


@dataclass
class Graphs:
    """Both assemblies of the graph, on the same data."""

    unified: str
    federation: Federation
    token: str
    viewer: str

    def ask(self, url: str, query: str, variables: dict[str, Any] | None = None, *, token: str | None) -> Answer:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        body = {"query": query, "variables": variables or {}}
        answer = httpx.post(url, json=body, headers=headers, timeout=60.0, trust_env=False)
        return Answer(answer.status_code, answer.json())

    def through_gateway(self, query: str, variables: dict[str, Any] | None = None) -> Answer:
        return self.ask(self.federation.url, query, variables, token=self.token)

    def in_one(self, query: str, variables: dict[str, Any] | None = None) -> Answer:
        return self.ask(self.unified, query, variables, token=self.token)


@pytest.fixture(scope="session")
def node() -> Node:
    try:
        return find_node()
    except UnavailableError as error:
        pytest.skip(error.message)


@pytest.fixture(scope="session")
def place(node: Node) -> Place:
    """The gateway's packages, or why there are none."""
    try:
        return prepare(node)
    except UnavailableError as error:
        pytest.skip(error.message)


@dataclass(frozen=True)
class Scripts:
    """The programs beside this file, with their packages."""

    node: Node

    def run(self, name: str, asked: Any) -> Any:
        """What the program answers to `asked`."""
        (CLIENTS / name).write_text((HERE / name).read_text())
        done = subprocess.run(
            [str(self.node.program), name],
            cwd=CLIENTS,
            env=self.node.environment,
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def scripts(node: Node) -> Scripts:
    """Public clients and a second composer, or why there are none."""
    try:
        node.packages(HERE, CLIENTS)
    except UnavailableError as error:
        pytest.skip(error.message)
    return Scripts(node)


@pytest.fixture(scope="package")
def graphs(
    place: Place,
    services: Services,
    database: Database,
    api_settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
    database_url: str,
) -> Iterator[Graphs]:
    from resources.ai.minilm import MiniLmEmbedder
    from resources.content.postgres import PostgresChunkIndex

    people = People(services.identity, TENANT)
    teach(services, PostgresChunkIndex(database), MiniLmEmbedder(), tenant=TENANT)
    folder = tmp_path_factory.mktemp("gateway")
    settings = api_settings.model_copy(
        update={
            "data_dir": folder,
            "auth": api_settings.auth.model_copy(update={"mode": "required"}),
            "database": api_settings.database.model_copy(update={"url": SecretStr(database_url), "pool_size": 2}),
        }
    )
    with ExitStack() as stack:
        unified = stack.enter_context(serving(create_app(services, settings)))
        federation = Federation(
            settings,
            place,
            jwks_url=f"{unified}/.well-known/jwks.json",
            names=[MORTAL],
            folder=folder,
            policy=FOREVER,
        )
        dead = Subgraph(GHOST, f"http://127.0.0.1:{ports.free_port()}/graphql", _GHOST_SDL)
        federation.subgraphs.register(dead, now=datetime.now(UTC))
        for name in NAMES:
            if name != MORTAL:
                url = stack.enter_context(serving(create_subgraph(name, services, settings)))
                federation.subgraphs.register(Subgraph(name, f"{url}/graphql", sdl_of(name)), now=datetime.now(UTC))
        stack.enter_context(running(federation))
        token, viewer = people.pair(Role.ADMIN).access_token, people.pair(Role.VIEWER).access_token
        yield Graphs(f"{unified}/graphql", federation, token, viewer)
