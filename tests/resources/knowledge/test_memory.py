from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.knowledge.memory import MemoryGraphStore
from tests.contracts.graph_store import GraphStoreContract

if TYPE_CHECKING:
    from resources.knowledge.store import GraphStore


class TestMemoryGraphStore(GraphStoreContract):
    @pytest.fixture
    def store(self) -> GraphStore:
        return MemoryGraphStore()
