"""Events, streams, aggregates, and what is made of them: subscriptions, projections, replays, routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.client.answers import V1, Seen, list_of, model_of
from api.client.base import HttpClient
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
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from uuid import UUID

    from api.schemas import ReplayIn


class EventsClient(HttpClient):
    """Events, streams, aggregates, and what is made of them: subscriptions, projections, replays, routes."""

    def append_event(self, type: str, data: Mapping[str, Any], *, stream: str | None = None, **fields: Any) -> EventOut:
        """Store one event; `fields` are further members of the request (`event_id`, `expected_version`, `metadata`)."""
        body = {"type": type, "data": dict(data), **fields} | ({} if stream is None else {"stream": stream})
        return model_of(EventOut, self._send("POST", f"{V1}/events", json=body))

    def append_events(self, events: Sequence[Mapping[str, Any]]) -> BatchOut:
        """Store several events; the answer has a result for each."""
        body = [dict(event) for event in events]
        return model_of(BatchOut, self._send("POST", f"{V1}/events", json=body))

    def append_data(self, data: Any) -> DataStoredOut:
        """Store data of whatever form, as an event `data.received`; the answer says whether a rule works with it."""
        return model_of(DataStoredOut, self._send("POST", f"{V1}/events/data", json={"data": data}))

    def read_events(
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
        return self._get(
            f"{V1}/events",
            EventPage,
            after=after,
            types=list(types),
            stream_type=stream_type,
            tag=list(tags),
            correlation_id=correlation_id,
            limit=limit,
        )

    def read_stream(self, stream: str, **parameters: Any) -> StreamPage:
        """A page of the stream `type/id`."""
        return self._get(f"{V1}/streams/{quote(stream)}", StreamPage, **parameters)

    def aggregate(self, stream: str, **parameters: Any) -> AggregateOut:
        """The state that the stream's events add up to, also `at_version`, `at_position` or `at_time`."""
        return self._get(f"{V1}/aggregates/{quote(stream)}", AggregateOut, **parameters)

    def tail(self, *, after: int | None = None, types: Iterable[str] = ()) -> Generator[EventOut, None, None]:
        """Events as they happen, for ever. When the connection breaks it is made again, and nothing is lost or repeated."""
        while True:  # also when the server ends and comes back
            for block in self._follow(f"{V1}/events/tail", after=after, types=list(types)):
                event = EventOut.model_validate_json(block["data"])
                after = event.position
                yield event

    def event_statistics(self) -> EventStatisticsOut:
        return self._get(f"{V1}/events/statistics", EventStatisticsOut)

    def subscriptions(self) -> list[SubscriptionOut]:
        return list_of(SubscriptionOut, self._send("GET", f"{V1}/subscriptions"))

    def subscription(self, name: str) -> SubscriptionOut:
        return self._get(f"{V1}/subscriptions/{quote(name, safe='')}", SubscriptionOut)

    def pause_subscription(self, name: str) -> SubscriptionOut:
        path = f"{V1}/subscriptions/{quote(name, safe='')}/pause"
        return model_of(SubscriptionOut, self._send("POST", path))

    def resume_subscription(self, name: str) -> SubscriptionOut:
        path = f"{V1}/subscriptions/{quote(name, safe='')}/resume"
        return model_of(SubscriptionOut, self._send("POST", path))

    def dead_letters(
        self, subscription: str, *, status: str | None = None, after: int = 0, limit: int = 100
    ) -> DeadLetterPage:
        path = f"{V1}/subscriptions/{quote(subscription, safe='')}/dead-letters"
        return self._get(path, DeadLetterPage, status=status, after=after, limit=limit)

    def dead_letter(self, subscription: str, letter_id: int) -> DeadLetterOut:
        path = f"{V1}/subscriptions/{quote(subscription, safe='')}/dead-letters/{letter_id}"
        return self._get(path, DeadLetterOut)

    def retry_dead_letter(
        self, subscription: str, letter_id: int, *, data: Mapping[str, Any] | None = None
    ) -> DeadLetterOut:
        path = f"{V1}/subscriptions/{quote(subscription, safe='')}/dead-letters/{letter_id}/retry"
        return model_of(DeadLetterOut, self._send("POST", path, json={"data": data}))

    def discard_dead_letter(self, subscription: str, letter_id: int) -> DeadLetterOut:
        path = f"{V1}/subscriptions/{quote(subscription, safe='')}/dead-letters/{letter_id}/discard"
        return model_of(DeadLetterOut, self._send("POST", path))

    def projections(self) -> list[ProjectionOut]:
        return list_of(ProjectionOut, self._send("GET", f"{V1}/projections"))

    def projection(self, name: str) -> ProjectionOut:
        return self._get(f"{V1}/projections/{quote(name, safe='')}", ProjectionOut)

    def projection_rows(self, name: str, *, prefix: str = "", after: str = "", limit: int = 100) -> ProjectionRows:
        path = f"{V1}/projections/{quote(name, safe='')}/rows"
        return self._get(path, ProjectionRows, prefix=prefix, after=after, limit=limit)

    def rebuild_projection(self, name: str, *, rate: float | None = None) -> ReplayOut:
        parameters = {} if rate is None else {"rate": rate}
        path = f"{V1}/projections/{quote(name, safe='')}/rebuild"
        return model_of(ReplayOut, self._send("POST", path, params=parameters))

    def cancel_rebuild(self, name: str) -> ProjectionOut:
        path = f"{V1}/projections/{quote(name, safe='')}/cancel"
        return model_of(ProjectionOut, self._send("POST", path))

    def start_replay(self, request: ReplayIn) -> ReplayOut:
        body = request.model_copy(update={"dry_run": False}).model_dump(mode="json")
        return model_of(ReplayOut, self._send("POST", f"{V1}/replays", json=body))

    def plan_replay(self, request: ReplayIn) -> ReplayPlanOut:
        body = request.model_copy(update={"dry_run": True}).model_dump(mode="json")
        return model_of(ReplayPlanOut, self._send("POST", f"{V1}/replays", json=body))

    def replay(self, replay_id: UUID) -> ReplayOut:
        return self._get(f"{V1}/replays/{replay_id}", ReplayOut)

    def replays(self, *, limit: int = 100) -> ReplayPage:
        return self._get(f"{V1}/replays", ReplayPage, limit=limit)

    def cancel_replay(self, replay_id: UUID) -> ReplayOut:
        return model_of(ReplayOut, self._send("POST", f"{V1}/replays/{replay_id}/cancel"))

    def routes(self) -> list[RouteOut]:
        return list_of(RouteOut, self._send("GET", f"{V1}/routes"))

    def route(self, name: str, *, version: int | None = None) -> RouteOut:
        return self._get(f"{V1}/routes/{quote(name, safe='')}", RouteOut, version=version)

    def save_route(self, name: str, rule: Mapping[str, Any], *, if_match: Seen | None = None) -> RouteOut:
        path = f"{V1}/routes/{quote(name, safe='')}"
        return model_of(RouteOut, self._send("PUT", path, json=dict(rule), if_match=if_match))

    def route_versions(self, name: str) -> list[RouteOut]:
        return list_of(RouteOut, self._send("GET", f"{V1}/routes/{quote(name, safe='')}/versions"))

    def disable_route(self, name: str, *, if_match: Seen | None = None) -> RouteOut:
        return model_of(RouteOut, self._send("DELETE", f"{V1}/routes/{quote(name, safe='')}", if_match=if_match))

    def try_routes(self, request: Mapping[str, Any]) -> DryRunOut:
        """What the rules would do with stored events."""
        return model_of(DryRunOut, self._send("POST", f"{V1}/routes/dry-run", json=dict(request)))
