from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.plugins.memory import MemoryPlugins
from resources.plugins.postgres import PostgresPlugins
from tests.contracts.plugin_store import PluginStoreContract

if TYPE_CHECKING:
    from resources.database.postgres import Database
    from resources.plugins.store import PluginStore


class TestMemory(PluginStoreContract):
    @pytest.fixture
    def store(self) -> PluginStore:
        return MemoryPlugins()


class TestPostgres(PluginStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> PluginStore:
        return PostgresPlugins(database)
