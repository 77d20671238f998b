from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.realtime.hub import HubLimits
from tests.api.realtime.harness import Sockets, sockets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database


@pytest.fixture(scope="module")
def _served(database: Database) -> Iterator[Sockets]:
    with sockets(database, "nobody", limits=HubLimits(queue=200)) as served:
        yield served


@pytest.fixture
def served(_served: Sockets, tenant: str) -> Sockets:
    """Sockets, on behalf of this test's tenant."""
    _served.tenant = tenant
    return _served
