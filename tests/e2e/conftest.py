"""One platform for all tests of this folder: its real processes, on a PostgreSQL and an ArcadeDB that a test may stop.

Both servers are brought along (AIW_DATABASE__URL, AIW_GRAPH__URL), as in production, so that stopping one is the test's own
act and no supervisor's. The data folder has a space in its path. Tests share the tenant `default` and nothing else: each
hands in documents of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from api.client import ApiClient
from api.platform import Platform, as_environment
from resources.content.model import DocumentStatus
from resources.servers.arcadedb import EmbeddedArcadeDB
from resources.servers.postgres import EmbeddedPostgres
from resources.settings import ContentSettings, DatabaseSettings, GraphSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from resources.content.model import Document

MAX_BYTES = 600_000
ENDS = (DocumentStatus.READY, DocumentStatus.REJECTED)
PAGE = """# {title}

{title} is a way to grow vegetables. Vegetable beds need water, and a vegetable bed with good soil needs less water.
Good soil holds water; {title} begins with good soil, and every vegetable bed gains from it. The mark of this page is {mark}.
"""


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = 60.0) -> Any:
    """What `condition` gives, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(0.1)
    return found


@dataclass
class Stage:
    """The platform and its servers, with the verbs of its users."""

    settings: Settings
    postgres: EmbeddedPostgres
    arcadedb: EmbeddedArcadeDB
    platform: Platform

    @cached_property
    def api(self) -> ApiClient:
        """The API keeps its address when the platform is started again."""
        assert self.platform.state.api_url is not None
        return ApiClient(self.platform.state.api_url)

    @cached_property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.platform.state.api_url or "", trust_env=False, timeout=30)

    @cached_property
    def ui(self) -> httpx.Client:
        return httpx.Client(base_url=self.platform.state.ui_url or "", trust_env=False, timeout=60)

    def close(self) -> None:
        for client in (self.api, self.http, self.ui):
            client.close()
        self.platform.stop()

    def restart(self) -> None:
        """Stop all processes of the platform, and start it again on its data."""
        self.platform.stop()
        self.platform = Platform(self.settings)
        self.platform.start()

    def aiw(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, in a process of its own."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIW_", "DAGSTER_"))}
        return subprocess.run(
            [sys.executable, "-c", "from api.cli import main; main()", *arguments],
            env=inherited | as_environment(self.settings),
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    def graphql(self, query: str, **variables: Any) -> Any:
        """Ask Dagster's webserver, as its UI does."""
        told = self.ui.post("/graphql", json={"query": query, "variables": variables}).json()
        if "errors" in told and "server closed the connection" in json.dumps(told) and not query.startswith("mutation"):
            # Another test has killed the database: the first use of a connection of before finds that out.
            told = self.ui.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in told, json.dumps(told["errors"])[:2000]
        return told["data"]

    def hand_in(self, title: str, **declared: Any) -> str:
        """A page that no other test has; returns the document's id."""
        content = PAGE.format(title=title, mark=uuid.uuid4().hex).encode()
        return self.api.upload(content, name=f"{title}-{uuid.uuid4().hex[:6]}.md", **declared).document.id

    def ends_of(self, documents: Collection[str], *, seconds: float = 60.0) -> dict[str, Document]:
        """Each document, once it is ready or rejected."""
        waiting = set(documents)
        found: dict[str, Document] = {}

        def all_ended() -> bool:
            for key in sorted(waiting):
                document = self.api.document(key)
                if document.status in ENDS:
                    found[key] = document
                    waiting.discard(key)
            return not waiting

        wait_for(all_ended, f"the end of {len(waiting)} documents", seconds=seconds)
        return found

    def ready(self, *documents: str, seconds: float = 60.0) -> None:
        """Wait until all of them are ready. One that is rejected fails the test."""
        wrong = {
            key: document.rejection_reason
            for key, document in self.ends_of(documents, seconds=seconds).items()
            if document.status is not DocumentStatus.READY
        }
        assert wrong == {}

    def events_of(self, document: str) -> list[str]:
        """Types of the events that name the document, in order."""
        found: list[str] = []
        after = 0
        while (page := self.api.read_events(after=after, limit=1000)).events:
            after = page.next_after
            found += [
                event.type
                for event in page.events
                if document in (event.data.get("document_id"), event.data.get("partition"))
            ]
        return found

    def runs_of(self, document: str) -> list[Mapping[str, Any]]:
        """Dagster's runs of the document's partition, the newest first."""
        query = """query($f: RunsFilter!) { runsOrError(filter: $f) { ... on Runs { results { id status } } } }"""
        told = self.graphql(query, f={"tags": [{"key": "dagster/partition", "value": document}]})
        runs: list[Mapping[str, Any]] = told["runsOrError"]["results"]
        return runs


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The platform, up and empty."""
    root: Path = tmp_path_factory.mktemp("e2e") / "a folder with spaces"
    postgres = EmbeddedPostgres(root / "postgres")
    arcadedb = EmbeddedArcadeDB(root / "arcadedb")
    stage = None
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith(("AIW_", "DAGSTER_"))]:
            environment.delenv(name)
        try:
            postgres.start()
            arcadedb.start()
            endpoint = arcadedb.endpoint
            settings = Settings(
                _env_file=None,
                data_dir=root / "platform",
                database=DatabaseSettings(url=SecretStr(postgres.url), connect_timeout=2.0),
                graph=GraphSettings(
                    url=SecretStr(endpoint.url),
                    user=endpoint.user,
                    password=SecretStr(endpoint.password),
                    database=endpoint.database,
                    http_url=endpoint.http_url,
                ),
                content=ContentSettings(max_bytes=MAX_BYTES),
            )
            stage = Stage(settings, postgres, arcadedb, Platform(settings))
            stage.platform.start()
            yield stage
        finally:
            if stage is not None:
                stage.close()
            arcadedb.stop()
            postgres.stop()
