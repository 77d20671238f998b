"""A graph is ranked when it has changed and come to rest: what is made of all documents is there soon after the last of them.

While documents keep coming the ranking waits, but not for ever. The cursor holds what was read and who waits, so a tick that dies
is repeated; a run key for each tenant and position makes it one run all the same.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import dagster as dg
from pydantic import BaseModel

from assets.partitions import TENANT_TAG
from resources.events.model import RecordedEvent
from resources.events.store import EventStore

RANKING: Final = "graph_changes"
TYPES: Final = frozenset({"document.ready", "document.removed", "concept.stated", "concept.withdrawn"})
QUIET: Final = 15.0
LONGEST: Final = 300.0
"""Seconds without a change after which a graph is at rest, and after which it is ranked in any case."""
EVENTS_PER_TICK: Final = 1000
RUNS_PER_TICK: Final = 5


class Change(BaseModel):
    """Of a graph that is not ranked yet: when its first and its latest change were seen (Unix time), and where the latter is."""

    first: float
    last: float
    position: int


class Waiting(BaseModel):
    """The cursor."""

    position: int = 0
    tenants: dict[str, Change] = {}

    def note(self, events: Sequence[RecordedEvent], *, now: float) -> None:
        """Take in events, in order of position."""
        for event in events:
            known = self.tenants.get(event.tenant)
            first = now if known is None else known.first
            self.tenants[event.tenant] = Change(first=first, last=now, position=event.position)
            self.position = event.position

    def take_due(self, *, now: float) -> dict[str, Change]:
        """Those whose turn it is, the longest waiting first; they wait no longer."""
        due = sorted(
            (change.first, tenant)
            for tenant, change in self.tenants.items()
            if now - change.last >= QUIET or now - change.first >= LONGEST
        )
        return {tenant: self.tenants.pop(tenant) for _, tenant in due[:RUNS_PER_TICK]}


def graph_changes(events: EventStore, cursor: str | None, *, now: float) -> dg.SensorResult:
    """A run for each tenant whose graph has changed and come to rest."""
    waiting = Waiting.model_validate_json(cursor) if cursor else Waiting()
    found = events.read_all(after_position=waiting.position, types=TYPES, limit=EVENTS_PER_TICK, tenant=None)
    waiting.note(found, now=now)
    requests = [
        dg.RunRequest(run_key=f"{tenant}/{change.position}", tags={TENANT_TAG: tenant})
        for tenant, change in waiting.take_due(now=now).items()
    ]
    quiet = f"No graph has changed and come to rest; {len(waiting.tenants)} wait."
    return dg.SensorResult(
        run_requests=requests or None,
        skip_reason=None if requests else dg.SkipReason(quiet),
        cursor=waiting.model_dump_json(),
    )


def build_ranking_sensor(*, job_name: str, clock: Callable[[], float] = time.time) -> dg.SensorDefinition:
    """The sensor that launches the job `job_name`, running from the start."""

    @dg.sensor(
        name=RANKING,
        job_name=job_name,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
        description="Ranks the concepts of a tenant when documents have come or gone, and nothing has for some seconds.",
    )
    def sensor(context: dg.SensorEvaluationContext, events: dg.ResourceParam[EventStore]) -> dg.SensorResult:
        return graph_changes(events, context.cursor, now=clock())

    return sensor
