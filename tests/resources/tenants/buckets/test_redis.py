from __future__ import annotations

import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from api.auth.limiter import Leases, Rate
from resources.errors import InvalidInputError, UnavailableError
from resources.tenants.buckets.redis import RedisBuckets
from tests.fixtures.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW = 0.001


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: the name of a socket has at most some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="aiw-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="aiw-") as name, valkey(Path(name)) as url:
        yield url


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def test_two_processes_draw_from_one_bucket(url: str, key: str) -> None:
    with closing(RedisBuckets(url)) as here, closing(RedisBuckets(url)) as there:
        leased = [one.lease(key, per_second=SLOW, burst=10, tokens=4) for one in (here, there, here, there)]
        assert leased == [4, 4, 2, 0]
        assert here.lease(f"{key}-other", per_second=SLOW, burst=10, tokens=4) == 4


def test_a_bucket_fills_again_up_to_its_burst_and_is_forgotten_then(url: str, key: str) -> None:
    with closing(RedisBuckets(url)) as buckets, closing(redis.Redis.from_url(url)) as client:
        assert buckets.lease(key, per_second=SLOW, burst=10, tokens=10) == 10
        assert buckets.lease(key, per_second=1e9, burst=10, tokens=99) == 10
        assert 0 < client.pttl(f"aiw:rate:{key}") <= 1001
        assert buckets.lease(key, per_second=SLOW, burst=10, tokens=1) == 0
        assert client.pttl(f"aiw:rate:{key}") > 1_000_000


def test_not_one_token_is_given_twice_when_many_ask_at_once(url: str, key: str) -> None:
    with closing(RedisBuckets(url)) as buckets, ThreadPoolExecutor(8) as threads:
        leased = threads.map(lambda _: buckets.lease(key, per_second=SLOW, burst=100, tokens=3), range(60))
        assert sum(leased) == 100


def test_a_store_that_is_down_is_left_alone_for_a_while_and_used_when_it_is_back(folder: Path, key: str) -> None:
    now = [0.0]
    with closing(RedisBuckets(f"unix://{folder / 's'}", clock=lambda: now[0])) as buckets:
        leases, rate = Leases(buckets), Rate(per_minute=60, burst=10)
        with pytest.raises(UnavailableError, match="does not answer"):
            leases.lease("principal", key, rate)
        with valkey(folder):
            with pytest.raises(UnavailableError):
                leases.lease("principal", key, rate)
            now[0] = 6.0
            assert leases.lease("principal", key, rate).allowed
        (folder / "s").unlink(missing_ok=True)
        with valkey(folder):  # another, which knows neither script nor bucket
            assert leases.lease("principal", key, rate).allowed


def test_an_address_that_is_none_is_refused_without_being_told() -> None:
    with pytest.raises(InvalidInputError, match="AIW_LIMITS__REDIS_URL") as refused:
        RedisBuckets("http://user:planted-secret@example.org")
    assert "planted-secret" not in str(refused.value)
