from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.ai.memory import HashingEmbedder
from tests.contracts.embedder import EmbedderContract

if TYPE_CHECKING:
    from resources.ai.embedder import Embedder


class TestHashing(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return HashingEmbedder()


def test_the_id_tells_that_it_is_for_tests() -> None:
    assert HashingEmbedder(dimensions=16).model_id == "hashing-for-tests-16"
