"""The platform's MCP servers, put together from services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.mcp import resources as shelves
from api.mcp.audit import EventAudit
from api.mcp.changes import Changes
from api.mcp.exposed import WorkflowTools
from api.mcp.face import McpFace
from api.mcp.lineage import Lineage
from api.mcp.prompts import LibraryPrompts
from api.mcp.server import McpServer
from api.mcp.tools import knowledge_base, platform, support

if TYPE_CHECKING:
    from api.auth.limiter import Rates
    from api.auth.principal import Authenticate
    from api.dependencies import Services
    from resources.settings import Settings

PLATFORM: Final = "platform"
SUPPORT: Final = "customer-support"
KNOWLEDGE: Final = "knowledge-base"
SERVERS: Final = (PLATFORM, SUPPORT, KNOWLEDGE)

_PLATFORM = (
    "Workflows, runs and knowledge of one tenant of an AI workflow platform. Begin with list_workflows or search; "
    "run_workflow runs one and waits for its end. Workflows that were published with `expose: [mcp]` are tools of their own, "
    "named workflow_NAME. Runs, documents and concepts can be read, and watched, as resources (aiw://...)."
)
_SUPPORT = (
    "Triage of customers' messages: validate_ticket, filter_spam, analyze_ticket and determine_ticket_intent first, then "
    "ticket_router; generate_customer_response drafts an answer from the knowledge base, send_reply hands it over, "
    "escalate_ticket and close_ticket end the story. What was done to a ticket is kept, and can be followed on its topic."
)
_KNOWLEDGE = (
    "A knowledge base over the tenant's documents: search_knowledge finds passages by meaning; validate_query, "
    "filter_spam_query, query_router, search_router, analyze_knowledge and generate_knowledge_response are the steps of "
    "answering a question, one by one. Pages and articles are documents; channels and conversations are topics of messages."
)


def build_face(services: Services, settings: Settings, *, authenticate: Authenticate, rates: Rates) -> McpFace:
    """All servers, and the face that serves them over HTTP and WebSockets."""
    audit, changes = EventAudit(services.event_writer), Changes(services.events)
    prompts = LibraryPrompts()
    servers = (
        McpServer(
            PLATFORM,
            services=services,
            title="AI workflow platform",
            instructions=_PLATFORM,
            tools=platform.build(Lineage(settings.dagster.url)).bound,
            more=WorkflowTools(services.workflows),
            resources=shelves.Resources(shelves.ALL),
            prompts=prompts,
            audit=audit,
            changes=changes,
        ),
        McpServer(
            SUPPORT,
            services=services,
            title="Customer support",
            instructions=_SUPPORT,
            tools=support.build().bound,
            prompts=prompts,
            audit=audit,
            changes=changes,
        ),
        McpServer(
            KNOWLEDGE,
            services=services,
            title="Knowledge base",
            instructions=_KNOWLEDGE,
            tools=knowledge_base.build().bound,
            resources=shelves.Resources(shelves.KNOWLEDGE),
            audit=audit,
            changes=changes,
        ),
    )
    origins = frozenset(origin.strip() for origin in settings.api.cors_origins.split(",") if origin.strip())
    return McpFace(
        {server.name: server for server in servers},
        default=PLATFORM,
        authenticate=authenticate,
        rates=rates,
        changes=changes,
        public_url=settings.api.public_url,
        origins=origins,
        unlimited="local" if settings.auth.mode == "local" else None,
    )
