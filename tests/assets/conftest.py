"""A workshop for documents: the real stores, a Dagster of the test's own, and an embedder that counts its work."""

from __future__ import annotations

import uuid
import warnings
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from assets.expectations import preload
from assets.partitions import DOCUMENTS, TENANT_TAG
from assets.table import CHECKS, DOCUMENT_ASSETS
from resources.ai.memory import HashingEmbedder
from resources.content.intake import DocumentIntake
from resources.content.model import Document, DocumentSource, DocumentStatus, MediaType
from resources.content.postgres import PostgresChunkIndex, PostgresDocumentStore
from resources.events.model import StreamId
from resources.events.postgres import PostgresEventStore
from resources.knowledge.neo4j import BoltGraphStore
from resources.settings import ContentSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from resources.database.postgres import Database
    from resources.settings import GraphSettings

DOCUMENT_CHECKS = CHECKS[:3]


def _quiet_instance() -> dg.DagsterInstance:
    """A Dagster in memory whose events do not flood the report of a failed test."""
    return dg.DagsterInstance.ephemeral(settings={"python_logs": {"python_log_level": "WARNING"}})


class CountingEmbedder(HashingEmbedder):
    """Remembers which texts it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.extend(texts)
        return super().embed(texts)


@dataclass
class Workshop:
    """What the assets work with, and verbs that say what a test means."""

    tenant: str
    documents: PostgresDocumentStore
    chunks: PostgresChunkIndex
    events: PostgresEventStore
    graph: BoltGraphStore
    embedder: CountingEmbedder = field(default_factory=CountingEmbedder)
    content: ContentSettings = field(default_factory=ContentSettings)
    instance: dg.DagsterInstance = field(kw_only=True)

    def receive(self, name: str, text: str | bytes, **declared: Any) -> str:
        """Hand a document in as the API does; returns its id, which is a partition now."""
        source = DocumentSource(**{"uri": f"file:///docs/{name}", "name": name, **declared})
        content = text.encode() if isinstance(text, str) else text
        receipt = DocumentIntake(self.documents, self.events).receive(source, content, tenant=self.tenant)
        return self.known(receipt.document)

    def keep(self, name: str, content: bytes, media_type: MediaType) -> str:
        """Put a document behind the door, as one that was taken in when the limits were others or the parsers knew less."""
        now = datetime.now(UTC)
        document = Document(
            id=f"{name}-{uuid.uuid4().hex[:10]}",
            tenant=self.tenant,
            source=DocumentSource(uri=f"file:///docs/{name}", name=name, media_type=media_type),
            media_type=media_type,
            sha256=self.documents.put_blob(content, tenant=self.tenant),
            size_bytes=len(content),
            status=DocumentStatus.RECEIVED,
            received_at=now,
            updated_at=now,
        )
        self.documents.save(document)
        return self.known(document)

    def known(self, document: Document) -> str:
        """Make the document a partition, as the sensor does; returns its id."""
        self.instance.add_dynamic_partitions(str(DOCUMENTS.name), [document.id])
        return document.id

    def materialize(
        self, document_id: str, *, assets: Sequence[Any] = (*DOCUMENT_ASSETS, *DOCUMENT_CHECKS), **resources: Any
    ) -> dg.ExecuteInProcessResult:
        """Run the way of one document; `resources` take the place of the workshop's."""
        return self._run(assets, resources, partition_key=document_id)

    def rank(self, *assets: Any) -> dg.ExecuteInProcessResult:
        return self._run(assets, {})

    def _run(
        self, assets: Sequence[Any], resources: Mapping[str, Any], partition_key: str | None = None
    ) -> dg.ExecuteInProcessResult:
        names = ("documents", "chunks", "events", "graph", "embedder", "content")
        return dg.materialize(
            list(assets),
            partition_key=partition_key,
            instance=self.instance,
            resources={name: getattr(self, name) for name in names} | dict(resources),
            tags={TENANT_TAG: self.tenant},
            raise_on_error=False,
        )

    def document(self, document_id: str) -> Document:
        return self.documents.get(document_id, tenant=self.tenant)

    def events_of(self, document_id: str) -> list[str]:
        return [event.type for event in self.events.read_stream(StreamId("document", document_id), tenant=self.tenant)]

    def rejections_of(self, document_id: str) -> list[str]:
        found = self.events.read_stream(StreamId("document", document_id), tenant=self.tenant)
        return [event.data["code"] for event in found if event.type == "document.rejected"]


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> Mapping[str, Any]:
    """What the materialisation of the asset `name` (the end of its key) tells, as plain values."""
    (found,) = [
        event
        for event in result.get_asset_materialization_events()
        if event.asset_key and event.asset_key.path[-1] == name
    ]
    return {key: value.value for key, value in found.materialization.metadata.items()}


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    return {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}


def failure_of(result: dg.ExecuteInProcessResult, step: str) -> Mapping[str, Any]:
    """The metadata with which the step failed, as plain values."""
    data = result.failure_data_for_node(step)
    assert data is not None
    assert data.user_failure_data is not None
    return {key: value.value for key, value in data.user_failure_data.metadata.items()}


@pytest.fixture(scope="session")
def _graph(graph_settings: GraphSettings) -> Iterator[BoltGraphStore]:
    assert graph_settings.url is not None
    store = BoltGraphStore(
        graph_settings.url.get_secret_value(),
        user=graph_settings.user,
        password=graph_settings.password.get_secret_value(),
        database=graph_settings.database,
    )
    with closing(store):
        store.prepare()
        yield store


@pytest.fixture(scope="session")
def _events(database: Database) -> Iterator[PostgresEventStore]:
    with closing(PostgresEventStore(database)) as store:
        yield store


@pytest.fixture(scope="session", autouse=True)
def _great_expectations() -> None:
    """Imported as warm workers do it, before any run; that it imports a deprecated module is no fault of a test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        preload()


@pytest.fixture
def workshop(
    database: Database, _events: PostgresEventStore, _graph: BoltGraphStore, tenant: str
) -> Iterator[Workshop]:
    with _quiet_instance() as instance:
        yield Workshop(
            instance=instance,
            tenant=tenant,
            documents=PostgresDocumentStore(database),
            chunks=PostgresChunkIndex(database),
            events=_events,
            graph=_graph,
        )
