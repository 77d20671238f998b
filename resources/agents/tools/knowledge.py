"""The tenant's documents and graph of knowledge as tools. What they give was written by others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.agents.tools.port import Tool, ToolUse
from resources.ai.model import ToolSpec
from resources.content.search import MAX_QUERY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resources.content.search import SearchService
    from resources.knowledge.neighbourhood import Neighbourhood

MOST_PASSAGES = 20
MOST_CONCEPTS = 50


def search_tool(service: Callable[[], SearchService]) -> Tool:
    """The tool `search`. The service is built when it is first used."""

    def run(arguments: Mapping[str, Any], use: ToolUse) -> str:
        hits = service().search(arguments["query"], tenant=use.tenant, limit=arguments.get("limit", 5))
        if not hits:
            return "Nothing was found."
        return "\n\n".join(
            f"[{number}] {hit.document_title or 'untitled'} ({hit.document_id})\n\n{hit.text}"
            for number, hit in enumerate(hits, 1)
        )

    spec = ToolSpec(
        name="search",
        description="Search the documents for passages about a topic or question, by meaning",
        parameters={
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "maxLength": MAX_QUERY, "description": "In words"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MOST_PASSAGES, "default": 5},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
    )
    return Tool(spec, run, service="documents")


def related_concepts_tool(neighbourhood: Callable[[], Neighbourhood]) -> Tool:
    """The tool `related_concepts`."""

    def run(arguments: Mapping[str, Any], use: ToolUse) -> str:
        near, name = neighbourhood(), arguments["concept"]
        required = near.prerequisites(name, depth=2, tenant=use.tenant)[:MOST_CONCEPTS]
        related = near.related(name, depth=1, tenant=use.tenant)[:MOST_CONCEPTS]
        lines = {
            "Requires": ", ".join(found.concept.name for found in required),
            "Related to": ", ".join(found.concept.name for found in related),
        }
        return "\n".join(f"{word}: {names or 'nothing'}" for word, names in lines.items())

    spec = ToolSpec(
        name="related_concepts",
        description="Look a concept up in the graph of knowledge: what it requires and what it is related to",
        parameters={
            "type": "object",
            "properties": {"concept": {"type": "string", "minLength": 1, "maxLength": 500}},
            "required": ["concept"],
            "additionalProperties": False,
        },
    )
    return Tool(spec, run, service="graph")
