from __future__ import annotations

import pytest

from resources.realtime.memory import MemoryMessages, MemoryPresence, MemoryRealtimeRules
from tests.contracts.messages import MessageContract, PresenceContract, RuleContract


class TestMemoryMessages(MessageContract):
    @pytest.fixture
    def store(self) -> MemoryMessages:
        return MemoryMessages()


class TestMemoryPresence(PresenceContract):
    @pytest.fixture
    def presence(self) -> MemoryPresence:
        return MemoryPresence()


class TestMemoryRules(RuleContract):
    @pytest.fixture
    def rules(self) -> MemoryRealtimeRules:
        return MemoryRealtimeRules()
