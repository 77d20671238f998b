"""The workflows that somebody has published: every revision for ever, as events of one stream a workflow.

What a name and a revision mean never changes, so revisions are kept in memory once they were read. The list of all workflows is
kept too, and brought up to date from the event store each time it is asked for: whoever has published sees it at once, in every
process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from resources.errors import ConcurrencyError, NotFoundError
from resources.events.catalog import DefinitionArchived, DefinitionPublished, DefinitionRestored
from resources.events.model import Expected, StreamId
from resources.workflows.spec import WorkflowSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from resources.events.model import RecordedEvent
    from resources.events.schema import EventData
    from resources.events.store import EventStore

STREAM_TYPE = "workflow_definition"
_TYPES = frozenset({DefinitionPublished.event_type, DefinitionArchived.event_type, DefinitionRestored.event_type})
_KEPT_REVISIONS = 1024
_PAGE = 500
_TRIES = 8


@dataclass(frozen=True, slots=True)
class Published:
    """One revision. `archived` is a matter of the workflow, and so of its newest revision as it was read."""

    spec: WorkflowSpec
    tenant: str
    revision: int
    sha256: str
    published_at: datetime
    published_by: str | None = None
    note: str | None = None
    archived: bool = False

    @property
    def name(self) -> str:
        return self.spec.name


class WorkflowDefinitions:
    """Publishes workflows and finds them. Checking them is the caller's. Safe to share between threads."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._revisions: OrderedDict[tuple[str, str, int], Published] = OrderedDict()
        self._position = 0
        self._newest: dict[tuple[str, str], Published] = {}

    def publish(
        self, spec: WorkflowSpec, *, tenant: str, user: str | None = None, note: str | None = None
    ) -> Published:
        """Make the spec the newest revision of its name; if it is that already, nothing happens. Restores an archived one."""

        def decide(newest: Published | None) -> EventData | None:
            sha256 = spec.fingerprint()
            if newest is not None and newest.sha256 == sha256:
                return None if not newest.archived else DefinitionRestored(name=spec.name, user_id=user, note=note)
            return DefinitionPublished(
                name=spec.name,
                revision=(newest.revision if newest else 0) + 1,
                sha256=sha256,
                spec=spec.model_dump(mode="json", exclude_defaults=True),
                user_id=user,
                note=note,
            )

        return self._change(spec.name, tenant, decide)

    def archive(
        self,
        name: str,
        *,
        tenant: str,
        user: str | None = None,
        note: str | None = None,
        unless: Callable[[Published], None] | None = None,
    ) -> Published:
        """Offer the workflow no longer, unless `unless` raises for how it is. Raises NotFoundError."""
        event = DefinitionArchived(name=name, user_id=user, note=note)
        return self._turn(name, tenant, event, archived=True, unless=unless)

    def restore(self, name: str, *, tenant: str, user: str | None = None, note: str | None = None) -> Published:
        """Offer it again. Raises NotFoundError."""
        return self._turn(name, tenant, DefinitionRestored(name=name, user_id=user, note=note), archived=False)

    def get(self, name: str, *, tenant: str, revision: int | None = None) -> Published:
        """A revision, or the newest. Raises NotFoundError; for an archived workflow too, unless a revision is named."""
        if revision is None:
            newest = self._read_newest(name, tenant)
            if newest is None or newest.archived:
                raise _not_found(name)
            return newest
        key = tenant, name, revision
        with self._lock:
            found = self._revisions.get(key)
            if found is not None:
                self._revisions.move_to_end(key)
                return found
        for published in self.revisions(name, tenant=tenant):
            if published.revision == revision:
                return published
        raise _not_found(name, revision)

    def revisions(self, name: str, *, tenant: str) -> list[Published]:
        """All revisions, the oldest first. Raises NotFoundError when there is none."""
        found: list[Published] = []
        newest: Published | None = None
        for event in self._events.read_stream(StreamId(STREAM_TYPE, name), tenant=tenant):
            newest = _next(newest, event)
            if newest is not None and event.type == DefinitionPublished.event_type:
                found.append(newest)
                self._keep(newest)
        if not found:
            raise _not_found(name)
        return found

    def list(self, tenant: str | None = None, *, archived: bool = False) -> list[Published]:
        """The newest revision of each workflow, by tenant and name. `tenant=None`: of all, for the platform's own work."""
        with self._lock:
            while True:
                page = self._events.read_all(after_position=self._position, types=_TYPES, limit=_PAGE, tenant=None)
                for event in page:
                    key = event.tenant, event.stream.id
                    newest = _next(self._newest.get(key), event)
                    if newest is not None:
                        self._newest[key] = newest
                    self._position = event.position
                if len(page) < _PAGE:
                    break
            found = [self._newest[key] for key in sorted(self._newest) if tenant in {None, key[0]}]
        return [published for published in found if archived or not published.archived]

    def _turn(
        self,
        name: str,
        tenant: str,
        event: EventData,
        *,
        archived: bool,
        unless: Callable[[Published], None] | None = None,
    ) -> Published:
        def decide(newest: Published | None) -> EventData | None:
            if newest is None:
                raise _not_found(name)
            if unless is not None:
                unless(newest)
            return None if newest.archived is archived else event

        return self._change(name, tenant, decide)

    def _change(self, name: str, tenant: str, decide: Callable[[Published | None], EventData | None]) -> Published:
        """Append what `decide` says about the workflow as it is; anew when somebody else was faster."""
        stream = StreamId(STREAM_TYPE, name)
        for left in reversed(range(_TRIES)):
            newest, version = self._fold(name, tenant)
            event = decide(newest)
            if event is None:
                assert newest is not None
                return newest
            try:
                appended = self._events.append(
                    stream, [event.new()], expected_version=version or Expected.NO_STREAM, tenant=tenant
                )
            except ConcurrencyError:
                if not left:
                    raise
                continue
            changed = _next(newest, appended.events[0])
            assert changed is not None
            return self._keep(changed)
        raise AssertionError("the last try returns or raises")

    def _read_newest(self, name: str, tenant: str) -> Published | None:
        return self._fold(name, tenant)[0]

    def _fold(self, name: str, tenant: str) -> tuple[Published | None, int]:
        """The workflow as it is, and the version of its stream: read backwards to the newest revision."""
        after: list[RecordedEvent] = []
        version: int | None = None
        while version is None or version > 0:
            page = self._events.read_stream(
                StreamId(STREAM_TYPE, name), up_to_version=version, backwards=True, limit=4, tenant=tenant
            )
            for event in page:
                after.append(event)
                if event.type == DefinitionPublished.event_type:
                    newest: Published | None = None
                    for told in reversed(after):
                        newest = _next(newest, told)
                    return newest, after[0].version
            if not page:
                break
            version = page[-1].version - 1
        return None, after[0].version if after else 0

    def _keep(self, published: Published) -> Published:
        key = published.tenant, published.name, published.revision
        with self._lock:
            self._revisions[key] = published
            self._revisions.move_to_end(key)
            while len(self._revisions) > _KEPT_REVISIONS:
                self._revisions.popitem(last=False)
        return published


def _next(newest: Published | None, event: RecordedEvent) -> Published | None:
    """The workflow after one more event."""
    if event.type != DefinitionPublished.event_type:
        archived = event.type == DefinitionArchived.event_type
        return None if newest is None else replace(newest, archived=archived)
    data: dict[str, Any] = dict(event.data)
    return Published(
        spec=WorkflowSpec.model_validate(data["spec"]),
        tenant=event.tenant,
        revision=data["revision"],
        sha256=data["sha256"],
        published_at=event.occurred_at,
        published_by=data["user_id"],
        note=data["note"],
    )


def _not_found(name: str, revision: int | None = None) -> NotFoundError:
    what = f"There is no workflow {name!r}" if revision is None else f"The workflow {name!r} has no revision {revision}"
    return NotFoundError(f"{what}.", code="workflow_not_found", name=name)
