"""The real services, built from settings. Building opens no connection: a server that is down is found out when it is used."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from api.dependencies import Probe, Services
from api.launcher import Launches, Runs
from api.metrics.machine import check_disk, check_memory
from resources.errors import InvalidInputError, PlatformError, UnavailableError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.auth.limiter import SharedBuckets
    from resources.ai.budgets.store import BudgetStore
    from resources.database.postgres import Database
    from resources.events.store import EventStore
    from resources.settings import Settings
    from resources.tenants.administration import Administration
    from resources.tenants.identity import Identity

log = get_logger(__name__)

BUNDLED = Path(__file__).parents[1] / "definitions" / "specs"
"""The workflows that come with the platform, as files."""


def build_services(settings: Settings, *, runs: Runs | None = None, launches: Launches | None = None) -> Services:
    """All services of the web process. Raises InvalidInputError when the settings name no database or no graph.

    `runs` and `launches` are those of the instance that DAGSTER_HOME names unless others are given.

    Drivers are imported here rather than above: a command line that only prints its help must not wait for them.
    """
    from api.workflows.pushing import Pushes
    from assets.nodes import NODES
    from resources.ai.accounts import AiAccounts
    from resources.ai.build import build_ai
    from resources.ai.configured import ai_options
    from resources.ai.minilm import MiniLmEmbedder
    from resources.content.intake import DocumentIntake
    from resources.content.jobs.postgres import PostgresAnalysisJobs
    from resources.content.parsers.base import ParseLimits
    from resources.content.postgres import PostgresChunkIndex, PostgresDocumentStore
    from resources.content.search import SearchService
    from resources.database.figures.postgres import PostgresFigures
    from resources.database.lookups.postgres import Lookups
    from resources.database.postgres import Database
    from resources.events.postgres import PostgresBatches, PostgresEventStore
    from resources.events.projections import PROJECTIONS
    from resources.events.projections.lag import check_lag
    from resources.events.projections.postgres import PostgresProjections
    from resources.events.projections.projector import Projector
    from resources.events.replays.postgres import PostgresReplays
    from resources.events.replays.runner import ReplayRunner
    from resources.events.repository import AggregateRepository
    from resources.events.routing.postgres import PostgresRules
    from resources.events.snapshots.postgres import PostgresSnapshots
    from resources.events.statistics.postgres import PostgresEventStatistics
    from resources.events.subscriptions.postgres import PostgresSubscriptions
    from resources.events.writer import EventWriter
    from resources.idempotency.postgres import PostgresAnswers
    from resources.knowledge.curation import Curations
    from resources.knowledge.learning_path import LearningPaths
    from resources.knowledge.neo4j import BoltGraphStore
    from resources.knowledge.progress.joined import JoinedProgress
    from resources.knowledge.progress.postgres import PostgresProgress
    from resources.knowledge.projection import GraphProjections
    from resources.knowledge.questions import GraphQuestions
    from resources.knowledge.recommending import Recommendations
    from resources.knowledge.removal import DocumentRemoval
    from resources.knowledge.resolution import Resolution
    from resources.knowledge.retrieval import GraphSearch
    from resources.mcp.configured import configured_servers
    from resources.mcp.postgres import PostgresServers
    from resources.mcp.servers import McpServers
    from resources.plugins.library import Plugins
    from resources.plugins.postgres import PostgresPlugins
    from resources.plugins.wasmtime import WasmtimeRuntime
    from resources.prompts.bundled import bundled_prompts
    from resources.prompts.engine import PromptEngine
    from resources.prompts.library import PromptLibrary
    from resources.realtime.fanout.configured import build_fanout
    from resources.realtime.postgres import PostgresMessages
    from resources.realtime.presence.postgres import PostgresPresence
    from resources.realtime.publisher import Publisher
    from resources.realtime.rules.model import Router
    from resources.realtime.rules.postgres import PostgresRealtimeRules
    from resources.realtime.runs.postgres import PostgresRunLog
    from resources.registry.model import LOST_AFTER
    from resources.registry.postgres import PostgresAgentRegistry
    from resources.resilience.breaker import BreakerPolicy, Breakers
    from resources.support.classify import MessageClassifier
    from resources.tenants.quotas.postgres import PostgresQuotas
    from resources.tenants.vault import Vault
    from resources.workflows.catalogue import Catalogue
    from resources.workflows.definitions import WorkflowDefinitions
    from resources.workflows.executions import Executions
    from resources.workflows.postgres import PostgresBackfills

    if settings.database.url is None or settings.graph.url is None:
        raise InvalidInputError(
            "The API needs a database and a graph: start it through `aiw up`, or set AIW_DATABASE__URL and AIW_GRAPH__URL.",
            code="settings_incomplete",
        )
    database = Database(
        settings.database.url.get_secret_value(),
        pool_size=settings.database.pool_size,
        connect_timeout=settings.database.connect_timeout,
        statement_timeout=settings.database.statement_timeout,
        application_name="aiw-api",
    )
    # The graph is a server of our own, and back within seconds when it was restarted: asking it again costs next to nothing.
    breakers = Breakers(policy=BreakerPolicy(open_for=5.0))
    graph = BoltGraphStore(
        settings.graph.url.get_secret_value(),
        user=settings.graph.user,
        password=settings.graph.password.get_secret_value(),
        database=settings.graph.database,
        breaker=breakers.of("graph"),
    )
    graph_views = GraphProjections(graph)
    content = settings.content
    limits = ParseLimits(
        max_bytes=content.max_bytes,
        max_depth=content.max_depth,
        max_pages=content.max_pages,
        timeout=content.parse_timeout,
    )
    events = PostgresEventStore(database)
    event_writer = EventWriter(PostgresBatches(database))
    subscriptions = PostgresSubscriptions(database)
    projections = PostgresProjections(database)
    fanout = build_fanout(database, settings.realtime.redis_url)
    messages = PostgresMessages(database, fanout)
    realtime_rules = PostgresRealtimeRules(database, fanout)
    documents = PostgresDocumentStore(database)
    chunks = PostgresChunkIndex(database)
    embedder = MiniLmEmbedder()
    runs = runs or Runs()
    launches = launches or Launches()
    rules = PostgresRules(database)
    pushes = Pushes(rules, launches.fire)

    search = SearchService(embedder, chunks)

    def check_embedder() -> str:
        embedder.embed(["ready?"])
        return embedder.model_id

    ai = AiAccounts.open(database)
    options = ai_options(
        settings.ai, production=settings.environment == "production", networks=settings.egress.networks
    )
    mcp = McpServers(
        configured_servers(settings.mcp.config, os.environ),
        store=PostgresServers(database),
        vault=Vault(settings.auth.master_keys),
        networks=settings.egress.networks,
    )
    identity = _identity(settings, database, events, ai.budgets, forget=graph.forget)
    quotas = PostgresQuotas(database)

    def close() -> None:
        mcp.close()
        identity.close()
        pushes.close()
        launches.close()
        runs.close()
        event_writer.close()
        messages.close()
        events.close()
        graph.close()
        database.close()

    return Services(
        events=events,
        event_writer=event_writer,
        event_statistics=PostgresEventStatistics(database),
        aggregates=AggregateRepository(events, snapshots=PostgresSnapshots(database)),
        subscriptions=subscriptions,
        projections=projections,
        rules=rules,
        replays=ReplayRunner(
            events=events,
            replays=PostgresReplays(database),
            subscriptions=subscriptions,
            projector=Projector(events, projections),
            rows=projections,
            projections=PROJECTIONS,
        ),
        documents=documents,
        chunks=chunks,
        intake=DocumentIntake(documents, events, limits=limits, room=quotas.check_room),
        removal=DocumentRemoval(documents, chunks, graph, events),
        analyses=PostgresAnalysisJobs(database),
        parse_limits=limits,
        search=search,
        graph_search=GraphSearch(search, graph_views),
        classifier=MessageClassifier(embedder),
        graph=graph,
        graph_questions=GraphQuestions(graph_views),
        resolution=Resolution(graph, graph_views, embedder=lambda: embedder),
        agents=PostgresAgentRegistry(database),
        answers=PostgresAnswers(database),
        breakers=breakers,
        figures=PostgresFigures(database, heard_within=LOST_AFTER.total_seconds()),
        database_pool=database.pool,
        curations=Curations(graph, events),
        learning_paths=LearningPaths(graph_views),
        recommendations=Recommendations(graph_views),
        progress=JoinedProgress(PostgresProgress(database), graph),
        mcp_servers=mcp,
        ai_calls=cache(partial(build_ai, database, options)),
        plugins=Plugins(PostgresPlugins(database), WasmtimeRuntime(), events, together=database.together),
        prompts=PromptLibrary(events, PromptEngine(), bundled=bundled_prompts()),
        ai=ai,
        runs=runs,
        launches=launches,
        workflows=Catalogue(WorkflowDefinitions(events), NODES, bundled=BUNDLED, tools=mcp),
        executions=Executions(projections, events=events),
        pushes=pushes,
        backfills=PostgresBackfills(database),
        identity=identity,
        quotas=quotas,
        publisher=Publisher(messages, Router(realtime_rules)),
        presence=PostgresPresence(database, fanout),
        realtime_rules=realtime_rules,
        run_log=PostgresRunLog(database),
        rate_buckets=_rate_buckets(settings, database),
        lookups=Lookups(
            database.url,
            connect_timeout=settings.database.connect_timeout,
            statement_timeout=settings.database.statement_timeout,
            application_name="aiw-api",
        ),
        probes={
            "database": Probe(_silent(database.ping)),
            "graph": Probe(_silent(graph.ping)),
            "embedder": Probe(check_embedder),
            # Documents are taken, searched and read without it; it works off what has waited when it is back.
            "dagster": Probe(runs.check, needed=False),
            "projections": Probe(lambda: check_lag(events, projections, now=datetime.now(UTC)), needed=False),
            "disk": Probe(lambda: check_disk(settings.data_dir), needed=False),
            "memory": Probe(check_memory, needed=False),
        },
        warm=lambda: _try_each(
            identity.administration.ensure_home, check_embedder, runs.check, launches.warm, graph.ping, database.ping
        ),
        close=close,
    )


def build_administration(settings: Settings, database_url: str) -> tuple[Administration, Callable[[], None]]:
    """Identity alone, on the database itself, for the command line; and what closes it."""
    from resources.ai.budgets.postgres import PostgresBudgets
    from resources.database.postgres import Database
    from resources.events.postgres import PostgresEventStore

    database = Database(database_url, pool_size=2, application_name="aiw-cli")
    events = PostgresEventStore(database)
    identity = _identity(settings, database, events, PostgresBudgets(database), forget=_not_here)

    def close() -> None:
        identity.close()
        events.close()
        database.close()

    return identity.administration, close


def _not_here(tenant: str) -> None:
    raise UnavailableError(f"{tenant!r} has a graph: erase it through the API.", dependency="graph")


def _identity(
    settings: Settings,
    database: Database,
    events: EventStore,
    budgets: BudgetStore,
    *,
    forget: Callable[[str], None],
) -> Identity:
    from resources.ai.budgets.quota import limit_spending
    from resources.tenants.identity import build_identity
    from resources.tenants.notices.postgres import PostgresNotices
    from resources.tenants.postgres import PostgresAccounts, PostgresCredentials, PostgresSecrets
    from resources.tenants.schemas.postgres import PostgresSchemas
    from resources.tenants.tokens import Tokens
    from resources.tenants.vault import Vault

    auth = settings.auth
    vault, secrets = Vault(auth.master_keys), PostgresSecrets(database)
    tokens = Tokens(
        secrets,
        vault,
        algorithm=auth.algorithm,
        secret=auth.secret.get_secret_value() if auth.secret else None,
        issuer=auth.issuer,
        audience=auth.audience,
        access_seconds=auth.access_seconds,
    )
    return build_identity(
        accounts=PostgresAccounts(database),
        credentials=PostgresCredentials(database),
        secret_store=secrets,
        notices=PostgresNotices(database),
        events=events,
        tokens=tokens,
        vault=vault,
        home=settings.tenant,
        schemas=PostgresSchemas(database),
        access_seconds=auth.access_seconds,
        session_seconds=auth.session_days * 86_400,
        together=database.together,
        spending=partial(limit_spending, budgets),
        forget=forget,
    )


def _rate_buckets(settings: Settings, database: Database) -> SharedBuckets | None:
    from resources.tenants.buckets.postgres import PostgresBuckets
    from resources.tenants.buckets.redis import RedisBuckets

    if settings.limits.redis_url is not None:
        return RedisBuckets(settings.limits.redis_url.get_secret_value())
    return PostgresBuckets(database) if settings.limits.store == "postgres" else None


def _silent(ping: Callable[[], float]) -> Callable[[], None]:
    """The latency that `ping` tells is that of one round trip; the health page measures the whole check."""

    def check() -> None:
        ping()

    return check


def _try_each(*checks: Callable[[], object]) -> None:
    for check in checks:
        try:
            check()
        except PlatformError as error:
            log.info("api.not_warm", code=error.code, reason=error.message)
