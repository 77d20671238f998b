from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.registry.memory import MemoryAgentRegistry
from resources.registry.postgres import PostgresAgentRegistry
from tests.contracts.agent_registry import AgentRegistryContract

if TYPE_CHECKING:
    from resources.database.postgres import Database
    from resources.registry.store import AgentRegistry


class TestMemory(AgentRegistryContract):
    @pytest.fixture
    def registry(self) -> AgentRegistry:
        return MemoryAgentRegistry()


class TestPostgres(AgentRegistryContract):
    @pytest.fixture
    def registry(self, database: Database) -> AgentRegistry:
        return PostgresAgentRegistry(database)
