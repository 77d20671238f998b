"""A process that serves sockets and nothing else: `python -m tests.benchmarks.ws_server DATABASE_URL [CAPACITY]`.

Prints one JSON line with its address. A token is `tenant/user/role`. Used by the benchmark, and by the test that kills it.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from api.listening import bind
from api.realtime.hub import Hub, HubLimits
from api.realtime.socket import SocketEndpoint
from api.server import Server
from resources.database.postgres import Database
from resources.events.postgres import PostgresEventStore
from resources.realtime.limits import Limiter
from resources.realtime.postgres import PostgresMessages
from resources.realtime.presence.postgres import PostgresPresence
from resources.realtime.publisher import Publisher
from resources.realtime.rules.model import Router
from resources.realtime.rules.postgres import PostgresRealtimeRules
from resources.telemetry.logging import configure_logging
from tests.api.realtime.harness import ScriptedAuthenticator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def main() -> None:
    """Serve until SIGTERM."""
    url, capacity = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    configure_logging(level="warning")
    database = Database(url, application_name="aiw-sockets")
    messages, events = PostgresMessages(database), PostgresEventStore(database)
    publisher = Publisher(messages, Router(PostgresRealtimeRules(database)))
    limits = HubLimits(capacity=capacity, sessions_per_user=100)
    limiter = Limiter(everybody=(10**6, 10**6), user=(10**6, 10**6), connection=(10**6, 10**6))
    hub = Hub(publisher, PostgresPresence(database), events, limits=limits, limiter=limiter)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await hub.stop()
        messages.close()
        events.close()
        database.close()

    app = Starlette(routes=[WebSocketRoute("/ws", SocketEndpoint())], lifespan=lifespan)
    app.state.hub, app.state.authenticate = hub, ScriptedAuthenticator()
    listener = bind("127.0.0.1", int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    Server(app, listener).serve_forever()


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"event": "sockets.starting"}) + "\n")
    main()
