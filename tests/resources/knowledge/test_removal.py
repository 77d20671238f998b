from __future__ import annotations

import pytest

from resources.content.memory import MemoryChunkIndex, MemoryDocumentStore
from resources.errors import NotFoundError
from resources.events.memory import MemoryEventStore
from resources.events.model import StreamId
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.removal import DocumentRemoval
from tests.contracts.chunk_index import MODEL, make_chunks, unit
from tests.contracts.document_store import make_document
from tests.contracts.graph.given import NUMPY, PANDAS, contents


class World:
    def __init__(self) -> None:
        self.documents, self.chunks = MemoryDocumentStore(), MemoryChunkIndex()
        self.graph, self.events = MemoryGraphStore(), MemoryEventStore()
        self.removal = DocumentRemoval(self.documents, self.chunks, self.graph, self.events)
        for extraction in (NUMPY, PANDAS):
            self.add(extraction.document_id)
            self.graph.weave(extraction, tenant="t")

    def add(self, document: str) -> None:
        self.documents.save(make_document("t", id=document, uri=f"file:///{document}"))
        self.chunks.replace(document, make_chunks(document), unit(1), model_id=MODEL, title=None, tenant="t")

    def remove(self, document: str) -> None:
        self.removal.remove(document, tenant="t", by="ada")


@pytest.fixture
def world() -> World:
    return World()


def test_a_document_goes_with_exactly_what_it_alone_supports(world: World) -> None:
    rebuilt = MemoryGraphStore()
    rebuilt.weave(NUMPY, tenant="t")
    world.remove("pandas.md")
    assert contents(world.graph, "t") == contents(rebuilt, "t")
    assert world.chunks.chunks_of("pandas.md", tenant="t") == []
    assert world.chunks.count(tenant="t") == 1
    assert [document.id for document in world.documents.list(tenant="t")] == ["numpy.md"]
    (event,) = world.events.read_stream(StreamId("document", "pandas.md"), tenant="t")
    assert (event.type, event.data["uri"], event.metadata.user_id) == ("document.removed", "file:///pandas.md", "ada")


def test_what_is_not_there_is_not_found_and_nobody_elses_is_touched(world: World) -> None:
    for document, tenant in (("nothing", "t"), ("pandas.md", "other")):
        with pytest.raises(NotFoundError, match=document):
            world.removal.remove(document, tenant=tenant, by="ada")
    assert world.graph.counts(tenant="t").documents == 2
    assert list(world.events.read_stream(StreamId("document", "pandas.md"), tenant="other")) == []


def test_what_an_attempt_that_broke_off_has_left_is_removed_by_another(world: World) -> None:
    world.documents.remove("pandas.md", tenant="t")
    world.remove("pandas.md")
    assert world.graph.counts(tenant="t").documents == 1
    with pytest.raises(NotFoundError):
        world.remove("pandas.md")
