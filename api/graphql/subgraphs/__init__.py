"""The modules of the graph, in the order in which they build on each other: a module adds fields to types of those before it."""

from __future__ import annotations

from typing import Final

from api.graphql.module import Module
from api.graphql.subgraphs import content, events, knowledge, lineage, realtime, usage, workflows

MODULES: Final[tuple[Module, ...]] = (
    workflows.MODULE,
    content.MODULE,
    knowledge.MODULE,
    realtime.MODULE,
    events.MODULE,
    usage.MODULE,
    lineage.MODULE,
)
