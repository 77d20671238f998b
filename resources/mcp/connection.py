"""One connection to one replica of a server, kept by a task of its own.

The SDK's client has to be entered and left by one and the same task, so that task does nothing else: it connects when somebody
wants it, looks every now and then whether the replica is well, connects anew when the connection breaks (with growing pauses, not
all at once), and gives up after some failed starts in a row, until somebody wants it again. Calls come from any task of the loop.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager, nullcontext, suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from mcp import Client

from resources.errors import PlatformError
from resources.mcp.answers import answers_of
from resources.mcp.errors import ServerLostError, ServerTimeoutError, lost, reason, timed_out, told
from resources.mcp.http import http_client
from resources.mcp.model import ConnectionStatus
from resources.mcp.sampling import Sampling
from resources.mcp.stdio import stdio_client
from resources.mcp.websocket import websocket_client
from resources.registry.model import Health
from resources.resilience.breaker import BreakerPolicy, CircuitBreaker
from resources.resilience.retry import RetryPolicy
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    import httpx2

    from resources.ai.egress import EgressPolicy
    from resources.mcp.errors import LoginNeededError
    from resources.mcp.model import ServerConfig

    Login = Callable[[str, Callable[[LoginNeededError], None]], httpx2.Auth]
    """What lets requests to an address in, and tells when somebody has to log in."""

_PROBE_PATIENCE: Final = 5.0
_SLOW_MS: Final = 500.0
_NEW: Final = 0.2
_BREAKER: Final = BreakerPolicy(failures=3, window=60.0, open_for=5.0, successes=1)
_PAUSES: Final = RetryPolicy(first=0.1, longest=30.0, jitter=0.5)

log = get_logger(__name__)


class Connection:
    """Used on one event loop. `changed` is called whenever it can be used, or cannot any more."""

    def __init__(
        self,
        config: ServerConfig,
        replica: str,
        weight: float,
        *,
        policy: EgressPolicy | None,
        login: Login | None,
        changed: Callable[[], None],
    ) -> None:
        self.replica = replica
        self.weight = weight
        self.connections = 0
        self.response_ms: float | None = None
        self.calls = 0
        self.problem: str | None = None
        self.refusal: PlatformError | None = None
        self.breaker = CircuitBreaker(f"mcp:{config.name}", policy=_BREAKER)
        self._config = config
        self._policy = policy
        self._login = login
        self._sampling = None if config.sampling is None else Sampling(config.name, config.sampling)
        self._changed = changed
        self._client: Client | None = None
        self._up = False
        self._health = Health()
        self._used_at = time.monotonic()
        self._wanted = asyncio.Event()
        self._urgent = asyncio.Event()
        self._closing = False
        self._broken = asyncio.Event()
        self._why = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether it can be called."""
        return self._client is not None

    @property
    def trying(self) -> bool:
        """Whether it is being connected."""
        return self._wanted.is_set() and self._client is None

    def status(self, now: datetime | None = None) -> str:
        """healthy, degraded (slow), unhealthy or disconnected. When is not asked for: it is looked after all the time."""
        del now
        if self._client is None:
            return "disconnected"
        if self._health.down:
            return "unhealthy"
        return "degraded" if (self._health.response_ms or 0.0) > _SLOW_MS else "healthy"

    def told(self) -> ConnectionStatus:
        """How it is, for people."""
        return ConnectionStatus(
            replica=self.replica,
            status=self.status(),
            calls=self.calls,
            under_way=self.connections,
            response_ms=self.response_ms,
            availability=self._health.availability,
            breaker=self.breaker.state,
            protocol=self._client.protocol_version if self._client else None,
            problem=self.problem,
        )

    def want(self, *, urgent: bool) -> None:
        """Connect, unless it is connected or being connected; `urgent`: without a pause for what failed before."""
        if self._task is None or self._task.done():
            # In a context of its own: it serves whoever calls, not who called first.
            self._task = asyncio.get_running_loop().create_task(
                self._keep(), name=f"mcp {self._config.name}", context=Context()
            )
        self._wanted.set()
        if urgent:
            self._urgent.set()

    async def use(self, what: str, work: Callable[[Client], Any], seconds: float) -> Any:
        """What `work` makes of the SDK's client, in time; its errors in our words."""
        client = self._client
        if client is None:
            raise lost(self._config.name, self.problem or "it is not connected")
        began = self._used_at = time.monotonic()
        self.connections += 1
        self.calls += 1
        try:
            with self.breaker.guard(_is_fault):
                try:
                    with nullcontext() if self._sampling is None else self._sampling.during():
                        async with asyncio.timeout(seconds):
                            found = await work(client)
                except TimeoutError as error:
                    raise timed_out(self._config.name, what, seconds) from error
                except Exception as error:
                    raise self._said(what, error) from error
        finally:
            self.connections -= 1
            self._used_at = time.monotonic()
        took = 1000 * (self._used_at - began)
        self.response_ms = took if self.response_ms is None else (1 - _NEW) * self.response_ms + _NEW * took
        return found

    async def close(self) -> None:
        """Disconnect, and stay so until it is wanted again."""
        task, self._task = self._task, None
        self._wanted.clear()
        if task is not None:
            self._closing = True
            self._break("it is closed")
            task.cancel()
            await asyncio.wait([task])
            self._closing = False

    def _said(self, what: str, error: Exception) -> PlatformError:
        if self.refusal is not None:
            self._break(self.refusal.message)
            return self.refusal
        found = error if isinstance(error, PlatformError) else told(self._config.name, what, error)
        if isinstance(found, ServerLostError):
            if self._why:
                found = lost(self._config.name, self._why)
            self._break(self._why or reason(error))
        return found

    def _refused(self, error: LoginNeededError) -> None:
        self.refusal = error

    def _break(self, why: str) -> None:
        """The connection is no good any more."""
        self._why = self._why or why
        self._client = None
        self._broken.set()

    # --- the task that keeps it ------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        failed = 0
        while not self._closing:  # a cancellation may be lost in the scopes of the SDK
            await self._wanted.wait()
            self._broken.clear()
            self._urgent.clear()
            self._why, self.refusal = "", None
            try:
                await self._connected()
                failed = 0
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                failed = self._failed(failed, self._why or "the connection broke")
            except BaseExceptionGroup as error:
                if _is_cancelled():
                    raise asyncio.CancelledError from error
                failed = self._failed(failed, self._why or reason(error))
            except Exception as error:  # noqa: BLE001  # whatever it is, the next try may be better
                failed = self._failed(failed, self._why or reason(error))
            if failed > self._config.max_restarts or self.refusal is not None:
                self._wanted.clear()
            self._changed()
            if failed and not self._closing:
                await self._pause(_PAUSES.delay(failed, chance=random.random()))  # noqa: S311  # jitter, not a secret

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._urgent.wait()

    def _failed(self, before: int, why: str) -> int:
        was_connected, self._up, self._client = self._up, False, None
        self.problem = why
        self._health = self._health.after(None)
        if not self._closing and (was_connected or not before):
            log.warning("mcp.connection_failed", server=self._config.name, replica=self.replica, problem=why)
        return 1 if was_connected else before + 1

    async def _connected(self) -> None:
        """From connecting to the end of the connection: because it broke (raises), or nobody needed it (returns)."""
        answers = answers_of(self._config, self._sampling)
        try:
            async with (
                asyncio.timeout(self._config.connect_timeout) as limit,
                self._transport() as streams,
                Client(_Given(streams), mode=self._config.era, cache=None, **answers) as client,
            ):
                limit.reschedule(None)
                self._client, self._up, self.problem = client, True, None
                self._health = Health()
                self._used_at = time.monotonic()
                self._changed()
                await self._watch(client)
        except TimeoutError as error:
            raise lost(self._config.name, f"no answer within {self._config.connect_timeout:g} s") from error

    async def _watch(self, client: Client) -> None:
        while True:
            try:
                async with asyncio.timeout(min(self._config.probe_seconds, self._config.idle_seconds)):
                    await self._broken.wait()
                raise lost(self._config.name, self._why)
            except TimeoutError:
                pass
            if not self.connections and time.monotonic() - self._used_at >= self._config.idle_seconds:
                self._wanted.clear()
                self._client, self._up = None, False
                return
            await self._probe(client)

    async def _probe(self, client: Client) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_PROBE_PATIENCE):
                await client.list_tools()
        except TimeoutError:
            self._health = self._health.after(None)
        except Exception as error:
            self._health = self._health.after(None)
            if isinstance(told(self._config.name, "tools/list", error), ServerLostError):
                raise
        else:
            self._health = self._health.after(1000 * (time.monotonic() - began))

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[tuple[Any, Any]]:
        config = self._config
        headers = {name: value.get_secret_value() for name, value in config.headers.items()}
        if config.transport == "stdio":
            transport = stdio_client(
                config.command or "",
                config.args,
                env={name: value.get_secret_value() for name, value in config.env.items()},
                cwd=config.cwd,
                limit=config.max_bytes,
                lost=self._break,
            )
        elif config.transport == "websocket":
            transport = websocket_client(
                self.replica, headers=headers, limit=config.max_bytes, policy=self._policy, lost=self._break
            )
        else:
            transport = http_client(
                self.replica,
                headers=headers,
                policy=self._policy,
                limit=config.max_bytes,
                connect_timeout=config.connect_timeout,
                auth=None if self._login is None else self._login(self.replica, self._refused),
            )
        async with transport as streams:
            yield streams


class _Given:
    """Streams that are open already, as the transport that the SDK's client enters."""

    def __init__(self, streams: tuple[Any, Any]) -> None:
        self._streams = streams

    async def __aenter__(self) -> tuple[Any, Any]:
        return self._streams

    async def __aexit__(self, *_: object) -> None:
        return None


def _is_fault(error: Exception) -> bool:
    return isinstance(error, ServerLostError | ServerTimeoutError)


def _is_cancelled() -> bool:
    """Whether somebody cancelled this task, and not a scope of the SDK's within it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
