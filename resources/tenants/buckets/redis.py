"""Rate limits of all processes and machines together, in Redis or Valkey. The only file that speaks with it.

A bucket is a hash that a script fills and draws from in one step, by the server's own clock; it is gone as soon as it would be
full again. A server that is down is asked again after a pause: until then each process counts by itself.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from resources.errors import InvalidInputError, Problem, UnavailableError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis
    from redis.commands.core import Script

log = get_logger(__name__)

PAUSE = 5.0
"""Seconds in which a server that did not answer is not asked again."""

TIMEOUT = 0.25
"""Seconds that a request may wait for the server."""

_PREFIX = "aiw:rate:"
_LEASE = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local found = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if found[1] then
  tokens = math.min(burst, tonumber(found[1]) + math.max(0, now - tonumber(found[2])) * rate)
end
local taken = math.min(wanted, math.floor(tokens))
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens - taken), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens + taken) / rate * 1000) + 1000)
return taken
"""


class RedisBuckets:
    """Safe to share between threads. Connects when it is first asked."""

    def __init__(self, url: str, *, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic) -> None:
        """`url` is `redis://`, `rediss://` or `unix://`. Raises InvalidInputError: no such address, or no client installed."""
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise _unusable("needs the package `redis`", "install ai-workflow-engine[redis]") from None
        try:
            self._client: redis.Redis = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 1),  # a connection that has gone stale is opened anew
                client_name="aiw-limits",
            )
        except ValueError:  # its message repeats the address, which may hold a password
            raise _unusable("is not an address", "such as redis://HOST:6379/0") from None
        self._script: Script = self._client.register_script(_LEASE)
        self._failures: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._pause, self._clock = pause, clock
        self._lock = threading.Lock()
        self._silent_until = float("-inf")

    def lease(self, key: str, *, per_second: float, burst: int, tokens: int) -> int:
        """Take up to so many tokens; gives how many there were. Raises UnavailableError."""
        if self._clock() < self._silent_until:
            raise _down()
        try:
            taken = self._script(keys=[_PREFIX + key], args=[repr(per_second), burst, tokens])
        except self._failures as error:
            with self._lock:
                told, self._silent_until = self._clock() < self._silent_until, self._clock() + self._pause
            if not told:
                log.warning("limits.store_down", reason=type(error).__name__, seconds=self._pause)
            raise _down() from None
        return int(taken)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


def _down() -> UnavailableError:
    return UnavailableError("The store of rate limits does not answer.", dependency="redis")


def _unusable(why: str, hint: str) -> InvalidInputError:
    problem = Problem("AIW_LIMITS__REDIS_URL", why, hint)
    return InvalidInputError(f"The settings are not valid: {problem}.", code="settings_invalid", problems=(problem,))
