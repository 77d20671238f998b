"""Topics over HTTP: publish, read, search and follow messages; rules of routing; conversations and presence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep
from api.paging import PageDep
from api.preconditions import IfMatch, as_it_is, tagged, unless_changed
from api.realtime.hub import Hub
from api.realtime.stream import Reader, cursor_of
from api.schemas import Storable
from resources.realtime import topics
from resources.realtime.model import DeliveryStatus, Message, MessageType, NewMessage, Priority, new_message_id
from resources.realtime.rules.model import Rule

router = APIRouter(tags=["realtime"])

Topic = Annotated[str, Path(max_length=topics.MAX_LENGTH, description="Dotted name, such as orders.created")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Messages at most")]


class MessageIn(BaseModel):
    """A message to publish."""

    model_config = ConfigDict(extra="forbid")

    content: dict[str, Any] | list[Any] | Storable | bool | int | float
    message_id: UUID | None = Field(default=None, description="Publishing an id again changes nothing")
    type: MessageType = "custom"
    routing_key: Storable | None = Field(default=None, max_length=200)
    priority: Priority = Priority.NORMAL
    headers: dict[str, str] = Field(default_factory=dict, max_length=50)
    ttl: float | None = Field(default=None, gt=0, le=315_360_000, description="Seconds that it is worth delivering")
    persist: bool = True


class MessageOut(BaseModel):
    """A message that was published."""

    position: int
    topic: str
    message_id: UUID
    sender: str | None
    type: MessageType
    routing_key: str | None
    priority: Priority
    headers: dict[str, str]
    content: Any
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, message: Message) -> MessageOut:
        """A message as it is shown."""
        return cls(**{name: getattr(message, name) for name in cls.model_fields})


class MessagePage(BaseModel):
    """Messages, oldest first."""

    messages: list[MessageOut]


class DeliveryOut(BaseModel):
    """What became of a direct message at its reader."""

    user: str
    status: DeliveryStatus
    at: datetime


class ConversationOut(BaseModel):
    """Two users who wrote to each other."""

    topic: str
    members: list[str]
    position: int
    updated_at: datetime


class PresenceOut(BaseModel):
    """How a user is."""

    user: str
    status: str
    devices: int
    last_seen: datetime | None
    note: str | None


@router.post(
    "/topics/{topic}/messages",
    summary="Publish a message",
    status_code=201,
    responses=problems.responses(400, 401, 403, 413, 422, 429, 503),
)
def publish_message(topic: Topic, body: MessageIn, services: ServicesDep, principal: PrincipalDep) -> MessageOut:
    """The message is stored and on its way to all subscribers when the answer comes."""
    topics.check_publishable(topic)
    fields = body.model_dump(exclude={"message_id"})
    message = NewMessage(
        topic=topic, sender=principal.username, message_id=body.message_id or new_message_id(), **fields
    )
    return MessageOut.of(services.publisher.publish(message, tenant=principal.tenant))


@router.get(
    "/topics/{topic}/messages",
    summary="Read a topic's messages",
    responses=problems.responses(400, 401, 403, 422, 503),
)
def read_messages(
    topic: Topic,
    services: ServicesDep,
    principal: PrincipalDep,
    after: Annotated[int | None, Query(ge=0, lt=2**62, description="Only those above this position, in order")] = None,
    before: Annotated[int | None, Query(ge=0, lt=2**62, description="Only those below this position")] = None,
    before_timestamp: Annotated[datetime | None, Query(description="Only those before this time")] = None,
    limit: Limit = 50,
) -> MessagePage:
    """The newest messages, oldest first; with `after`, those that follow a position. Then `topic` may be a pattern."""
    messages, user = services.publisher.messages, principal.username
    if after is not None:
        pattern = topics.check_pattern(topic)
        found = messages.read(tenant=principal.tenant, after=after, patterns=[pattern], user=user, limit=limit)
    else:
        found = messages.history(
            topics.check_topic(topic),
            tenant=principal.tenant,
            user=user,
            before=before,
            before_time=None if before_timestamp is None else _aware(before_timestamp),
            limit=limit,
        )
    return MessagePage(messages=[MessageOut.of(message) for message in found])


@router.get(
    "/topics/{topic}/stream",
    summary="Follow a topic as it happens",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events; `data` is a frame as a socket of the rich dialect gets it",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems.responses(400, 401, 403, 422, 429, 503),
    },
)
async def follow_topic(
    request: Request,
    topic: Topic,
    principal: PrincipalDep,
    after: Annotated[int | None, Query(ge=0, lt=2**62, description="Begin after this position")] = None,
    last: Annotated[bool, Query(description="Begin with the last value of each topic")] = False,
    last_event_id: Annotated[str | None, Header(description="Begin after this id; wins over `after`")] = None,
) -> StreamingResponse:
    """An endless answer, for `EventSource` and its like. `topic` may be a pattern (`orders.*`, `runs.**`).

    Nothing is lost or repeated when a reader comes back with `Last-Event-ID`, as browsers do by themselves.
    """
    hub: Hub = request.app.state.hub
    reader = Reader(hub, principal, topic, cursor_of(topic, last_event_id, after), last=last)
    return StreamingResponse(await reader.open(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get("/messages/search", summary="Search messages", responses=problems.responses(401, 403, 422, 503))
def search_messages(
    services: ServicesDep,
    principal: PrincipalDep,
    q: Annotated[str, Query(min_length=1, max_length=500, description='Words; "quoted", or, -not')],
    limit: Limit = 50,
) -> MessagePage:
    """Messages that hold all the words, newest first."""
    found = services.publisher.messages.search(
        q.replace("\x00", " "), tenant=principal.tenant, user=principal.username, limit=limit
    )
    return MessagePage(messages=[MessageOut.of(message) for message in found])


@router.get(
    "/messages/{message_id}/deliveries",
    summary="See what became of a direct message",
    responses=problems.responses(401, 403, 422, 503),
)
def list_deliveries(message_id: UUID, services: ServicesDep, principal: PrincipalDep) -> list[DeliveryOut]:
    """Whether each of its readers got it and read it."""
    found = services.publisher.messages.deliveries(message_id, tenant=principal.tenant)
    return [DeliveryOut(user=one.user, status=one.status, at=one.at) for one in found]


@router.get("/conversations", summary="List my conversations", responses=problems.responses(400, 401, 403, 422, 503))
def list_conversations(services: ServicesDep, principal: PrincipalDep, page: PageDep) -> list[ConversationOut]:
    """Whom I wrote with, newest first. Their messages are those of the topic."""
    found = services.publisher.messages.conversations(principal.username, tenant=principal.tenant)
    return [
        ConversationOut(topic=one.topic, members=list(one.members), position=one.position, updated_at=one.updated_at)
        for one in page.of(found, lambda one: (one.position, one.topic), newest=True)
    ]


@router.get("/presence", summary="See who is there", responses=problems.responses(400, 401, 403, 422, 503))
def list_presence(
    services: ServicesDep,
    principal: PrincipalDep,
    page: PageDep,
    user: Annotated[
        list[str] | None, Query(max_length=100, description="Only these; unset = all who are known")
    ] = None,
) -> list[PresenceOut]:
    """Users and how they are."""
    users = None if user is None else [name.replace("\x00", "") for name in user]
    found = services.presence.find(users, tenant=principal.tenant, now=datetime.now(UTC))
    return [
        PresenceOut(user=one.user, status=one.status, devices=one.devices, last_seen=one.last_seen, note=one.note)
        for one in page.of(found, lambda one: (one.user,))
    ]


RuleName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,99}$", description="Name of the rule")]


@router.get("/realtime/rules", summary="List rules of messages", responses=problems.responses(400, 401, 403, 422, 503))
def list_rules(services: ServicesDep, principal: PrincipalDep, page: PageDep) -> list[Rule]:
    """What is done with messages on their way, by name."""
    return list(page.of(services.realtime_rules.list(tenant=principal.tenant), lambda rule: (rule.name,)))


@router.get(
    "/realtime/rules/{name}", summary="Show a rule of messages", responses=problems.responses(401, 403, 404, 422, 503)
)
def show_rule(name: RuleName, services: ServicesDep, principal: PrincipalDep, response: Response) -> Rule:
    """What is done with messages that meet it."""
    return tagged(services.realtime_rules.get(name, tenant=principal.tenant), response)


@router.put(
    "/realtime/rules/{name}", summary="Store a rule", responses=problems.responses(400, 401, 403, 412, 413, 422, 503)
)
async def save_rule(
    name: RuleName,
    body: Rule,
    services: ServicesDep,
    principal: PrincipalDep,
    response: Response,
    if_match: IfMatch = None,
) -> Rule:
    """Messages that are published from now on meet it: in this process at once, in others within seconds."""
    rule = body.model_copy(update={"name": name})
    unless = unless_changed(if_match, as_it_is)
    await run_in_threadpool(services.realtime_rules.save, rule, tenant=principal.tenant, unless=unless)
    services.publisher.router.forget(principal.tenant)
    return tagged(rule, response)


@router.delete(
    "/realtime/rules/{name}",
    summary="Remove a rule",
    status_code=204,
    responses=problems.responses(401, 403, 404, 412, 422, 503),
)
def remove_rule(name: RuleName, services: ServicesDep, principal: PrincipalDep, if_match: IfMatch = None) -> None:
    """It is done with no message any more."""
    unless = unless_changed(if_match, as_it_is)
    services.realtime_rules.remove(name, tenant=principal.tenant, unless=unless)
    services.publisher.router.forget(principal.tenant)


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
