"""Why a run of an agent ends without an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.errors import ConflictError, LimitExceededError

if TYPE_CHECKING:
    from uuid import UUID


class AgentLimitError(LimitExceededError):
    """The agent would exceed one of its limits; `limit` names it. What was paid for until then stays recorded."""

    default_code = "agent_limit"

    def __init__(self, agent: str, limit: str, allowed: Any, reason: str) -> None:
        super().__init__(
            f"The agent {agent!r} stops: {reason}. Its limit `{limit}` is {allowed}.",
            limit=limit,
            allowed=str(allowed),
            agent=agent,
        )
        self.limit = limit


class ApprovalRequiredError(ConflictError):
    """A person must approve the use of a tool first. Executed again, the run goes on from here, and pays nothing twice."""

    default_code = "approval_required"

    def __init__(self, agent: str, tool: str, approval_id: UUID) -> None:
        super().__init__(
            f"The agent {agent!r} waits for approval {str(approval_id)!r} of its use of {tool!r}. "
            "Decide it, then execute the run again.",
            approval_id=str(approval_id),
            agent=agent,
            tool=tool,
        )
        self.approval_id = approval_id
