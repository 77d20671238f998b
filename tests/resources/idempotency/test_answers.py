from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.idempotency.memory import MemoryAnswers
from resources.idempotency.postgres import PostgresAnswers
from tests.contracts.answers import AnswersContract

if TYPE_CHECKING:
    from resources.database.postgres import Database
    from resources.idempotency.store import Answers


class TestMemory(AnswersContract):
    @pytest.fixture
    def answers(self) -> Answers:
        return MemoryAnswers()


class TestPostgres(AnswersContract):
    @pytest.fixture
    def answers(self, database: Database) -> Answers:
        return PostgresAnswers(database)
