"""Workflows that come with the platform, run with its own stores and without a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from assets.nodes import NODES
from assets.partitions import TENANT_TAG
from definitions.builder import build_job
from definitions.workflows import SPECS
from resources.content.intake import DocumentIntake
from resources.content.model import Chunk, DocumentSource, sha256_of
from resources.content.postgres import PostgresChunkIndex, PostgresDocumentStore
from resources.events.postgres import PostgresEventStore
from resources.knowledge.model import Concept, Extraction
from resources.knowledge.neo4j import BoltGraphStore
from resources.prompts.bundled import bundled_prompts
from resources.prompts.engine import PromptEngine
from resources.prompts.library import PromptLibrary
from resources.settings import ContentSettings
from resources.workflows.expressions import Expressions
from resources.workflows.loading import load_folder
from resources.workflows.validation import check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resources.ai.embedder import Embedder
    from resources.database.postgres import Database
    from resources.settings import GraphSettings
    from resources.workflows.spec import WorkflowSpec

PASSAGES = (
    "To make tea, boil fresh water and pour it over the leaves. Green tea wants water of eighty degrees.",
    "An invoice that was charged twice is refunded within five days. Write to the billing desk with its number.",
    "A relational database keeps rows in tables and answers queries.",
)


@dataclass
class Run:
    """Runs a workflow of the platform on behalf of the tenant."""

    specs: Mapping[str, WorkflowSpec]
    stores: Mapping[str, Any]
    tenant: str
    instance: dg.DagsterInstance

    def __call__(self, workflow: str, /, **inputs: Any) -> dg.ExecuteInProcessResult:
        resources = {name: dg.ResourceDefinition.hardcoded_resource(value) for name, value in self.stores.items()}
        job = build_job(
            check(self.specs[workflow], NODES, lookup=lambda wanted, _: (0, self.specs[wanted])),
            NODES,
            tenant=None,
            revision=0,
            expressions=Expressions(),
            executor=dg.in_process_executor,
            resources={**resources, "io_manager": dg.mem_io_manager},
        )
        return job.execute_in_process(
            run_config={"inputs": inputs},
            instance=self.instance,
            raise_on_error=False,
            tags={TENANT_TAG: self.tenant},
        )

    def tags(self, run_id: str) -> Mapping[str, str]:
        """Those of the run, as the list of runs shows them."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.tags


@pytest.fixture(scope="session")
def specs() -> Mapping[str, WorkflowSpec]:
    found = load_folder(SPECS)
    assert found.broken == {}
    return found.specs


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    from resources.ai.minilm import MiniLmEmbedder

    return MiniLmEmbedder()


@pytest.fixture(scope="module")
def graph(graph_settings: GraphSettings) -> Iterator[BoltGraphStore]:
    assert graph_settings.url is not None
    store = BoltGraphStore(
        graph_settings.url.get_secret_value(),
        user=graph_settings.user,
        password=graph_settings.password.get_secret_value(),
        database=graph_settings.database,
    )
    store.prepare()
    yield store
    store.close()


@pytest.fixture
def stores(database: Database, graph: BoltGraphStore, embedder: Embedder) -> dict[str, Any]:
    from resources.ai.build import build_ai

    return {
        "events": PostgresEventStore(database),
        "documents": PostgresDocumentStore(database),
        "chunks": PostgresChunkIndex(database),
        "embedder": embedder,
        "graph": graph,
        "content": ContentSettings(),
        "ai": build_ai(database),
        "prompts": PromptLibrary(PostgresEventStore(database), PromptEngine(), bundled=bundled_prompts()),
        "web": None,
        "workflows": None,
        "tool_sets": None,
        "mcp": None,
    }


@pytest.fixture
def taught(stores: dict[str, Any], tenant: str) -> None:
    """The tenant knows three passages and a concept."""
    intake = DocumentIntake(stores["documents"], stores["events"])
    document = intake.receive(
        DocumentSource(uri="notes", name="notes.md", title="Notes"), b"# Notes", tenant=tenant
    ).document
    chunks = [
        Chunk(ordinal=number, text=text, start=0, end=len(text), section=None, sha256=sha256_of(text.encode()))
        for number, text in enumerate(PASSAGES)
    ]
    embedder = stores["embedder"]
    vectors = embedder.embed(list(PASSAGES))
    stores["chunks"].replace(document.id, chunks, vectors, model_id=embedder.model_id, title="Notes", tenant=tenant)
    stores["graph"].weave(
        Extraction(
            document_id=document.id,
            sha256=document.sha256,
            title="Notes",
            concepts=(Concept(id="green-tea", name="Green tea", kind="subject"),),
            mentions={"green-tea": 0.5},
            edges=(),
        ),
        tenant=tenant,
    )


@pytest.fixture
def run(specs: Mapping[str, WorkflowSpec], stores: dict[str, Any], tenant: str) -> Iterator[Run]:
    """Run a workflow of the platform on behalf of the tenant."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Run(specs, stores, tenant, instance)
