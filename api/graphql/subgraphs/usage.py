"""What models were asked, with which prompts, what it cost, and what may be spent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from api.graphql.context import GraphContext
from api.graphql.inputs import validated
from api.graphql.module import Module, extends
from api.graphql.paging import First, checked
from api.graphql.subgraphs.workflows import WorkflowExecution
from resources.ai.budgets import model as budgets
from resources.ai.ledger.model import CallRecord
from resources.errors import InvalidInputError, NotFoundError
from resources.prompts import model as prompts

_PERIOD = timedelta(days=30)
_CALLS_OF_RUNS = 1000


@strawberry.federation.type(keys=["id"])
class PromptVersion:
    """One published state of a prompt, which never changes. Its id is `prompt@version`."""

    id: strawberry.ID
    prompt_id: str
    version: int
    name: str
    description: str
    content: str
    system: str | None
    tags: list[str]
    sha256: str
    created_at: datetime
    created_by: str | None
    comment: str | None

    @classmethod
    def of(cls, found: prompts.PromptVersion) -> PromptVersion:
        same = ("version", "content", "system", "sha256", "created_at", "created_by", "comment")
        return cls(
            id=strawberry.ID(found.reference),
            prompt_id=found.spec.id,
            name=found.spec.name,
            description=found.spec.description,
            tags=list(found.spec.tags),
            **{name: getattr(found, name) for name in same},
        )


@strawberry.federation.type(keys=["id"])
class ModelCall:
    """One call of a model in the books. `costUsd` is null when nobody knows it."""

    id: strawberry.ID
    created_at: datetime
    kind: str
    outcome: str
    memo: str
    provider: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None
    measured: bool
    simulated: bool
    latency_ms: float | None
    error_code: str | None
    run_id: strawberry.ID | None
    node_id: str | None
    asset: str | None
    partition: str | None
    prompt_reference: str | None

    @strawberry.field
    async def prompt_version(self, info: strawberry.Info[GraphContext]) -> PromptVersion | None:
        """What the model was told; null for a call without a prompt of the library."""
        return await prompt_of(info.context, self.prompt_reference)

    @classmethod
    def of(cls, record: CallRecord) -> ModelCall:
        same = (
            "created_at", "kind", "outcome", "memo", "provider", "model", "measured", "simulated", "latency_ms", "error_code",
        )  # fmt: skip
        usage, context = record.usage, record.context
        return cls(
            id=strawberry.ID(str(record.call_id)),
            input_tokens=None if usage is None else usage.input,
            output_tokens=None if usage is None else usage.output,
            cost_usd=record.cost,
            run_id=None if context.run_id is None else strawberry.ID(context.run_id),
            node_id=context.node_id,
            asset=context.asset,
            partition=context.partition,
            prompt_reference=record.prompt_version,
            **{name: getattr(record, name) for name in same},
        )


@strawberry.type
class UsageShare:
    """Sums over the calls of one provider, model, user or workflow; null = of those that have none."""

    name: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal

    @classmethod
    def of(cls, found: Any) -> UsageShare:
        same = ("name", "calls", "input_tokens", "output_tokens")
        return cls(cost_usd=found.cost, **{name: getattr(found, name) for name in same})


@strawberry.type
class UsageSummary:
    """A period in figures."""

    since: datetime
    until: datetime
    total: UsageShare
    providers: list[UsageShare]
    models: list[UsageShare]
    users: list[UsageShare]
    workflows: list[UsageShare]


@strawberry.type
class Budget:
    """A limit of dollars (`usd`), requests to models, or their tokens."""

    id: strawberry.ID
    scope: str
    subject: str
    unit: str
    period: str
    limit: Decimal
    hard: bool

    @classmethod
    def of(cls, found: budgets.Budget) -> Budget:
        same = ("scope", "subject", "unit", "period", "limit", "hard")
        return cls(id=strawberry.ID(str(found.budget_id)), **{name: getattr(found, name) for name in same})


@strawberry.type
class BudgetStatus:
    """How a budget stands in the current period."""

    budget: Budget
    subject: str
    spent: Decimal
    reserved: Decimal
    remaining: Decimal
    health: str
    calls: int


async def calls_by_id(context: GraphContext, ids: list[str]) -> Sequence[ModelCall | None]:
    """In one statement."""
    asked = {id: named for id in ids if (named := _uuid(id)) is not None}
    found = await context.run(context.services.ai.books.find, list(asked.values()), tenant=context.tenant)
    by_id = {record.call_id: ModelCall.of(record) for record in found}
    return [by_id.get(asked[id]) if id in asked else None for id in ids]


async def calls_of_runs(context: GraphContext, runs: list[str]) -> Sequence[list[ModelCall]]:
    """The newest first, in one statement."""
    books = context.services.ai.books
    found = await context.run(books.find, run_ids=runs, tenant=context.tenant, limit=_CALLS_OF_RUNS)
    return [[ModelCall.of(record) for record in found if record.context.run_id == run] for run in runs]


async def prompts_by_reference(context: GraphContext, references: list[str]) -> Sequence[PromptVersion | None]:
    """`id@3`; each prompt's stream is read once."""

    def read() -> list[PromptVersion | None]:
        library, tenant = context.services.prompts, context.tenant
        versions: dict[str, dict[str, PromptVersion]] = {}
        for id in dict.fromkeys(reference.partition("@")[0] for reference in references):
            try:
                found = [PromptVersion.of(one) for one in library.versions(id, tenant=tenant)]
            except (NotFoundError, InvalidInputError):
                found = []
            versions[id] = {str(one.id): one for one in found}
        return [versions[reference.partition("@")[0]].get(reference) for reference in references]

    return await context.run(read)


async def prompt_of(context: GraphContext, reference: str | None) -> PromptVersion | None:
    """The version that a call names."""
    return None if reference is None else await context.load(prompts_by_reference, reference)


def cost_of(calls: Sequence[ModelCall]) -> Decimal | None:
    """The sum of what is known; None when nothing is."""
    known = [call.cost_usd for call in calls if call.cost_usd is not None]
    return sum(known, Decimal(0)) if known else None


@extends(WorkflowExecution)
class _ExecutionUsage:
    @strawberry.field
    async def calls(self, info: strawberry.Info[GraphContext]) -> list[ModelCall] | None:
        """The calls of models that it made, the newest first."""
        return await info.context.load(calls_of_runs, str(self.id))  # type: ignore[attr-defined]

    @strawberry.field
    async def cost_usd(self, info: strawberry.Info[GraphContext]) -> Decimal | None:
        """What they cost together, as far as it is known."""
        return cost_of(await info.context.load(calls_of_runs, str(self.id)))  # type: ignore[attr-defined]


@strawberry.type
class Query:
    """What can be asked of models, prompts and money."""

    @strawberry.field
    async def model_call(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> ModelCall | None:
        """One call; null when there is none."""
        return await info.context.load(calls_by_id, str(id))

    @strawberry.field
    async def model_calls(
        self,
        info: strawberry.Info[GraphContext],
        first: First = 10,
        run_id: strawberry.ID | None = None,
        asset: str | None = None,
        partition: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[ModelCall] | None:
        """The newest calls; go on with `until` = the time of the last."""
        found = await info.context.run(
            info.context.services.ai.books.calls,
            tenant=info.context.tenant,
            run_id=None if run_id is None else str(run_id),
            asset=asset,
            partition=partition,
            since=since,
            until=until,
            limit=checked(first),
        )
        return [ModelCall.of(record) for record in found]

    @strawberry.field
    async def usage_summary(
        self, info: strawberry.Info[GraphContext], since: datetime | None = None, until: datetime | None = None
    ) -> UsageSummary | None:
        """Calls, tokens and cost of a period; unset = the last 30 days."""
        end = until or datetime.now(UTC)
        start = since or end - _PERIOD
        if start >= end:
            raise InvalidInputError("The period has to end after it begins.", code="period_invalid")
        found = await info.context.run(
            info.context.services.ai.usage.summary, tenant=info.context.tenant, since=start, until=end
        )
        parts = {
            name: [*map(UsageShare.of, getattr(found, name))] for name in ("providers", "models", "users", "workflows")
        }
        return UsageSummary(since=start, until=end, total=UsageShare.of(found.total), **parts)

    @strawberry.field
    async def prompt_version(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> PromptVersion | None:
        """A version by reference: `id@3`, `id@label`, or `id` for what is in production, else the newest."""

        def read() -> PromptVersion | None:
            try:
                return PromptVersion.of(info.context.services.prompts.get(str(id), tenant=info.context.tenant))
            except NotFoundError:
                return None

        return await info.context.run(read)

    @strawberry.field
    async def prompts(self, info: strawberry.Info[GraphContext], tag: str | None = None) -> list[PromptVersion] | None:
        """The newest version of each prompt, by id."""
        found = await info.context.run(info.context.services.prompts.list, tenant=info.context.tenant, tag=tag)
        return [PromptVersion.of(one) for one in found]

    @strawberry.field
    async def budgets(self, info: strawberry.Info[GraphContext]) -> list[BudgetStatus] | None:
        """The tenant's budgets and how they stand."""
        context = info.context
        found = await context.run(context.services.ai.budgets.statuses, tenant=context.tenant, now=datetime.now(UTC))
        same = ("subject", "spent", "reserved", "remaining", "health", "calls")
        return [
            BudgetStatus(budget=Budget.of(one.budget), **{name: getattr(one, name) for name in same}) for one in found
        ]


@strawberry.input
class PromptInput:
    """What an author writes: see `POST /api/v1/prompts`. `variables`: name → type."""

    id: str
    content: str
    system: str | None = None
    name: str = ""
    description: str = ""
    variables: JSON | None = None
    tags: list[str] = strawberry.field(default_factory=list)


@strawberry.input
class BudgetInput:
    """A limit of dollars (`usd`), requests or tokens. One with the same scope, subject, unit and period is changed."""

    limit: Decimal
    unit: str = "usd"
    scope: str = "tenant"
    subject: str = budgets.EACH
    period: str = "month"
    hard: bool = True


@strawberry.type
class Mutation:
    """What can be done with prompts and budgets."""

    @strawberry.mutation
    async def publish_prompt(
        self, info: strawberry.Info[GraphContext], prompt: PromptInput, comment: str | None = None
    ) -> PromptVersion | None:
        """A new version; the newest one when nothing changed."""
        context = info.context
        spec = validated(prompts.PromptSpec, {**vars(prompt), "variables": prompt.variables or {}})
        found = await context.run(
            context.services.prompts.publish,
            spec,
            tenant=context.tenant,
            user=context.principal.username,
            comment=comment,
        )
        return PromptVersion.of(found)

    @strawberry.mutation
    async def label_prompt(
        self, info: strawberry.Info[GraphContext], id: strawberry.ID, label: str
    ) -> PromptVersion | None:
        """Move a label to a version (`id@3`)."""
        context = info.context
        move = context.services.prompts.label
        found = await context.run(move, str(id), label, tenant=context.tenant, user=context.principal.username)
        return PromptVersion.of(found)

    @strawberry.mutation
    async def set_budget(self, info: strawberry.Info[GraphContext], budget: BudgetInput) -> Budget | None:
        """From the next call on."""
        from api.routes.budgets import BudgetIn

        context = info.context
        asked = validated(BudgetIn, vars(budget))
        if asked.scope == "global":
            raise InvalidInputError("A global budget is the platform's; use the scope tenant.", code="budget_scope")
        own = asked.scope == "tenant" and asked.subject == budgets.EACH
        kept = await context.run(
            context.services.ai.budgets.put,
            budgets.Budget(
                scope=asked.scope,
                subject=context.tenant if own else asked.subject,
                unit=asked.unit,
                period=asked.period,
                limit=asked.limit,
                tenant=context.tenant,
                hard=asked.hard,
            ),
        )
        return Budget.of(kept)

    @strawberry.mutation
    async def remove_budget(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> bool | None:
        """Its limit holds no longer."""
        context = info.context
        budget = _uuid(str(id))
        if budget is None:
            raise InvalidInputError(f"{str(id)[:100]!r} is no id of a budget.", code="budget_id")
        await context.run(context.services.ai.budgets.remove, budget, tenant=context.tenant)
        return True


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


MODULE = Module(
    name="usage",
    query=Query,
    mutation=Mutation,
    entities={ModelCall: calls_by_id, PromptVersion: prompts_by_reference},
    cache={"Query.promptVersion": 60, "Query.prompts": 60},
    access={
        "ModelCall": "read:usage",
        "PromptVersion": "read:prompts",
        "Query.modelCall": "read:usage",
        "Query.modelCalls": "read:usage",
        "Query.usageSummary": "read:usage",
        "Query.promptVersion": "read:prompts",
        "Query.prompts": "read:prompts",
        "Query.budgets": "read:budgets",
        "ModelCall.promptVersion": "read:prompts",
        "WorkflowExecution.calls": "read:usage",
        "WorkflowExecution.costUsd": "read:usage",
        "Mutation.publishPrompt": "write:prompts",
        "Mutation.labelPrompt": "write:prompts",
        "Mutation.setBudget": "manage:budgets",
        "Mutation.removeBudget": "manage:budgets",
    },
)
