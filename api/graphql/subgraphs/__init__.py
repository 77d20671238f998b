"""The modules of the graph, in the order in which they build on each other: a module adds fields to types of those before it."""

from __future__ import annotations

from typing import Final

from api.graphql.module import Module
from api.graphql.subgraphs.content import MODULE as CONTENT
from api.graphql.subgraphs.events import MODULE as EVENTS
from api.graphql.subgraphs.knowledge import MODULE as KNOWLEDGE
from api.graphql.subgraphs.lineage import MODULE as LINEAGE
from api.graphql.subgraphs.realtime import MODULE as REALTIME
from api.graphql.subgraphs.usage import MODULE as USAGE
from api.graphql.subgraphs.workflows import MODULE as WORKFLOWS

MODULES: Final[tuple[Module, ...]] = (WORKFLOWS, CONTENT, KNOWLEDGE, REALTIME, EVENTS, USAGE, LINEAGE)
