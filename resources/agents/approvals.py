"""Uses of tools that a person has to approve: asked for by agents, decided through the API or at the shell.

One stream each, `agent_approval/<id>`. The id follows from the run and the use: executed again, a run asks for the same.
"""

from __future__ import annotations

from datetime import datetime  # pydantic reads the annotations at run time
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from resources.errors import ConcurrencyError, ConflictError, NotFoundError
from resources.events.aggregate import Aggregate, on
from resources.events.catalog import AgentApprovalDecided, AgentApprovalRequested
from resources.events.model import DEFAULT_TENANT
from resources.events.repository import AggregateRepository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.events.store import EventStore

_PAGE = 1000
_NEWEST = 500


class Approval(BaseModel):
    """A use of a tool, and what was decided about it."""

    id: str = ""
    status: Literal["waiting", "granted", "denied"] = "waiting"
    agent: str = ""
    tool: str = ""
    arguments: dict[str, Any] = {}
    reason: str = ""
    run_id: str | None = None
    node_id: str | None = None
    requested_at: datetime | None = None
    decided_at: datetime | None = None
    decided_by: str | None = None
    comment: str | None = None


class AgentApproval(Aggregate[Approval]):
    """One approval. What is decided stays so."""

    stream_type = "agent_approval"
    state_type = Approval

    def request(self, asked: AgentApprovalRequested) -> None:
        self.record(asked)

    def decide(self, *, granted: bool, user: str | None, comment: str | None) -> None:
        if self.state.status != "waiting":
            raise ConflictError(
                f"The approval {self.id!r} is {self.state.status} already.", code="approval_decided", approval=self.id
            )
        self.record(AgentApprovalDecided(approval_id=self.id, granted=granted, user=user, reason=comment))

    @on(AgentApprovalRequested)
    def _requested(self, data: AgentApprovalRequested, at: datetime) -> None:
        self.state = Approval(
            id=data.approval_id,
            agent=data.agent,
            tool=data.tool,
            arguments=data.arguments,
            reason=data.reason,
            run_id=data.run_id,
            node_id=data.node_id,
            requested_at=at,
        )

    @on(AgentApprovalDecided)
    def _decided(self, data: AgentApprovalDecided, at: datetime) -> None:
        self.state.status = "granted" if data.granted else "denied"
        self.state.decided_at = at
        self.state.decided_by = data.user
        self.state.comment = data.reason


class Approvals:
    """All approvals of all tenants."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._repository = AggregateRepository(events)

    def ask(self, asked: AgentApprovalRequested, *, tenant: str) -> Approval:
        """The approval as it stands; asked for now if nobody has before."""
        found = self._load(asked.approval_id, tenant)
        if found is None:
            found = AgentApproval(asked.approval_id)
            found.request(asked)
            try:
                self._repository.save(found, tenant=tenant)
            except ConcurrencyError:
                return self.get(asked.approval_id, tenant=tenant)
        return found.state

    def get(self, approval_id: str, *, tenant: str = DEFAULT_TENANT) -> Approval:
        """Raises NotFoundError."""
        return self._known(approval_id, tenant).state

    def decide(
        self,
        approval_id: str,
        *,
        granted: bool,
        user: str | None = None,
        comment: str | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> Approval:
        """Grant or deny. Raises NotFoundError, ConflictError (`approval_decided`) when that was done before."""
        found = self._known(approval_id, tenant)
        found.decide(granted=granted, user=user, comment=comment)
        try:
            self._repository.save(found, tenant=tenant)
        except ConcurrencyError as error:
            raise ConflictError(
                f"The approval {approval_id!r} was decided by somebody else just now.", code="approval_decided"
            ) from error
        return found.state

    def list(self, *, tenant: str = DEFAULT_TENANT, waiting: bool = True) -> Sequence[Approval]:
        """Those that wait, or all; the newest first, 500 at most."""
        found: dict[str, Approval] = {}
        position = 0
        while page := self._events.read_all(
            after_position=position,
            types={AgentApprovalRequested.event_type, AgentApprovalDecided.event_type},
            limit=_PAGE,
            tenant=tenant,
        ):
            position = page[-1].position
            for event in page:
                approval = found.pop(event.stream.id, None) or Approval()
                aggregate = AgentApproval(event.stream.id, approval)
                aggregate.replay(event)
                found[event.stream.id] = aggregate.state
        newest = sorted(found.values(), key=lambda one: str(one.requested_at), reverse=True)
        return [one for one in newest if one.status == "waiting" or not waiting][:_NEWEST]

    def _known(self, approval_id: str, tenant: str) -> AgentApproval:
        found = self._load(approval_id, tenant)
        if found is None:
            raise NotFoundError(f"There is no approval {approval_id!r}.", code="approval_not_found")
        return found

    def _load(self, approval_id: str, tenant: str) -> AgentApproval | None:
        return self._repository.load(AgentApproval, approval_id, tenant=tenant)
