"""What the routes work with: the platform's services as plain domain objects, and the tenant of the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from api.auth.principal import current_principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.auth.limiter import SharedBuckets
    from api.launcher import Launches, Runs
    from api.workflows.pushing import Pushes
    from resources.ai.accounts import AiAccounts
    from resources.ai.pipeline import AiCalls
    from resources.content.intake import DocumentIntake
    from resources.content.jobs.store import AnalysisJobs
    from resources.content.parsers.base import ParseLimits
    from resources.content.search import SearchService
    from resources.content.store import ChunkIndex, DocumentStore
    from resources.database.figures.postgres import PostgresFigures
    from resources.database.lookups.postgres import Lookups
    from resources.database.postgres import PoolState
    from resources.events.projections.store import ProjectionStore
    from resources.events.replays.runner import ReplayRunner
    from resources.events.repository import AggregateRepository
    from resources.events.routing.store import RuleStore
    from resources.events.statistics.postgres import PostgresEventStatistics
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore
    from resources.events.writer import EventWriter
    from resources.idempotency.store import Answers
    from resources.knowledge.curation import Curations
    from resources.knowledge.learning_path import LearningPaths
    from resources.knowledge.progress.store import ProgressStore
    from resources.knowledge.questions import GraphQuestions
    from resources.knowledge.recommending import Recommendations
    from resources.knowledge.removal import DocumentRemoval
    from resources.knowledge.resolution import Resolution
    from resources.knowledge.retrieval import GraphSearch
    from resources.knowledge.store import GraphStore
    from resources.mcp.servers import McpServers
    from resources.plugins.library import Plugins
    from resources.prompts.library import PromptLibrary
    from resources.realtime.publisher import Publisher
    from resources.realtime.runs.postgres import PostgresRunLog
    from resources.realtime.store import PresenceStore
    from resources.realtime.store import RuleStore as RealtimeRules
    from resources.registry.store import AgentRegistry
    from resources.resilience.breaker import Breakers
    from resources.support.classify import MessageClassifier
    from resources.tenants.identity import Identity
    from resources.tenants.quotas.store import QuotaStore
    from resources.workflows.catalogue import Catalogue
    from resources.workflows.executions import Executions
    from resources.workflows.postgres import PostgresBackfills


@dataclass(frozen=True, slots=True)
class Probe:
    """How to tell whether a dependency answers: `check` raises when it does not, and may return a remark for people."""

    check: Callable[[], str | None]
    needed: bool = True


def _nothing() -> None:
    """For services that own nothing and need no preparation."""


@dataclass(frozen=True, slots=True)
class Services:
    """All that the HTTP face can do, safe to share between threads.

    `warm` loads what is slow to load, so that no first request waits for it; `close` gives back what is held.
    """

    events: EventStore
    event_writer: EventWriter
    event_statistics: PostgresEventStatistics
    aggregates: AggregateRepository
    subscriptions: SubscriptionStore
    projections: ProjectionStore
    rules: RuleStore
    replays: ReplayRunner
    documents: DocumentStore
    chunks: ChunkIndex
    intake: DocumentIntake
    removal: DocumentRemoval
    analyses: AnalysisJobs
    parse_limits: ParseLimits
    search: SearchService
    graph_search: GraphSearch
    classifier: MessageClassifier
    graph: GraphStore
    graph_questions: GraphQuestions
    resolution: Resolution
    curations: Curations
    learning_paths: LearningPaths
    recommendations: Recommendations
    progress: ProgressStore
    plugins: Plugins
    mcp_servers: McpServers
    ai_calls: Callable[[], AiCalls]
    prompts: PromptLibrary
    ai: AiAccounts
    runs: Runs
    launches: Launches
    workflows: Catalogue
    executions: Executions
    pushes: Pushes
    backfills: PostgresBackfills
    agents: AgentRegistry
    answers: Answers
    identity: Identity
    quotas: QuotaStore
    publisher: Publisher
    presence: PresenceStore
    realtime_rules: RealtimeRules
    run_log: PostgresRunLog
    probes: Mapping[str, Probe]
    breakers: Breakers
    figures: PostgresFigures
    database_pool: Callable[[], PoolState]
    rate_buckets: SharedBuckets | None = None
    lookups: Lookups | None = None
    warm: Callable[[], None] = _nothing
    close: Callable[[], None] = _nothing


async def services_of(request: Request) -> Services:
    """The services that the application was built with."""
    services: Services = request.app.state.services
    return services


async def current_tenant(request: Request) -> str:
    """The tenant on whose behalf the request acts: its principal's, and nothing that a request says can change it."""
    return (await current_principal(request)).tenant


async def current_time() -> datetime:
    """Now, so that what depends on it can be tested."""
    return datetime.now(UTC)


ServicesDep = Annotated[Services, Depends(services_of)]
TenantDep = Annotated[str, Depends(current_tenant)]
NowDep = Annotated[datetime, Depends(current_time)]
