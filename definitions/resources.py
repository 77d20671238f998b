"""The resource table: every name that an op or asset may ask for. Secrets come as `dg.EnvVar`, which the UI never shows."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from definitions.runtime.calling import RuntimeCalls
from resources.agents.resource import tool_sets_resource
from resources.ai.configured import ai_options
from resources.ai.resource import AccountsResource, EmbedderResource, ai_resource
from resources.content.resource import AnalysisJobsResource, ChunkIndexResource, DocumentStoreResource
from resources.events.resource import (
    EventStoreResource,
    ProjectionStoreResource,
    RuleStoreResource,
    SubscriptionStoreResource,
)
from resources.knowledge.resource import GraphStoreResource
from resources.mcp.configured import configured_servers
from resources.mcp.resource import mcp_resource, mcp_servers
from resources.plugins.resource import PluginsResource
from resources.prompts.resource import PromptLibraryResource
from resources.realtime.resource import PublisherResource
from resources.settings import Settings
from resources.tenants.postgres import PostgresSecrets
from resources.tenants.provider_keys import ProviderKeys
from resources.tenants.vault import Vault
from resources.workflows.resource import BackfillsResource, WebResource


def build_resources(settings: Settings) -> Mapping[str, Any]:
    """Name → resource, configured from `settings`; what is secret is read from the environment when a run starts."""
    database_url = dg.EnvVar("AIW_DATABASE__URL")
    servers = mcp_servers(
        configured_servers(settings.mcp.config, os.environ),
        networks=settings.egress.networks,
        master_keys=settings.auth.master_keys,
    )
    return {
        "events": EventStoreResource(url=database_url),
        "projections": ProjectionStoreResource(url=database_url),
        "rules": RuleStoreResource(url=database_url),
        "subscriptions": SubscriptionStoreResource(url=database_url),
        "publisher": PublisherResource(url=database_url),
        "documents": DocumentStoreResource(url=database_url),
        "analyses": AnalysisJobsResource(url=database_url),
        "chunks": ChunkIndexResource(url=database_url),
        "embedder": EmbedderResource(),
        "ai": ai_resource(
            ai_options(
                settings.ai,
                production=settings.environment == "production",
                networks=settings.egress.networks,
            ),
            own_keys=lambda database: ProviderKeys(PostgresSecrets(database), Vault(settings.auth.master_keys)),
        ),
        "accounts": AccountsResource(url=database_url),
        "plugins": PluginsResource(url=database_url),
        "prompts": PromptLibraryResource(url=database_url),
        "graph": GraphStoreResource(
            url=dg.EnvVar("AIW_GRAPH__URL"),
            user=settings.graph.user,
            password=dg.EnvVar("AIW_GRAPH__PASSWORD"),
            database=settings.graph.database,
        ),
        "content": settings.content,
        "backfills": BackfillsResource(url=database_url),
        "workflows": RuntimeCalls(),
        "mcp": mcp_resource(servers),
        "tool_sets": tool_sets_resource(servers),
        "web": WebResource(allowed=list(settings.egress.networks)),
    }
