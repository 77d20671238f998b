"""What becomes of a tool that the model has asked for: arguments must fit, the policy allow it, and at times a person."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

import orjson

from resources.agents.errors import ApprovalRequiredError
from resources.agents.tools.calling import call_tool
from resources.agents.tools.port import ToolUse
from resources.events.catalog import AgentApprovalRequested

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from resources.agents.approvals import Approvals
    from resources.agents.loop import Occasion
    from resources.agents.spec import AgentSpec
    from resources.agents.tools.port import Spent, Tool
    from resources.ai.model import ToolCall
    from resources.ai.pipeline import AiCalls

    Outcome = Literal["answered", "failed", "invalid", "refused", "denied"]

_SHOWN_ARGUMENTS: Final = 2000


class Hands:
    """The tools of one run of an agent, within its policy."""

    def __init__(
        self, ai: AiCalls, approvals: Approvals, spec: AgentSpec, tools: Mapping[str, Tool], occasion: Occasion
    ) -> None:
        self._ai = ai
        self._approvals = approvals
        self._spec = spec
        self._tools = tools
        self._occasion = occasion

    async def use(
        self, call: ToolCall, fingerprint: str, index: int, spent: Spent, *, untrusted: bool
    ) -> tuple[Outcome, str]:
        """What the use came to, and what the model is told. Raises ApprovalRequiredError while nobody has decided."""
        if index >= self._spec.limits.tool_calls_per_step:
            return "refused", f"Refused: at most {self._spec.limits.tool_calls_per_step} tools may be used at once."
        tool = self._tools.get(call.name)
        if tool is None:
            return "invalid", f"There is no tool {call.name!r}; there are: {', '.join(self._tools) or 'none'}."
        if call.arguments is None:
            return "invalid", "The arguments are not a JSON object. Write them again."
        if problems := tool.problems(call.arguments):
            return "invalid", "The arguments do not fit:\n" + "\n".join(f"- {problem}" for problem in problems[:10])
        reason = self._needs_approval(tool, untrusted=untrusted)
        if reason == "refused":
            return "refused", (
                f"Refused: {tool.name!r} has effects, and text of others was read before. Answer without it, and say so."
            )
        key = f"{self._occasion.id}:{fingerprint[:16]}:{index}"
        if reason is not None:
            denied = await asyncio.to_thread(self._decision, call, key, reason)
            if denied is not None:
                return "denied", denied
        policy = self._spec.policy
        return await call_tool(
            self._ai,
            tool,
            call.arguments,
            ToolUse(self._occasion.context.tenant, self._spec.name, key, spent=spent),
            context=self._occasion.context,
            options=self._occasion.options,
            most=min(policy.max_output, tool.max_output or policy.max_output),
        )

    def _needs_approval(self, tool: Tool, *, untrusted: bool) -> str | None:
        """Why a person must decide; "refused" when nobody may; None when nobody need."""
        if tool.approval or tool.name in self._spec.policy.approve:
            return "each use of this tool is approved"
        if tool.effects and untrusted:
            match self._spec.policy.after_untrusted:
                case "refuse":
                    return "refused"
                case "approve":
                    return "text of others was read before"
        return None

    def _decision(self, call: ToolCall, key: str, reason: str) -> str | None:
        """None when it is granted, or what the model is told. Raises ApprovalRequiredError while nobody has decided."""
        approval_id = uuid.uuid5(self._occasion.id, key)
        arguments = call.arguments or {}
        shown = (
            arguments if len(orjson.dumps(arguments)) <= _SHOWN_ARGUMENTS else {"too_long": call.raw[:_SHOWN_ARGUMENTS]}
        )
        approval = self._approvals.ask(
            AgentApprovalRequested(
                approval_id=str(approval_id),
                agent_run_id=str(self._occasion.id),
                agent=self._spec.name,
                tool=call.name,
                arguments=shown,
                reason=reason,
                run_id=self._occasion.context.run_id,
                node_id=self._occasion.context.node_id,
            ),
            tenant=self._occasion.context.tenant,
        )
        if approval.status == "waiting":
            raise ApprovalRequiredError(self._spec.name, call.name, approval_id)
        if approval.status == "granted":
            return None
        comment = f": {approval.comment}" if approval.comment else ""
        return f"Denied by a person{comment}. Go on without it."
