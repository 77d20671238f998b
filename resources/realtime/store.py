"""The ports of realtime: the log of messages, who is there, and the rules of routing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.realtime.model import Conversation, Delivery, DeliveryStatus, Message, NewMessage, Notice, Retention
    from resources.realtime.presence.model import Device, Joined, Presence, Status
    from resources.realtime.rules.model import Rule


class Fanout(Protocol):
    """How processes tell one another that there is news: ids, never contents.

    The promise: what was told is heard by every watcher of every process, in the order in which one process told it; or, where a
    connection broke, a notice of kind `lost` is heard instead, as soon as there is a new one. It may be heard twice.
    """

    def tell(self, notices: Collection[Notice]) -> None:
        """Tell every watcher of every process. Raises UnavailableError."""

    def watch(self, notice: Callable[[Sequence[Notice]], None]) -> Callable[[], None]:
        """Call `notice`, from any thread, with what is told from now on, until the returned function is called."""

    def close(self) -> None:
        """Hear no more."""


class MessageStore(Protocol):
    """An ordered log of messages for each tenant, that any process writes to and all hear of.

    The promise: positions of a tenant are gapless, and no reader sees n+1 before a still uncommitted n; a message id is stored
    once. Every verb raises UnavailableError; a `publish` that ended so may have happened: repeat it with the same ids.
    """

    def publish(self, messages: Sequence[NewMessage], *, tenant: str) -> Sequence[Message]:
        """Store the messages, all or none, and tell every watcher. One with a known id comes back with its former place."""

    def read(
        self,
        *,
        tenant: str,
        after: int = 0,
        up_to: int | None = None,
        patterns: Collection[str] | None = None,
        user: str | None = None,
        transient: bool = False,
        limit: int = 500,
    ) -> Sequence[Message]:
        """Messages above the position `after`, in order; those that `user` may see (None = all).

        `transient`: also those that do not persist, while they are there.
        """

    def find(self, message_ids: Collection[UUID], *, tenant: str, user: str | None = None) -> Sequence[Message]:
        """Those of these messages that are kept and that `user` may see (None = all), in order of position."""

    def history(
        self,
        topic: str,
        *,
        tenant: str,
        user: str | None = None,
        before: int | None = None,
        before_time: datetime | None = None,
        limit: int = 50,
    ) -> Sequence[Message]:
        """The newest messages of a topic below a position or time, oldest first. Expired ones are there, too."""

    def last_values(
        self, patterns: Collection[str], *, tenant: str, user: str | None, now: datetime
    ) -> Sequence[Message]:
        """The newest unexpired message of each topic that fits, in order of position; of 200 topics at most."""

    def search(self, query: str, *, tenant: str, user: str | None, limit: int = 50) -> Sequence[Message]:
        """Messages that hold all the words, newest first. Words are as a search engine takes them: "quoted", or, -not."""

    def head(self, *, tenant: str) -> int:
        """The position of the newest message; 0 when there is none."""

    def heads(self, tenants: Collection[str]) -> Mapping[str, int]:
        """The positions of the newest messages of those tenants that have any."""

    def undelivered(self, users: Collection[str], *, tenant: str, now: datetime) -> Sequence[tuple[str, Message]]:
        """What was sent to these users and not delivered yet, unexpired, in order of position."""

    def direct(self, user: str, *, tenant: str, after: int, up_to: int, limit: int = 500) -> Sequence[Message]:
        """Messages to the user alone, above a position, in order."""

    def confirm(self, confirmations: Collection[tuple[UUID, str, DeliveryStatus]], *, tenant: str) -> int:
        """Note what became of messages (id, user, status); tells watchers of each that is news. Never goes backwards."""

    def deliveries(self, message_id: UUID, *, tenant: str) -> Sequence[Delivery]:
        """What became of a message, by user."""

    def conversations(self, user: str, *, tenant: str) -> Sequence[Conversation]:
        """Whom the user wrote with, newest first."""

    def tell(self, notices: Collection[Notice]) -> None:
        """Tell every watcher of every process. Nothing is stored."""

    def sweep(self, now: datetime, *, retention: Retention) -> int:
        """Remove what is kept no longer, note expired deliveries as failed; how many messages went."""

    def watch(self, notice: Callable[[Sequence[Notice]], None]) -> Callable[[], None]:
        """Call `notice`, from any thread, at each news, until the returned function is called.

        News can be missed when a connection breaks: then a notice of kind `lost` comes.
        """


class PresenceStore(Protocol):
    """Who is connected, where, and how they are. A device is one connection."""

    def join(self, devices: Sequence[Device]) -> Sequence[Joined]:
        """Add devices, one after the other; how many there were then. Those of processes that died long ago do not count.

        Exact also when several processes add some at a time: no two are told the same.
        """

    def leave(self, ids: Collection[str]) -> None:
        """Remove devices."""

    def update(self, id: str, *, at: datetime, status: Status | None = None, note: str | None = None) -> None:
        """The user did something on this device, or said how it is."""

    def beat(self, hub: str, *, at: datetime) -> int:
        """The process lives; how many devices it is known to have."""

    def find(self, users: Collection[str] | None, *, tenant: str, now: datetime) -> Sequence[Presence]:
        """How these users are (None = all who are known), by name."""

    def devices(self, users: Collection[str] | None, *, tenant: str, now: datetime) -> Sequence[Device]:
        """Where these users (None = all) are connected, in order of user and id."""

    def sweep(self, now: datetime) -> int:
        """Forget the devices of processes that are gone; how many."""


class RuleStore(Protocol):
    """Routing rules of tenants."""

    def save(self, rule: Rule, *, tenant: str, unless: Callable[[Rule | None], None] | None = None) -> None:
        """Store a rule, in place of one of its name, unless `unless` raises for that one (None = there is none). Tells watchers.

        Nobody changes it in between.
        """

    def get(self, name: str, *, tenant: str) -> Rule:
        """Raises NotFoundError."""

    def remove(self, name: str, *, tenant: str, unless: Callable[[Rule | None], None] | None = None) -> None:
        """Unless `unless` raises for how it is. Raises NotFoundError."""

    def list(self, *, tenant: str) -> Sequence[Rule]:
        """All rules, by name."""


def unknown_rule(name: str) -> NotFoundError:
    """The error for a rule that there is not."""
    return NotFoundError(f"There is no rule {name!r}.", code="rule_not_found")
