"""Where knowledge comes from: runs, the assets that they made, and what each concept rests on, with its price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import strawberry

from api.graphql.context import GraphContext
from api.graphql.module import Module, extends
from api.graphql.paging import First, checked
from api.graphql.subgraphs.content import Document, documents_by_id
from api.graphql.subgraphs.knowledge import Concept, concepts_of
from api.graphql.subgraphs.usage import (
    ModelCall,
    PromptVersion,
    calls_by_id,
    calls_of_runs,
    cost_of,
    prompts_by_reference,
)
from api.mcp.lineage import Lineage
from resources.knowledge.model import Support

if TYPE_CHECKING:
    from definitions.runtime.runs import RunAssets, RunLine

CONCEPTS = "knowledge/concepts"
"""The asset that weaves what a document says into the graph; its partitions are documents."""

_SHOWN = 10


@strawberry.federation.type(keys=["id"])
class Asset:
    """An asset of Dagster, by its key."""

    id: strawberry.ID

    @strawberry.field
    async def depends_on(self, info: strawberry.Info[GraphContext]) -> list[Asset] | None:
        """What it is made of."""
        found = await _lineage(info.context, str(self.id))
        return [Asset(id=strawberry.ID(key)) for key in found.asset.depends_on]

    @strawberry.field
    async def used_by(self, info: strawberry.Info[GraphContext]) -> list[Asset] | None:
        """What is made of it."""
        found = await _lineage(info.context, str(self.id))
        return [Asset(id=strawberry.ID(key)) for key in found.asset.used_by]


@strawberry.type
class MadeAsset:
    """What a run made of an asset: one partition of it, where it has partitions."""

    asset: Asset
    partition: str | None

    @strawberry.field
    async def document(self, info: strawberry.Info[GraphContext]) -> Document | None:
        """The document that the partition is of."""
        return None if self.partition is None else await info.context.load(documents_by_id, self.partition)

    @strawberry.field
    async def concepts(self, info: strawberry.Info[GraphContext], first: First = 10) -> list[Concept] | None:
        """What the document of the partition is about."""
        return [] if self.partition is None else await concepts_of(info.context, self.partition, checked(first))


@strawberry.federation.type(keys=["id"])
class Run:
    """A run of Dagster. `status` is Dagster's, in small letters."""

    id: strawberry.ID
    job: str
    status: str
    partition: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @strawberry.field
    async def assets(self, info: strawberry.Info[GraphContext]) -> list[MadeAsset] | None:
        """What it made."""
        found: RunAssets | None = await info.context.load(assets_of_runs, str(self.id))
        if found is None:
            return None
        return [MadeAsset(asset=Asset(id=strawberry.ID(key)), partition=found.partition) for key in found.asset_keys]

    @strawberry.field
    async def calls(self, info: strawberry.Info[GraphContext]) -> list[ModelCall] | None:
        """The calls of models that it made, the newest first."""
        return await info.context.load(calls_of_runs, str(self.id))

    @strawberry.field
    async def cost_usd(self, info: strawberry.Info[GraphContext]) -> Decimal | None:
        """What they cost together, as far as it is known."""
        return cost_of(await info.context.load(calls_of_runs, str(self.id)))

    @classmethod
    def of(cls, found: RunLine) -> Run:
        same = ("job", "status", "partition", "created_at", "started_at", "ended_at")
        return cls(id=strawberry.ID(found.id), **{name: getattr(found, name) for name in same})


@strawberry.type
class Evidence:
    """One document that supports a concept: the partition of the asset that said so, in which run, by which calls, its price."""

    asset: Asset
    partition: strawberry.ID
    weight: float | None
    run: Run | None
    calls: list[ModelCall]
    cost_usd: Decimal | None
    prompt_reference: str | None

    @strawberry.field
    async def document(self, info: strawberry.Info[GraphContext]) -> Document | None:
        """The document."""
        return await info.context.load(documents_by_id, str(self.partition))

    @strawberry.field
    async def prompt_version(self, info: strawberry.Info[GraphContext]) -> PromptVersion | None:
        """What the model was told; null where rules have read the document."""
        if self.prompt_reference is None:
            return None
        return await info.context.load(prompts_by_reference, self.prompt_reference)


async def runs_by_id(context: GraphContext, ids: list[str]) -> Sequence[Run | None]:
    """In one statement."""
    found: Mapping[str, RunLine] = await context.run(context.services.runs.lines, ids, tenant=context.tenant)
    return [Run.of(found[id]) if id in found else None for id in ids]


async def assets_of_runs(context: GraphContext, ids: list[str]) -> Sequence[RunAssets | None]:
    """What they made, in two statements for all of them."""
    found: Mapping[str, RunAssets] = await context.run(context.services.runs.assets, ids, tenant=context.tenant)
    return [found.get(id) for id in ids]


async def assets_by_key(_context: GraphContext, keys: list[str]) -> Sequence[Asset]:
    """A key is all that is known of an asset before Dagster is asked."""
    return [Asset(id=strawberry.ID(key)) for key in keys]


async def supports_of(context: GraphContext, concepts: list[str]) -> Sequence[list[Support]]:
    """In one look at the graph."""
    found = await context.run(context.services.graph.supports, concepts, tenant=context.tenant, limit=_SHOWN)
    return [found[concept] for concept in concepts]


async def _lineage(context: GraphContext, key: str) -> Any:
    return await context.run(Lineage(context.dagster_url).of, key, services=context.services, tenant=context.tenant)


async def _evidence(context: GraphContext, support: Support) -> Evidence:
    named = sorted({call for said in support.evidence for call in said.calls})
    calls: list[ModelCall] = await context.load_many(calls_by_id, named)
    run = None if support.run_id is None else await context.load(runs_by_id, support.run_id)
    return Evidence(
        asset=Asset(id=strawberry.ID(CONCEPTS)),
        partition=strawberry.ID(support.document_id),
        weight=support.weight,
        run=run,
        calls=calls,
        cost_usd=cost_of(calls),
        prompt_reference=next((call.prompt_reference for call in calls if call.prompt_reference), None),
    )


@extends(Concept)
class _ConceptLineage:
    @strawberry.field
    async def evidence(self, info: strawberry.Info[GraphContext]) -> list[Evidence] | None:
        """The documents that support it, each with the run and the calls of models that read it out of them."""
        import asyncio

        supports = await info.context.load(supports_of, str(self.id))  # type: ignore[attr-defined]
        return list(await asyncio.gather(*(_evidence(info.context, support) for support in supports)))


@strawberry.type
class Query:
    """What can be asked of lineage."""

    @strawberry.field
    async def run(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> Run | None:
        """One run; null when there is none."""
        return await info.context.load(runs_by_id, str(id))

    @strawberry.field
    async def runs(
        self,
        info: strawberry.Info[GraphContext],
        first: First = 10,
        job: str | None = None,
        status: str | None = None,
        after: strawberry.ID | None = None,
    ) -> list[Run] | None:
        """The newest runs; go on with `after` = the id of the last."""
        found = await info.context.run(
            info.context.services.runs.list,
            tenant=info.context.tenant,
            job=job,
            status=status,
            limit=checked(first),
            cursor=None if after is None else str(after),
        )
        return [Run.of(line) for line in found.runs]

    @strawberry.field
    async def asset(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> Asset | None:
        """An asset, by its key (`knowledge/concepts`)."""
        return await info.context.load(assets_by_key, str(id))


MODULE = Module(
    name="lineage",
    query=Query,
    entities={Run: runs_by_id, Asset: assets_by_key},
    access={
        "Run": "read:runs",
        "Asset": "read:runs",
        "Query.run": "read:runs",
        "Query.runs": "read:runs",
        "Query.asset": "read:runs",
        "Asset.dependsOn": "read:runs",
        "Asset.usedBy": "read:runs",
        "Run.assets": "read:runs",
        "Run.calls": "read:usage",
        "Run.costUsd": "read:usage",
        "MadeAsset.document": "read:documents",
        "MadeAsset.concepts": "read:knowledge",
        "Evidence.document": "read:documents",
        "Evidence.promptVersion": "read:prompts",
        "Concept.evidence": "read:usage",
    },
)
