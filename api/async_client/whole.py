"""All that a client can do, in one class."""

from __future__ import annotations

from api.async_client.analysis import AnalysisClient
from api.async_client.content import ContentClient
from api.async_client.curation import CurationClient
from api.async_client.events import EventsClient
from api.async_client.graph import GraphClient
from api.async_client.health import HealthClient
from api.async_client.identity import IdentityClient
from api.async_client.mcp_servers import McpServersClient
from api.async_client.money import MoneyClient
from api.async_client.plugins import PluginsClient
from api.async_client.prompts import PromptsClient
from api.async_client.realtime import RealtimeClient
from api.async_client.workflows import WorkflowsClient


class AsyncApiClient(
    HealthClient,
    EventsClient,
    ContentClient,
    AnalysisClient,
    GraphClient,
    CurationClient,
    PluginsClient,
    McpServersClient,
    PromptsClient,
    WorkflowsClient,
    RealtimeClient,
    MoneyClient,
    IdentityClient,
):
    """Every call of the API; each family of them has a module of its own."""
