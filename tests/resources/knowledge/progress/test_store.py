from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.knowledge.progress.memory import MemoryProgress
from resources.knowledge.progress.model import ConceptProgress, ProgressStatus, shares
from resources.knowledge.progress.postgres import PostgresProgress
from tests.contracts.progress_store import NOW, ProgressStoreContract

if TYPE_CHECKING:
    from resources.database.postgres import Database
    from resources.knowledge.progress.store import ProgressStore


class TestMemory(ProgressStoreContract):
    @pytest.fixture
    def progress(self) -> ProgressStore:
        return MemoryProgress()


class TestPostgres(ProgressStoreContract):
    @pytest.fixture
    def progress(self, database: Database) -> ProgressStore:
        return PostgresProgress(database)


def test_what_is_completed_counts_as_learned_whatever_its_percentage() -> None:
    def of(concept: str, status: ProgressStatus, percent: int) -> ConceptProgress:
        return ConceptProgress(concept=concept, status=status, percent=percent, updated_at=NOW)

    said = [of("a", ProgressStatus.MASTERED, 80), of("b", ProgressStatus.IN_PROGRESS, 100)]
    assert shares(said) == {"a": 1.0, "b": 0.99}
