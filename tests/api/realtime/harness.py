"""A process that serves sockets on real servers, and clients for it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api.realtime.hub import Hub, HubLimits
from api.realtime.socket import SocketEndpoint
from resources.errors import UnauthenticatedError
from resources.events.postgres import PostgresEventStore
from resources.realtime.fanout.configured import build_fanout
from resources.realtime.postgres import PostgresMessages
from resources.realtime.presence.postgres import PostgresPresence
from resources.realtime.publisher import Publisher
from resources.realtime.rules.model import Router
from resources.realtime.rules.postgres import PostgresRealtimeRules
from resources.realtime.runs.postgres import PostgresRunLog
from resources.tenants.model import Principal
from resources.tenants.permissions import Role, scopes_of
from tests.api.harness import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from resources.database.postgres import Database
    from resources.realtime.limits import Limiter


class ScriptedAuthenticator:
    """A token is `tenant/user/role`; anything else is not accepted."""

    async def __call__(self, token: str | None, headers: Mapping[str, str]) -> Principal:
        del headers
        parts = (token or "").split("/")
        if len(parts) != 3:
            raise UnauthenticatedError("There is no such token.", code="token_invalid")
        tenant, user, role = parts
        if role == "deaf":
            return Principal(tenant, user, user, Role.VIEWER, frozenset({"write"}))
        return Principal(tenant, user, user, Role(role), scopes_of(Role(role), at_home=False))


class Sockets:
    """One process's sockets: `url` to connect to, the hub behind it."""

    def __init__(self, url: str, app: Starlette, hub: Hub, publisher: Publisher, tenant: str) -> None:
        self.url = url.replace("http", "ws", 1) + "/ws"
        self.app = app
        self.hub = hub
        self.publisher = publisher
        self.tenant = tenant

    def client(self, user: str = "anna", *, role: str = "operator", tenant: str | None = None, **query: Any) -> Client:
        """A client that has been greeted."""
        client = Client(self.address(user, role=role, tenant=tenant, **query))
        client.greeting = client.next()
        return client

    def address(self, user: str = "anna", *, role: str = "operator", tenant: str | None = None, **query: Any) -> str:
        more = "".join(f"&{key}={value}" for key, value in query.items())
        return f"{self.url}?token={tenant or self.tenant}/{user}/{role}{more}"


class Client:
    """A blocking client: `say` and `next`."""

    def __init__(self, url: str, **options: Any) -> None:
        given = {"compression": None, "proxy": None, "open_timeout": 20, "max_queue": None, **options}
        self._opened = connect(url, **given)
        self.socket = self._opened.__enter__()
        self.greeting: dict[str, Any] = {}

    def say(self, type: str, id: Any = None, **data: Any) -> None:
        frame: dict[str, Any] = {"type": type, "data": data}
        self.socket.send(json.dumps(frame if id is None else {**frame, "id": id}))

    def next(self, timeout: float = 20) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.socket.recv(timeout))
        return found

    def until(self, type: str, timeout: float = 20) -> dict[str, Any]:
        """The data of the next frame of this type; others are passed over."""
        deadline = time.monotonic() + timeout
        while (frame := self.next(deadline - time.monotonic()))["type"] != type:
            pass
        found: dict[str, Any] = frame["data"]
        return found

    def subscribe(self, *topics: str, **options: Any) -> None:
        self.say("Subscribe", topics=list(topics), **options)
        assert self.until("Status")["status"] == "subscribed"

    def messages(self, count: int) -> list[Any]:
        """Contents of the next messages on topics."""
        return [self.until("Broadcast")["payload"] for _ in range(count)]

    def nothing_came(self) -> bool:
        """Whether all that was sent before is read: what is asked last is answered next."""
        self.say("Ping", timestamp="now?")
        return self.next() == {"type": "Pong", "data": {"timestamp": "now?"}}

    def closed(self, timeout: float = 20) -> tuple[int, str]:
        """Code and reason with which the server ends the connection; waits for it."""
        deadline = time.monotonic() + timeout
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.socket.recv(deadline - time.monotonic())
        assert self.socket.protocol.close_rcvd is not None
        return self.socket.protocol.close_rcvd.code, self.socket.protocol.close_rcvd.reason

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        self._opened.__exit__(None, None, None)

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def sockets(
    database: Database,
    tenant: str,
    *,
    limits: HubLimits | None = None,
    limiter: Limiter | None = None,
    endpoint: Callable[[], Any] = SocketEndpoint,
    redis_url: str | None = None,
) -> Iterator[Sockets]:
    """Serve sockets from a process of their own hub. News go by Redis where there is one."""
    fanout = build_fanout(database, None if redis_url is None else SecretStr(redis_url))
    with (
        closing(PostgresMessages(database, fanout)) as messages,
        closing(PostgresEventStore(database)) as events,
    ):
        publisher = Publisher(messages, Router(PostgresRealtimeRules(database)))
        hub = Hub(
            publisher,
            PostgresPresence(database, fanout),
            events,
            PostgresRunLog(database),
            limits=limits,
            limiter=limiter,
        )

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            await hub.stop()

        app = Starlette(routes=[WebSocketRoute("/ws", endpoint())], lifespan=lifespan)
        app.state.hub, app.state.authenticate = hub, ScriptedAuthenticator()
        with serving(app) as url:
            yield Sockets(url, app, hub, publisher, tenant)


def in_loop(hub: Hub, work: Callable[[], Any]) -> Any:
    """Call `work` in the loop of the hub."""
    assert hub._loop is not None
    done = threading.Event()
    answers: list[Any] = []

    def call() -> None:
        answers.append(work())
        done.set()

    hub._loop.call_soon_threadsafe(call)
    assert done.wait(20)
    return answers[0]
