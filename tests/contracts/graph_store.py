"""What every graph store promises. Subclass it and give a `store`; each test has a tenant of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contracts.graph.lessons import LessonsContract
from tests.contracts.graph.merging import MergingContract
from tests.contracts.graph.reading import ReadingContract
from tests.contracts.graph.weaving import WeavingContract

if TYPE_CHECKING:
    from resources.knowledge.store import GraphStore


class GraphStoreContract(WeavingContract, ReadingContract, MergingContract, LessonsContract):
    @pytest.fixture
    def store(self) -> GraphStore:
        raise NotImplementedError
