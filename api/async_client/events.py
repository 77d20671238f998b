"""Events, streams, aggregates, and what is made of them: subscriptions, projections, replays, routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.async_client.base import HttpClient
from api.client.answers import V1, Seen, list_of, model_of
from api.schemas import (
    AggregateOut,
    BatchOut,
    DataStoredOut,
    DeadLetterOut,
    DeadLetterPage,
    DryRunOut,
    EventOut,
    EventPage,
    EventStatisticsOut,
    ProjectionOut,
    ProjectionRows,
    ReplayOut,
    ReplayPage,
    ReplayPlanOut,
    RouteOut,
    StreamPage,
    SubscriptionOut,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from uuid import UUID

    from api.schemas import ReplayIn


class EventsClient(HttpClient):
    """Events, streams, aggregates, and what is made of them: subscriptions, projections, replays, routes."""

    async def append_event(
        self, type: str, data: Mapping[str, Any], *, stream: str | None = None, **fields: Any
    ) -> EventOut:
        """Store one event; `fields` are further members of the request (`event_id`, `expected_version`, `metadata`)."""
        body = {"type": type, "data": dict(data), **fields} | ({} if stream is None else {"stream": stream})
        return model_of(EventOut, (await self._send("POST", f"{V1}/events", json=body)))

    async def append_events(self, events: Sequence[Mapping[str, Any]]) -> BatchOut:
        """Store several events; the answer has a result for each."""
        body = [dict(event) for event in events]
        return model_of(BatchOut, (await self._send("POST", f"{V1}/events", json=body)))

    async def append_data(self, data: Any) -> DataStoredOut:
        """Store data of whatever form, as an event `data.received`; the answer says whether a rule works with it."""
        return model_of(DataStoredOut, (await self._send("POST", f"{V1}/events/data", json={"data": data})))

    async def read_events(
        self,
        *,
        after: int = 0,
        types: Iterable[str] = (),
        stream_type: str | None = None,
        tags: Iterable[str] = (),
        correlation_id: str | None = None,
        limit: int = 100,
    ) -> EventPage:
        """One page; `types` may be patterns, `tags` are NAME=VALUE."""
        return await self._get(
            f"{V1}/events",
            EventPage,
            after=after,
            types=list(types),
            stream_type=stream_type,
            tag=list(tags),
            correlation_id=correlation_id,
            limit=limit,
        )

    async def read_stream(self, stream: str, **parameters: Any) -> StreamPage:
        """A page of the stream `type/id`."""
        return await self._get(f"{V1}/streams/{quote(stream)}", StreamPage, **parameters)

    async def aggregate(self, stream: str, **parameters: Any) -> AggregateOut:
        """The state that the stream's events add up to, also `at_version`, `at_position` or `at_time`."""
        return await self._get(f"{V1}/aggregates/{quote(stream)}", AggregateOut, **parameters)

    async def tail(self, *, after: int | None = None, types: Iterable[str] = ()) -> AsyncGenerator[EventOut, None]:
        """Events as they happen, for ever. When the connection breaks it is made again, and nothing is lost or repeated."""
        while True:  # also when the server ends and comes back
            async for block in self._follow(f"{V1}/events/tail", after=after, types=list(types)):
                event = EventOut.model_validate_json(block["data"])
                after = event.position
                yield event

    async def event_statistics(self) -> EventStatisticsOut:
        return await self._get(f"{V1}/events/statistics", EventStatisticsOut)

    async def subscriptions(self) -> list[SubscriptionOut]:
        return list_of(SubscriptionOut, (await self._send("GET", f"{V1}/subscriptions")))

    async def subscription(self, name: str) -> SubscriptionOut:
        return await self._get(f"{V1}/subscriptions/{quote(name, safe='')}", SubscriptionOut)

    async def pause_subscription(self, name: str) -> SubscriptionOut:
        path = f"{V1}/subscriptions/{quote(name, safe='')}/pause"
        return model_of(SubscriptionOut, (await self._send("POST", path)))

    async def resume_subscription(self, name: str) -> SubscriptionOut:
        path = f"{V1}/subscriptions/{quote(name, safe='')}/resume"
        return model_of(SubscriptionOut, (await self._send("POST", path)))

    async def dead_letters(
        self, subscription: str, *, status: str | None = None, after: int = 0, limit: int = 100
    ) -> DeadLetterPage:
        path = f"{V1}/subscriptions/{quote(subscription, safe='')}/dead-letters"
        return await self._get(path, DeadLetterPage, status=status, after=after, limit=limit)

    async def dead_letter(self, subscription: str, letter_id: int) -> DeadLetterOut:
        path = f"{V1}/subscriptions/{quote(subscription, safe='')}/dead-letters/{letter_id}"
        return await self._get(path, DeadLetterOut)

    async def retry_dead_letter(
        self, subscription: str, letter_id: int, *, data: Mapping[str, Any] | None = None
    ) -> DeadLetterOut:
        path = f"{V1}/subscriptions/{quote(subscription, safe='')}/dead-letters/{letter_id}/retry"
        return model_of(DeadLetterOut, (await self._send("POST", path, json={"data": data})))

    async def discard_dead_letter(self, subscription: str, letter_id: int) -> DeadLetterOut:
        path = f"{V1}/subscriptions/{quote(subscription, safe='')}/dead-letters/{letter_id}/discard"
        return model_of(DeadLetterOut, (await self._send("POST", path)))

    async def projections(self) -> list[ProjectionOut]:
        return list_of(ProjectionOut, (await self._send("GET", f"{V1}/projections")))

    async def projection(self, name: str) -> ProjectionOut:
        return await self._get(f"{V1}/projections/{quote(name, safe='')}", ProjectionOut)

    async def projection_rows(
        self, name: str, *, prefix: str = "", after: str = "", limit: int = 100
    ) -> ProjectionRows:
        path = f"{V1}/projections/{quote(name, safe='')}/rows"
        return await self._get(path, ProjectionRows, prefix=prefix, after=after, limit=limit)

    async def rebuild_projection(self, name: str, *, rate: float | None = None) -> ReplayOut:
        parameters = {} if rate is None else {"rate": rate}
        path = f"{V1}/projections/{quote(name, safe='')}/rebuild"
        return model_of(ReplayOut, (await self._send("POST", path, params=parameters)))

    async def cancel_rebuild(self, name: str) -> ProjectionOut:
        path = f"{V1}/projections/{quote(name, safe='')}/cancel"
        return model_of(ProjectionOut, (await self._send("POST", path)))

    async def start_replay(self, request: ReplayIn) -> ReplayOut:
        body = request.model_copy(update={"dry_run": False}).model_dump(mode="json")
        return model_of(ReplayOut, (await self._send("POST", f"{V1}/replays", json=body)))

    async def plan_replay(self, request: ReplayIn) -> ReplayPlanOut:
        body = request.model_copy(update={"dry_run": True}).model_dump(mode="json")
        return model_of(ReplayPlanOut, (await self._send("POST", f"{V1}/replays", json=body)))

    async def replay(self, replay_id: UUID) -> ReplayOut:
        return await self._get(f"{V1}/replays/{replay_id}", ReplayOut)

    async def replays(self, *, limit: int = 100) -> ReplayPage:
        return await self._get(f"{V1}/replays", ReplayPage, limit=limit)

    async def cancel_replay(self, replay_id: UUID) -> ReplayOut:
        return model_of(ReplayOut, (await self._send("POST", f"{V1}/replays/{replay_id}/cancel")))

    async def routes(self) -> list[RouteOut]:
        return list_of(RouteOut, (await self._send("GET", f"{V1}/routes")))

    async def route(self, name: str, *, version: int | None = None) -> RouteOut:
        return await self._get(f"{V1}/routes/{quote(name, safe='')}", RouteOut, version=version)

    async def save_route(self, name: str, rule: Mapping[str, Any], *, if_match: Seen | None = None) -> RouteOut:
        path = f"{V1}/routes/{quote(name, safe='')}"
        return model_of(RouteOut, (await self._send("PUT", path, json=dict(rule), if_match=if_match)))

    async def route_versions(self, name: str) -> list[RouteOut]:
        return list_of(RouteOut, (await self._send("GET", f"{V1}/routes/{quote(name, safe='')}/versions")))

    async def disable_route(self, name: str, *, if_match: Seen | None = None) -> RouteOut:
        return model_of(
            RouteOut, (await self._send("DELETE", f"{V1}/routes/{quote(name, safe='')}", if_match=if_match))
        )

    async def try_routes(self, request: Mapping[str, Any]) -> DryRunOut:
        """What the rules would do with stored events."""
        return model_of(DryRunOut, (await self._send("POST", f"{V1}/routes/dry-run", json=dict(request))))
