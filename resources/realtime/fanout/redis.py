"""News over the publish and subscribe of Redis or Valkey: spares the database a NOTIFY, and its lock, at each commit.

Nothing depends on that server. What it cannot be told goes by NOTIFY, which is heard in any case; so processes that do not know
its address need not. When the subscription is lost, watchers get a notice of kind `lost` as soon as there is a new one, and read
on from where they were.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from resources.errors import InvalidInputError, Problem
from resources.realtime.fanout.listener import decode
from resources.realtime.fanout.postgres import encode
from resources.realtime.model import Notice
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import redis

    from resources.realtime.store import Fanout

    Watcher = Callable[[Sequence[Notice]], None]

log = get_logger(__name__)

PAUSE = 5.0
"""Seconds in which a server that did not answer is not told anything again."""

_CHANNEL = "aiw:realtime:"
_TIMEOUT = 0.5
_LOOK_FOR_CLOSE = 0.5
_RECONNECT_AFTER = 0.5
_STILL_THERE = 10


class RedisFanout:
    """Safe to share between threads. Connects when it is first needed."""

    def __init__(self, url: str, *, beside: Fanout, pause: float = PAUSE) -> None:
        """`url` is `redis://`, `rediss://` or `unix://`; platforms that share a server have databases of their own (`/1`).

        `beside` is heard as well, and told what the server cannot be. Raises InvalidInputError: no such address, or no client.
        """
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise _unusable("needs the package `redis`", "install ai-workflow-engine[redis]") from None
        try:
            self._client: redis.Redis = redis.Redis.from_url(
                url,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                retry=Retry(NoBackoff(), 1),  # a connection that has gone stale is opened anew
                client_name="aiw-realtime",
                health_check_interval=_STILL_THERE,
            )
        except ValueError:  # its message repeats the address, which may hold a password
            raise _unusable("is not an address", "such as redis://HOST:6379/0") from None
        self._channel = f"{_CHANNEL}{self._client.get_connection_kwargs().get('db') or 0}"
        self._failures: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._beside = beside
        self._pause = pause
        self._silent_until = float("-inf")
        self._lock = threading.Lock()
        self._watchers: dict[int, Watcher] = {}
        self._number = 0
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._listening = threading.Event()

    def tell(self, notices: Collection[Notice]) -> None:
        if not notices:
            return
        if time.monotonic() >= self._silent_until:
            try:
                with self._client.pipeline(transaction=False) as pipeline:
                    for notice in notices:
                        pipeline.publish(self._channel, encode(notice))
                    pipeline.execute()
            except self._failures as error:
                self._silent_until = time.monotonic() + self._pause
                log.warning("realtime.redis_down", reason=type(error).__name__, seconds=self._pause)
            else:
                return
        self._beside.tell(notices)

    def watch(self, notice: Watcher) -> Callable[[], None]:
        with self._lock:
            self._number += 1
            number = self._number
            self._watchers[number] = notice
            if self._thread is None:
                self._closing.clear()
                self._thread = threading.Thread(target=self._run, name="aiw-realtime-redis", daemon=True)
                self._thread.start()
        cancel_beside = self._beside.watch(notice)
        self._listening.wait(timeout=5.0)

        def cancel() -> None:
            cancel_beside()
            with self._lock:
                self._watchers.pop(number, None)

        return cancel

    def close(self) -> None:
        self._closing.set()
        self._beside.close()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        self._thread = None
        self._listening.clear()
        self._client.close()

    def _run(self) -> None:
        told = False
        while not self._closing.is_set():
            try:
                with self._client.pubsub() as subscription:  # type: ignore[no-untyped-call]  # it says nothing of its arguments
                    subscription.subscribe(self._channel)
                    told = False
                    while not self._closing.is_set():
                        heard = subscription.get_message(timeout=_LOOK_FOR_CLOSE)
                        if heard is not None:
                            self._hear(heard)
            except Exception as error:  # noqa: BLE001  # whatever broke it, those who wait need a subscription again
                if not told:  # once, however long it takes
                    told = True
                    log.warning("realtime.subscription_lost", reason=type(error).__name__)
                self._listening.set()  # nobody waits for a server that is not there; what it misses is told as lost
                self._closing.wait(_RECONNECT_AFTER)

    def _hear(self, heard: dict[str, Any]) -> None:
        if heard["type"] == "subscribe":  # the client subscribes anew by itself, too, when its connection breaks
            again = self._listening.is_set()
            self._listening.set()
            if again:
                self._tell_watchers(Notice("lost"))
        elif heard["type"] == "message" and (notice := decode(heard["data"])) is not None:
            self._tell_watchers(notice)

    def _tell_watchers(self, notice: Notice) -> None:
        with self._lock:
            watchers = list(self._watchers.values())
        for watcher in watchers:
            try:
                watcher([notice])
            except Exception:
                log.exception("realtime.watcher_failed")


def _unusable(why: str, hint: str) -> InvalidInputError:
    problem = Problem("AIW_REALTIME__REDIS_URL", why, hint)
    return InvalidInputError(f"The settings are not valid: {problem}.", code="settings_invalid", problems=(problem,))
