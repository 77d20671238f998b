"""The loop of an agent: the model asks for tools, hears what they say, and so on until it has an answer.

Every call of the model and of a tool goes through `AiCalls` (books, budgets, memo), and its outcome is a checkpoint in the run's
journal before the next one begins. A run that is executed again (after a kill, a failure, or an approval) takes what is there and
calls only for what is not. Tools that fail do not end the run: the model is told, and may try something else. Limits do.

Text of tools and documents is marked as data. Once it was read, tools with effects are refused, unless the policy says otherwise:
who writes a web page must not be able to have a mail sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, Field

from resources.agents.approvals import Approvals
from resources.agents.errors import AgentLimitError
from resources.agents.hands import Hands
from resources.agents.instructions import Told, instruct
from resources.agents.journal import Journal, answer_of
from resources.agents.sessions import Sessions
from resources.agents.tools.port import Spent, chosen
from resources.ai import bridge, estimate
from resources.ai.call import CallOptions
from resources.ai.model import Answer, ChatRequest, Message, OutputSchema, Restart, TextDelta, Usage
from resources.ai.structured import read_answer
from resources.ai.telemetry import agent_span
from resources.ai.untrusted import as_data
from resources.events.catalog import (
    AgentAnswered,
    AgentCompleted,
    AgentStarted,
    AgentToolUsed,
    AgentTurnRemembered,
)

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Mapping, Sequence

    from resources.agents.spec import AgentSpec, AgentTask
    from resources.agents.tools.port import Tool
    from resources.ai.model import CallContext, ToolCall
    from resources.ai.pipeline import AiCalls
    from resources.events.store import EventStore
    from resources.prompts.library import PromptLibrary

    Tell = Callable[[Mapping[str, Any]], None]


class ToolUsed(BaseModel):
    """One use of a tool."""

    step: int = Field(description="In which turn of the model, from 1")
    tool: str = Field(description="Name of the tool")
    outcome: str = Field(
        description="answered, failed, invalid (wrong arguments), refused (policy) or denied (by a person)"
    )


class AgentResult(BaseModel):
    """The answer, and what it took. Usage and cost are what was paid for now; `total_` ones of all executions of the run."""

    answer: str = Field(description="The answer as text")
    data: Any = Field(description="The answer as JSON of the asked shape; null when none was asked for")
    finish: str = Field(description="Why the answer ends; stop = it is whole")
    provider: str = Field(description="Who answered")
    model: str = Field(description="Its model")
    steps: int = Field(description="Turns of the model")
    model_calls: int = Field(description="Calls of the model, further tries included")
    tools: list[ToolUsed] = Field(description="Uses of tools, in order")
    usage: Usage = Field(description="Tokens that were paid for now")
    cost: Decimal | None = Field(description="US dollars paid now; null when nobody knows")
    total_tokens: int = Field(description="Tokens of all turns, whenever they were paid")
    total_cost: Decimal | None = Field(description="US dollars of all turns; null when nobody knows")
    resumed: int = Field(description="Turns that an earlier execution of this run had paid for")
    untrusted: bool = Field(description="Whether text of others was read")
    prompts: dict[str, str] = Field(description="Versions of the prompts that it was told")
    simulated: bool = Field(description="Whether no AI model wrote the answer")
    notice: str | None = Field(description="What a reader must be told about that")
    agent_run_id: str = Field(description="The run in the books of agents")


@dataclass(frozen=True, slots=True)
class Occasion:
    """For which run an agent works: `id` is the same each time the run is executed again. `cancel` ends it early."""

    id: uuid.UUID
    context: CallContext
    options: CallOptions = field(default_factory=CallOptions)
    tell: Tell = lambda _: None


class Agents:
    """Runs agents. For one event loop, as `AiCalls` is; `run_sync` for code that is not asynchronous."""

    def __init__(self, ai: AiCalls, prompts: PromptLibrary, events: EventStore) -> None:
        self._ai = ai
        self._prompts = prompts
        self._events = events
        self.approvals = Approvals(events)
        self._sessions = Sessions(events, ai.cipher)

    async def run(self, spec: AgentSpec, task: AgentTask, tools: Sequence[Tool], occasion: Occasion) -> AgentResult:
        """The agent's answer.

        Raises AgentLimitError, ApprovalRequiredError, InvalidInputError for a tool or a prompt that does not fit, and what
        AiCalls.complete raises.
        """
        known = chosen(tools, spec.tools)
        try:
            with agent_span(spec.name, spec.provider, spec.model, occasion.context, session=task.session) as tell:
                async with asyncio.timeout(spec.limits.seconds) as limit:
                    run = await self._begin(spec, task, known, occasion)
                    result = await run.until_answered()
                    await asyncio.to_thread(self._remember, task, run, result)
                tell(result.usage)
                return result
        except TimeoutError as error:
            if not limit.expired():
                raise
            seconds = spec.limits.seconds
            raise AgentLimitError(spec.name, "seconds", seconds, f"it has worked for {seconds:g} seconds") from error

    def run_sync(self, spec: AgentSpec, task: AgentTask, tools: Sequence[Tool], occasion: Occasion) -> AgentResult:
        """As `run`. Not on an event loop's thread."""
        return bridge.run(self.run(spec, task, tools, occasion))

    async def _begin(self, spec: AgentSpec, task: AgentTask, tools: dict[str, Tool], occasion: Occasion) -> _Run:
        tenant = occasion.context.tenant
        journal = Journal(
            self._events,
            occasion.id,
            agent=spec.name,
            tenant=tenant,
            correlation_id=occasion.context.correlation_id,
            cipher=self._ai.cipher,
        )

        def prepare() -> Told:
            journal.read()
            if journal.started is None:
                references = {"system": spec.system, "prompt": spec.prompt}
                versions = {
                    part: self._prompts.get(reference, tenant=tenant).reference
                    for part, reference in references.items()
                    if reference is not None
                }
                turns = 0 if task.session is None else self._sessions.version(task.session, tenant=tenant)
                journal.begin(
                    AgentStarted(
                        agent_run_id=str(occasion.id),
                        agent=spec.name,
                        run_id=occasion.context.run_id,
                        node_id=occasion.context.node_id,
                        prompts=versions,
                        session=task.session,
                        session_version=turns,
                    )
                )
            started = journal.started
            assert started is not None
            told = instruct(spec, task, tools.values(), self._prompts, started.prompts, tenant=tenant)
            if started.session is None:
                return told
            before = self._sessions.recall(
                started.session, up_to=started.session_version, tokens=spec.memory.tokens, tenant=tenant
            )
            return told.after(before)

        told = await asyncio.to_thread(prepare)
        hands = Hands(self._ai, self.approvals, spec, tools, occasion)
        return _Run(self._ai, hands, spec, tools, occasion, journal, told)

    def _remember(self, task: AgentTask, run: _Run, result: AgentResult) -> None:
        run.journal.complete(
            AgentCompleted(
                agent_run_id=result.agent_run_id,
                agent=run.spec.name,
                steps=result.steps,
                model_calls=result.model_calls,
                tool_calls=len(result.tools),
                tokens=result.total_tokens,
                cost_usd=result.total_cost,
            )
        )
        if task.session is not None:
            turn = AgentTurnRemembered(
                agent_run_id=result.agent_run_id,
                agent=run.spec.name,
                session=task.session,
                task=run.told.task,
                answer=result.answer,
                untrusted=result.untrusted,
            )
            self._sessions.remember(turn, run=run.occasion.id, tenant=run.occasion.context.tenant)


@dataclass(slots=True)
class _Run:
    ai: AiCalls
    hands: Hands
    spec: AgentSpec
    tools: dict[str, Tool]
    occasion: Occasion
    journal: Journal
    told: Told
    steps: int = 0
    model_calls: int = 0
    resumed: int = 0
    tokens: int = 0
    cost: Decimal | None = field(default_factory=Decimal)
    usage: Usage = field(default_factory=Usage)
    paid: Decimal | None = field(default_factory=Decimal)
    used: list[ToolUsed] = field(default_factory=list)
    asked: Counter[bytes] = field(default_factory=Counter)
    untrusted: bool = False
    simulated: bool = False

    async def until_answered(self) -> AgentResult:
        self.untrusted = self.told.untrusted
        messages = list(self.told.messages)
        while True:
            self.steps += 1
            if self.steps > self.spec.limits.steps:
                raise self._stop("steps", f"it has had {self.spec.limits.steps} turns without an answer")
            request = self._request(messages)
            fingerprint = request.fingerprint()
            answer = await self._answer(request, fingerprint)
            self.simulated = self.simulated or answer.simulated
            if not answer.calls:
                return self._result(answer, request)
            messages.append(Message(role="assistant", text=answer.text, calls=answer.calls))
            for index, call in enumerate(answer.calls):
                text = await self._use(call, fingerprint, index)
                messages.append(Message(role="tool", text=text, call_id=call.id))

    def _request(self, messages: Sequence[Message]) -> ChatRequest:
        spec = self.spec
        return ChatRequest(
            provider=spec.provider,
            model=spec.model,
            messages=tuple(messages),
            tools=tuple(tool.spec for tool in self.tools.values()),
            output=None if spec.output is None else OutputSchema(json_schema=spec.output),
            max_output_tokens=spec.max_output_tokens,
            temperature=spec.temperature,
            prompt_version=self.told.prompt_version,
        )

    # ------------------------------------------------------------------ the model

    async def _answer(self, request: ChatRequest, fingerprint: str) -> Answer:
        """The model's next turn: the one that was paid for before, or a new one."""
        known = self.journal.answers.get(fingerprint)
        if known is not None:
            self._count(known)
            self.resumed += 1
            answer = answer_of(known)
            if answer.text:
                self.occasion.tell({"text": answer.text})
            return answer
        await self._check_model(request)
        async with self.ai.stream(request, self.occasion.context, self.occasion.options) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    self.occasion.tell({"text": event.text})
                elif isinstance(event, Restart):
                    self.occasion.tell({"restart": event.reason})
            assert events.result is not None
            result = events.result
        saved = result.saved_cost if result.memo == "hit" else result.cost
        spent = result.usage.total or (result.answer.usage.total if result.answer.usage is not None else 0)
        answered = AgentAnswered(
            agent_run_id=str(self.occasion.id),
            agent=self.spec.name,
            step=self.steps,
            request=fingerprint,
            answer=result.answer.model_dump(mode="json", exclude_defaults=True),
            calls=len(result.call_ids),
            tokens=spent,
            cost_usd=saved,
        )
        await asyncio.to_thread(self.journal.answer, answered)
        self._count(answered)
        self.usage += result.usage
        self.paid = _sum(self.paid, result.cost)
        return result.answer

    def _count(self, answered: AgentAnswered) -> None:
        self.model_calls += answered.calls
        self.tokens += answered.tokens
        self.cost = _sum(self.cost, answered.cost_usd)

    async def _check_model(self, request: ChatRequest) -> None:
        """Whether one more call is within the limits, whatever it will cost."""
        limits, most = self.spec.limits, estimate.most(request)
        if self.model_calls >= limits.model_calls:
            raise self._stop("model_calls", f"it has called its model {self.model_calls} times")
        if limits.tokens is not None and self.tokens >= limits.tokens:
            raise self._stop("tokens", f"it has used {self.tokens:,} tokens")
        if limits.usd is not None:
            worst = await asyncio.to_thread(
                self.ai.prices.worst_case, self.occasion.context.tenant, request.provider, request.model, most
            )
            if self.cost is None or worst.cost is None:
                raise self._stop("usd", f"nobody knows what {request.model!r} costs")
            if self.cost + worst.cost > limits.usd:
                raise self._stop("usd", f"it has spent ${self.cost}, and the next call may cost ${worst.cost}")

    # ------------------------------------------------------------------ tools

    async def _use(self, call: ToolCall, fingerprint: str, index: int) -> str:
        """What the model is told about its call of a tool."""
        if len(self.used) >= self.spec.limits.tool_calls:
            raise self._stop("tool_calls", f"it has used tools {len(self.used)} times")
        self._check_repeated(call)
        known = self.journal.tools.get((fingerprint, index))
        if known is None:
            self.occasion.tell({"tool": call.name, "status": "called"})
            spent = Spent()
            outcome, text = await self.hands.use(call, fingerprint, index, spent, untrusted=self.untrusted)
            known = AgentToolUsed(
                agent_run_id=str(self.occasion.id),
                agent=self.spec.name,
                step=self.steps,
                request=fingerprint,
                index=index,
                tool=call.name,
                outcome=outcome,
                text=text,
                tokens=spent.tokens,
                cost_usd=spent.cost,
            )
            await asyncio.to_thread(self.journal.tool, known)
            self.paid = _sum(self.paid, spent.cost)
        self.tokens += known.tokens
        self.cost = _sum(self.cost, known.cost_usd)
        self.used.append(ToolUsed(step=self.steps, tool=call.name, outcome=known.outcome))
        self.occasion.tell({"tool": call.name, "status": known.outcome})
        tool = self.tools.get(call.name)
        if known.outcome in {"answered", "failed"} and tool is not None and not tool.trusted:
            self.untrusted = True
            return as_data(known.text, source=call.name)
        return known.text

    def _check_repeated(self, call: ToolCall) -> None:
        same = orjson.dumps(
            [call.name, call.arguments, call.raw if call.arguments is None else ""], option=orjson.OPT_SORT_KEYS
        )
        self.asked[same] += 1
        if self.asked[same] > self.spec.limits.repeated:
            raise self._stop("repeated", f"it asks {call.name!r} the very same again and again")

    # ------------------------------------------------------------------ the end

    def _result(self, answer: Answer, request: ChatRequest) -> AgentResult:
        output = request.output if answer.finish == "stop" else None
        return AgentResult(
            answer=answer.text,
            data=None if output is None else read_answer(answer.text, output),
            finish=answer.finish,
            provider=answer.provider,
            model=answer.model,
            steps=self.steps,
            model_calls=self.model_calls,
            tools=self.used,
            usage=self.usage,
            cost=self.paid,
            total_tokens=self.tokens,
            total_cost=self.cost,
            resumed=self.resumed,
            untrusted=self.untrusted,
            prompts=self.told.versions,
            simulated=self.simulated,
            notice=answer.notice,
            agent_run_id=str(self.occasion.id),
        )

    def _stop(self, limit: str, reason: str) -> AgentLimitError:
        return AgentLimitError(self.spec.name, limit, getattr(self.spec.limits, limit), reason)


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one + other
