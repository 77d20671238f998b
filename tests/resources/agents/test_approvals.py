"""Uses of tools that a person decides: asked once, decided once, and then gone on with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.agents.approvals import Approvals
from resources.agents.errors import ApprovalRequiredError
from resources.agents.spec import AgentTask, ToolPolicy
from resources.errors import ConflictError, NotFoundError
from resources.events.postgres import PostgresEventStore
from tests.resources.agents.parts import RUN, Stage, asks, occasion, spec, tool
from tests.resources.ai.calls.parts import answer, postgres_calls

if TYPE_CHECKING:
    from resources.agents.loop import AgentResult
    from resources.database.postgres import Database

TASK = AgentTask(prompt="Send it.")


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(PostgresEventStore(database), lambda model: postgres_calls(database, model))


class Mail:
    def __init__(self) -> None:
        self.sent: list[str] = []
        self.tool = tool("send", run=self._send, effects=True, approval=True)

    def _send(self, q: str = "") -> str:
        self.sent.append(q)
        return "sent"


async def run(stage: Stage, mail: Mail, tenant: str, *lines: object) -> AgentResult:
    return await stage.says(*lines).run(spec("send"), TASK, [mail.tool], occasion(RUN, tenant=tenant))  # type: ignore[arg-type]


async def waiting(stage: Stage, mail: Mail, tenant: str) -> str:
    with pytest.raises(ApprovalRequiredError) as caught:
        await run(stage, mail, tenant, asks("send", q="hello"))
    return str(caught.value.approval_id)


async def test_a_run_stops_until_a_person_has_decided_and_then_goes_on_without_paying_again(
    stage: Stage, tenant: str
) -> None:
    mail, approvals = Mail(), Approvals(stage.events)
    first = await waiting(stage, mail, tenant)
    assert await waiting_again(stage, mail, tenant) == first
    (asked,) = approvals.list(tenant=tenant)
    assert (asked.id, asked.tool, asked.arguments, asked.run_id, asked.status) == (
        first,
        "send",
        {"q": "hello"},
        "r1",
        "waiting",
    )
    assert mail.sent == []
    approvals.decide(first, granted=True, user="ann", tenant=tenant)
    result = await run(stage, mail, tenant, answer("done"))
    assert mail.sent == ["hello"]
    assert (result.answer, result.resumed, len(stage.model.requests)) == ("done", 1, 1)
    assert approvals.list(tenant=tenant) == []
    assert approvals.list(tenant=tenant, waiting=False)[0].decided_by == "ann"


async def waiting_again(stage: Stage, mail: Mail, tenant: str) -> str:
    """Executed again without a decision, it waits for the same, and asks no model."""
    with pytest.raises(ApprovalRequiredError) as caught:
        await run(stage, mail, tenant)
    assert stage.model.requests == []
    return str(caught.value.approval_id)


async def test_what_was_denied_is_not_done_and_the_model_hears_why(stage: Stage, tenant: str) -> None:
    mail = Mail()
    approval = await waiting(stage, mail, tenant)
    Approvals(stage.events).decide(approval, granted=False, comment="not now", tenant=tenant)
    result = await run(stage, mail, tenant, answer("a pity"))
    assert mail.sent == []
    assert result.tools[0].outcome == "denied"
    assert stage.model.requests[0].messages[-1].text == "Denied by a person: not now. Go on without it."


async def test_a_use_that_was_approved_is_not_done_twice(stage: Stage, tenant: str) -> None:
    mail = Mail()
    Approvals(stage.events).decide(await waiting(stage, mail, tenant), granted=True, tenant=tenant)
    await run(stage, mail, tenant, answer("done"))
    await run(stage, mail, tenant)
    assert mail.sent == ["hello"]


async def test_nobody_decides_twice(stage: Stage, tenant: str) -> None:
    approvals = Approvals(stage.events)
    approval = await waiting(stage, Mail(), tenant)
    approvals.decide(approval, granted=False, tenant=tenant)
    with pytest.raises(ConflictError, match="denied already"):
        approvals.decide(approval, granted=True, tenant=tenant)


async def test_another_tenant_sees_and_decides_nothing(stage: Stage, tenant: str) -> None:
    approvals = Approvals(stage.events)
    approval = await waiting(stage, Mail(), tenant)
    assert approvals.list(tenant=f"{tenant}-other") == []
    with pytest.raises(NotFoundError):
        approvals.decide(approval, granted=True, tenant=f"{tenant}-other")


async def test_the_policy_can_ask_for_approval_of_effects_after_text_of_others(stage: Stage, tenant: str) -> None:
    sent: list[str] = []
    send = tool("send", run=lambda q="": sent.append(q), effects=True)
    careful = spec("look", "send", policy=ToolPolicy(after_untrusted="approve"))
    agents = stage.says(asks("look"), asks("send", q="x"))
    with pytest.raises(ApprovalRequiredError):
        await agents.run(careful, TASK, [tool(), send], occasion(tenant=tenant))
    assert Approvals(stage.events).list(tenant=tenant)[0].reason == "text of others was read before"
    assert sent == []
