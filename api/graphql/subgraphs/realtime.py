"""Users, how they are, and what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from api.graphql import following, paging
from api.graphql.context import GraphContext
from api.graphql.module import Module, extends
from api.graphql.paging import After, Connection, First
from api.graphql.subgraphs.knowledge import UserProgress, progress_of_users
from api.graphql.subgraphs.workflows import Workflow, WorkflowExecution, newest_runs
from resources.realtime import model, topics
from resources.realtime.presence.model import Device, Status
from resources.realtime.presence.model import Presence as Known
from resources.workflows.executions import Execution

strawberry.enum(Status, name="PresenceStatus")


@strawberry.type
class Presence:
    """How a user is; `lastSeen` is the last activity, where it is known."""

    status: Status
    devices: int
    last_seen: datetime | None
    note: str | None

    @classmethod
    def of(cls, found: Known) -> Presence:
        return cls(status=found.status, devices=found.devices, last_seen=found.last_seen, note=found.note)


@strawberry.type
class Conversation:
    """Two users who wrote to each other."""

    topic: str
    members: list[User]
    position: int
    updated_at: datetime


@strawberry.federation.type(keys=["id"])
class User:
    """Somebody who acts in the tenant: a person, a program, an agent. The id is the user's name."""

    id: strawberry.ID

    @strawberry.field
    async def presence(self, info: strawberry.Info[GraphContext]) -> Presence | None:
        """How the user is."""
        return await info.context.load(presence_of_users, str(self.id))

    @strawberry.field
    async def sessions(self, info: strawberry.Info[GraphContext]) -> list[Session] | None:
        """Where the user is connected."""
        return await info.context.load(sessions_of_users, str(self.id))

    @strawberry.field
    async def learning_progress(self, info: strawberry.Info[GraphContext]) -> UserProgress | None:
        """How far the user is; of others, for those who manage users."""
        return await info.context.load(progress_of_users, str(self.id))


@strawberry.federation.type(keys=["id"])
class Session:
    """One connection of a user. `userId` leads to who it is."""

    id: strawberry.ID
    user: User
    status: Status
    joined_at: datetime
    active_at: datetime
    note: str | None

    @classmethod
    def of(cls, device: Device) -> Session:
        return cls(
            id=strawberry.ID(device.id),
            user=User(id=strawberry.ID(device.user)),
            status=device.status,
            joined_at=device.joined_at,
            active_at=device.active_at,
            note=device.note,
        )


@strawberry.federation.type(keys=["id"])
class Message:
    """Something that was said on a topic. `position` is its place in the order of all messages."""

    id: strawberry.ID
    position: int
    topic: str
    content: JSON
    sender: User | None
    type: str
    priority: str
    created_at: datetime

    @classmethod
    def of(cls, found: model.Message) -> Message:
        return cls(
            id=strawberry.ID(str(found.message_id)),
            position=found.position,
            topic=found.topic,
            content=found.content,
            sender=None if found.sender is None else User(id=strawberry.ID(found.sender)),
            type=found.type,
            priority=model.Priority(found.priority).name,
            created_at=found.created_at,
        )


async def users_by_name(_context: GraphContext, names: list[str]) -> Sequence[User]:
    """A name is all that is known here of a user; who is nobody has been nowhere."""
    return [User(id=strawberry.ID(name)) for name in names]


async def presence_of_users(context: GraphContext, names: list[str]) -> Sequence[Presence | None]:
    """In one statement."""
    found = await context.run(context.services.presence.find, names, tenant=context.tenant, now=datetime.now(UTC))
    by_user = {one.user: Presence.of(one) for one in found}
    return [by_user.get(name) for name in names]


async def sessions_of_users(context: GraphContext, names: list[str]) -> Sequence[list[Session]]:
    """In one statement."""
    found = await context.run(context.services.presence.devices, names, tenant=context.tenant, now=datetime.now(UTC))
    return [[Session.of(device) for device in found if device.user == name] for name in names]


async def sessions_by_id(context: GraphContext, ids: list[str]) -> Sequence[Session | None]:
    """Those that are connected now."""
    found = await context.run(context.services.presence.devices, None, tenant=context.tenant, now=datetime.now(UTC))
    by_id = {device.id: Session.of(device) for device in found}
    return [by_id.get(id) for id in ids]


async def messages_by_id(context: GraphContext, ids: list[str]) -> Sequence[Message | None]:
    """Those that the principal may see, in one statement."""
    asked = {id: named for id in ids if (named := _uuid(id)) is not None}
    store, user = context.services.publisher.messages, context.principal.username
    found = await context.run(store.find, list(asked.values()), tenant=context.tenant, user=user)
    by_id = {one.message_id: Message.of(one) for one in found}
    return [by_id.get(asked[id]) if id in asked else None for id in ids]


async def collaborators_of(context: GraphContext, names: list[str]) -> Sequence[list[User]]:
    """Who published the newest revisions of workflows, or started their newest runs."""
    revisions = await context.run(context.services.workflows.definitions.list, context.tenant)

    def who(name: str, runs: Sequence[Execution]) -> list[User]:
        people = [one.published_by for one in revisions if one.name == name] + [run.user_id for run in runs]
        return [User(id=strawberry.ID(one)) for one in dict.fromkeys(people) if one]

    found = await context.load_many(newest_runs, names)
    return [who(name, runs) for name, runs in zip(names, found, strict=True)]


async def starters_of_runs(context: GraphContext, ids: list[str]) -> Sequence[User | None]:
    """In one statement."""
    found = await context.run(context.services.executions.get_many, ids, context.tenant)
    users = [found[id].user_id if id in found else None for id in ids]
    return [None if user is None else User(id=strawberry.ID(user)) for user in users]


@extends(Workflow)
class _WorkflowPeople:
    @strawberry.field
    async def collaborators(self, info: strawberry.Info[GraphContext]) -> list[User] | None:
        """Who published it, or started one of its newest runs."""
        return await info.context.load(collaborators_of, str(self.id))  # type: ignore[attr-defined]


@extends(WorkflowExecution)
class _ExecutionPeople:
    @strawberry.field
    async def user(self, info: strawberry.Info[GraphContext]) -> User | None:
        """Who started it; null for what a trigger started."""
        return await info.context.load(starters_of_runs, str(self.id))  # type: ignore[attr-defined]


@strawberry.type
class Query:
    """What can be asked of users and messages."""

    @strawberry.field
    async def viewer(self, info: strawberry.Info[GraphContext]) -> User | None:
        """Who asks."""
        return User(id=strawberry.ID(info.context.principal.username))

    @strawberry.field
    async def user(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> User | None:
        """A user, by name."""
        return await info.context.load(users_by_name, str(id))

    @strawberry.field
    async def message(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> Message | None:
        """One message; null when there is none that one may see."""
        return await info.context.load(messages_by_id, str(id))

    @strawberry.field
    async def messages(
        self, info: strawberry.Info[GraphContext], topic: str, first: First = 10, after: After = None
    ) -> Connection[Message] | None:
        """Messages of a topic, or of those that fit a pattern (`orders.*`), in order."""
        context = info.context
        behind = paging.decode("messages", after)
        found = await context.run(
            context.services.publisher.messages.read,
            tenant=context.tenant,
            after=int(behind) if behind is not None and behind.isdigit() else 0,
            patterns=[topics.check_pattern(topic)],
            user=context.principal.username,
            limit=paging.checked(first) + 1,
        )
        listed = [Message.of(one) for one in found]
        return paging.page("messages", listed, lambda one: str(one.position), first=first, after=after)

    @strawberry.field
    async def conversations(self, info: strawberry.Info[GraphContext]) -> list[Conversation] | None:
        """Whom one wrote with, the newest first."""
        context = info.context
        store = context.services.publisher.messages
        found = await context.run(store.conversations, context.principal.username, tenant=context.tenant)
        return [
            Conversation(
                topic=one.topic,
                members=[User(id=strawberry.ID(member)) for member in one.members],
                position=one.position,
                updated_at=one.updated_at,
            )
            for one in found
        ]

    @strawberry.field
    async def online_users(self, info: strawberry.Info[GraphContext]) -> list[User] | None:
        """All who are known to be connected, by name."""
        context = info.context
        found = await context.run(context.services.presence.find, None, tenant=context.tenant, now=datetime.now(UTC))
        return [User(id=strawberry.ID(one.user)) for one in found]


@strawberry.type
class Mutation:
    """What can be said."""

    @strawberry.mutation
    async def send_message(
        self, info: strawberry.Info[GraphContext], topic: str, content: JSON, to: strawberry.ID | None = None
    ) -> Message | None:
        """Say something on a topic; with `to`, to one user alone, and the topic is theirs."""
        context = info.context
        sender = context.principal.username
        if to is None:
            topics.check_publishable(topics.check_topic(topic))
            message = model.NewMessage(topic=topic, content=content, sender=sender)
        else:
            message = model.as_direct(sender, str(to), content)
        publish = context.services.publisher.publish
        return Message.of(await context.run(publish, message, tenant=context.tenant))


@strawberry.type
class PresenceChange:
    """How a user is now."""

    user: User
    presence: Presence


@strawberry.type
class Subscription:
    """What can be followed of users and messages."""

    @strawberry.subscription
    async def messages(
        self, info: strawberry.Info[GraphContext], topic: str, after: int | None = None
    ) -> AsyncIterator[Message]:
        """Messages of topics as they are said, behind the position `after`; unset = from now on."""
        async for message in following.messages(info.context, topics.check_pattern(topic), after):
            yield Message.of(message)

    @strawberry.subscription
    async def presence(
        self, info: strawberry.Info[GraphContext], users: list[strawberry.ID] | None = None
    ) -> AsyncIterator[PresenceChange]:
        """How users are, now and after each change; unset = all who are known."""
        wanted = None if users is None else [str(user) for user in users]
        async for found in following.presence(info.context, wanted, lambda: datetime.now(UTC)):
            yield PresenceChange(user=User(id=strawberry.ID(found.user)), presence=Presence.of(found))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


_PRESENCE, _MESSAGES = "read:presence", "read:messages"
MODULE = Module(
    name="realtime",
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    entities={User: users_by_name, Session: sessions_by_id, Message: messages_by_id},
    access={
        "User": _PRESENCE,
        "Session": _PRESENCE,
        "Message": _MESSAGES,
        "Query.viewer": "anyone",
        "Query.user": _PRESENCE,
        "Query.message": _MESSAGES,
        "Query.messages": _MESSAGES,
        "Query.conversations": _MESSAGES,
        "Query.onlineUsers": _PRESENCE,
        "User.presence": _PRESENCE,
        "User.sessions": _PRESENCE,
        "User.learningProgress": "read:knowledge",
        "Workflow.collaborators": "read:runs",
        "WorkflowExecution.user": "read:runs",
        "Mutation.sendMessage": "write:messages",
        "Subscription.messages": "subscribe:messages",
        "Subscription.presence": _PRESENCE,
    },
)
