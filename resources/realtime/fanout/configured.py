"""The fanout that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.realtime.fanout.postgres import PostgresFanout
from resources.realtime.fanout.redis import RedisFanout

if TYPE_CHECKING:
    from pydantic import SecretStr

    from resources.database.postgres import Database


def build_fanout(database: Database, redis_url: SecretStr | None) -> RedisFanout | None:
    """None: news go by NOTIFY, in the commit of what they are about. Raises InvalidInputError for an address that is none."""
    if redis_url is None:
        return None
    return RedisFanout(redis_url.get_secret_value(), beside=PostgresFanout(database))
