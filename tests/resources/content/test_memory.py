from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.content.memory import MemoryChunkIndex, MemoryDocumentStore
from tests.contracts.chunk_index import ChunkIndexContract
from tests.contracts.document_store import DocumentStoreContract

if TYPE_CHECKING:
    from resources.content.store import ChunkIndex, DocumentStore


class TestMemoryDocumentStore(DocumentStoreContract):
    @pytest.fixture
    def store(self) -> DocumentStore:
        return MemoryDocumentStore()


class TestMemoryChunkIndex(ChunkIndexContract):
    @pytest.fixture
    def index(self) -> ChunkIndex:
        return MemoryChunkIndex()
