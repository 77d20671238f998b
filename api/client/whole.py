"""All that a client can do, in one class."""

from __future__ import annotations

from api.client.analysis import AnalysisClient
from api.client.content import ContentClient
from api.client.curation import CurationClient
from api.client.events import EventsClient
from api.client.graph import GraphClient
from api.client.health import HealthClient
from api.client.identity import IdentityClient
from api.client.mcp_servers import McpServersClient
from api.client.money import MoneyClient
from api.client.plugins import PluginsClient
from api.client.prompts import PromptsClient
from api.client.realtime import RealtimeClient
from api.client.workflows import WorkflowsClient


class ApiClient(
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
