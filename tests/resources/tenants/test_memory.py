from __future__ import annotations

import pytest

from resources.tenants.memory import MemoryAccounts, MemoryCredentials, MemoryNotices, MemorySecrets
from tests.contracts.identity_stores import IdentityContract, Stores


class TestMemoryIdentity(IdentityContract):
    @pytest.fixture
    def stores(self) -> Stores:
        notices = MemoryNotices()
        accounts = MemoryAccounts(notices)
        return Stores(accounts, MemoryCredentials(accounts, notices), MemorySecrets(), notices)
