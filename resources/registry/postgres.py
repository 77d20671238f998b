"""The registry in PostgreSQL (migration 0071)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from resources.registry.memory import unknown
from resources.registry.model import LOST_AFTER, Agent, Health, Registration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from resources.database.postgres import Connection, Database
    from resources.registry.model import Beat

_COLUMNS = """tenant, id, name, endpoint, capabilities, weight, health_url, metadata, registered_at, last_seen, reported,
    connections, response_ms, checks, failed, streak, down"""
_REGISTER = f"""INSERT INTO aiw.registered_agent AS a ({_COLUMNS})
    VALUES (%(tenant)s, %(id)s, %(name)s, %(endpoint)s, %(capabilities)s, %(weight)s, %(health_url)s, %(metadata)s,
        %(now)s, %(now)s, 'healthy', 0, NULL, 0, 0, 0, false)
    ON CONFLICT (tenant, name) DO UPDATE SET endpoint = excluded.endpoint, capabilities = excluded.capabilities,
        weight = excluded.weight, health_url = excluded.health_url, metadata = excluded.metadata,
        last_seen = excluded.last_seen, reported = 'healthy', connections = 0
    RETURNING {_COLUMNS}"""
_GET = f"SELECT {_COLUMNS} FROM aiw.registered_agent WHERE tenant = %s AND id = %s"
_LIST = f"SELECT {_COLUMNS} FROM aiw.registered_agent WHERE tenant = %s AND name > %s ORDER BY name LIMIT %s"
_ABLE = f"""SELECT {_COLUMNS} FROM aiw.registered_agent
    WHERE tenant = %s AND capabilities @> %s::text[] COLLATE "C" ORDER BY name"""
_UPDATE = """UPDATE aiw.registered_agent SET last_seen = %(last_seen)s, reported = %(reported)s,
        connections = %(connections)s, response_ms = %(response_ms)s, checks = %(checks)s, failed = %(failed)s,
        streak = %(streak)s, down = %(down)s
    WHERE tenant = %(tenant)s AND id = %(id)s"""
_REMOVE = "DELETE FROM aiw.registered_agent WHERE tenant = %s AND id = %s"
_MONITORED = f"""SELECT {_COLUMNS} FROM aiw.registered_agent
    WHERE health_url IS NOT NULL AND last_seen >= %s ORDER BY tenant, name"""
_FORGET = "DELETE FROM aiw.registered_agent WHERE last_seen < %s"


class PostgresAgentRegistry:
    """Safe to share between threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, registration: Registration, *, tenant: str, now: datetime) -> tuple[Agent, bool]:
        fresh = uuid4()
        row = {
            "tenant": tenant,
            "id": fresh,
            "name": registration.name,
            "endpoint": registration.endpoint,
            "capabilities": list(registration.capabilities),
            "weight": registration.weight,
            "health_url": registration.health_url,
            "metadata": Jsonb(registration.metadata),
            "now": now,
        }
        with self._as(tenant) as connection:
            (agent,) = map(_agent, connection.execute(_REGISTER, row))
        return agent, agent.id == fresh

    def get(self, agent_id: UUID, *, tenant: str) -> Agent:
        with self._as(tenant) as connection:
            return _one(connection, agent_id, tenant)

    def list(self, *, tenant: str, after: str = "", limit: int = 1000) -> Sequence[Agent]:
        with self._as(tenant) as connection:
            return [_agent(row) for row in connection.execute(_LIST, (tenant, after, limit))]

    def able(self, capabilities: Sequence[str], *, tenant: str) -> Sequence[Agent]:
        with self._as(tenant) as connection:
            return [_agent(row) for row in connection.execute(_ABLE, (tenant, [*capabilities]))]

    def heartbeat(self, agent_id: UUID, beat: Beat, *, tenant: str, now: datetime) -> Agent:
        with self._as(tenant) as connection:
            agent = _one(connection, agent_id, tenant, lock=True).heard(beat, now)
            connection.execute(_UPDATE, _state(agent))
        return agent

    def remove(self, agent_id: UUID, *, tenant: str, unless: Callable[[Agent], None] | None = None) -> None:
        with self._as(tenant) as connection:
            if unless is not None:
                unless(_one(connection, agent_id, tenant, lock=True))
            if connection.execute(_REMOVE, (tenant, agent_id)).rowcount == 0:
                raise unknown(agent_id)

    def monitored(self, *, now: datetime) -> Sequence[Agent]:
        with self._as(None) as connection:
            return [_agent(row) for row in connection.execute(_MONITORED, (now - LOST_AFTER,))]

    def checked(self, agent_id: UUID, milliseconds: float | None, *, tenant: str) -> Agent | None:
        with self._as(tenant) as connection:
            row = connection.execute(f"{_GET} FOR UPDATE", (tenant, agent_id)).fetchone()
            if row is None:
                return None
            agent = _agent(row)
            agent = replace(agent, health=agent.health.after(milliseconds))
            connection.execute(_UPDATE, _state(agent))
        return agent

    def forget(self, *, before: datetime) -> int:
        with self._as(None) as connection:
            return connection.execute(_FORGET, (before,)).rowcount

    def _as(self, tenant: str | None) -> AbstractContextManager[Connection]:
        return self._database.scoped(tenant, "the registry")


def _one(connection: Connection, agent_id: UUID, tenant: str, *, lock: bool = False) -> Agent:
    row = connection.execute(f"{_GET} FOR UPDATE" if lock else _GET, (tenant, agent_id)).fetchone()
    if row is None:
        raise unknown(agent_id)
    return _agent(row)


def _agent(row: Sequence[Any]) -> Agent:
    tenant, id_, name, endpoint, capabilities, weight, health_url, metadata, registered_at, last_seen, *state = row
    reported, connections, *health = state
    registration = Registration(name, endpoint, tuple(capabilities), weight, health_url, metadata)
    return Agent(tenant, id_, registration, registered_at, last_seen, reported, connections, Health(*health))


def _state(agent: Agent) -> dict[str, Any]:
    health = agent.health
    return {
        "tenant": agent.tenant,
        "id": agent.id,
        "last_seen": agent.last_seen,
        "reported": agent.reported,
        "connections": agent.connections,
        "response_ms": health.response_ms,
        "checks": health.checks,
        "failed": health.failed,
        "streak": health.streak,
        "down": health.down,
    }
