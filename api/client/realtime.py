"""Topics, presence, and agents that run elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.client.answers import V1, Answer, Seen, model_of
from api.client.base import HttpClient
from api.registry import AgentOut, AgentPage, BeatOut, DiscoveredOut

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from uuid import UUID


class RealtimeClient(HttpClient):
    """Topics, presence, and agents that run elsewhere."""

    def publish_message(self, topic: str, content: Any, **fields: Any) -> Answer:
        """Publish to a topic; `fields` are further members of the request (`message_id`, `type`, `ttl`)."""
        path = f"{V1}/topics/{quote(topic, safe='')}/messages"
        return self._mapping("POST", path, json={"content": content, **fields})

    def messages(self, topic: str, **parameters: Any) -> Answer:
        """A page of the topic's history."""
        return self._mapping("GET", f"{V1}/topics/{quote(topic, safe='')}/messages", **parameters)

    def presence(self, **parameters: Any) -> Any:
        return self._plain("GET", f"{V1}/presence", **parameters)

    def register_agent(self, name: str, endpoint: str, capabilities: Iterable[str], **fields: Any) -> AgentOut:
        """Register an agent that runs elsewhere, or say anew what it is; then send `agent_heartbeat` each minute."""
        body = {"name": name, "endpoint": endpoint, "capabilities": list(capabilities), **fields}
        return model_of(AgentOut, self._send("POST", f"{V1}/registry/agents", json=body))

    def agents(self, *, after: str = "", limit: int = 100) -> AgentPage:
        return self._get(f"{V1}/registry/agents", AgentPage, after=after, limit=limit)

    def agent(self, agent_id: UUID) -> AgentOut:
        return self._get(f"{V1}/registry/agents/{agent_id}", AgentOut)

    def discover_agents(self, *capabilities: str, strategy: str = "round_robin") -> DiscoveredOut:
        """Who can do all of it, and whom to ask."""
        path = f"{V1}/registry/agents/discover"
        return self._get(path, DiscoveredOut, capability=list(capabilities), strategy=strategy)

    def agent_heartbeat(self, agent_id: UUID, *, status: str = "healthy", **fields: Any) -> BeatOut:
        """Raises NotFoundError when the agent has to register anew."""
        path = f"{V1}/registry/agents/{agent_id}/heartbeat"
        return model_of(BeatOut, self._send("POST", path, json={"status": status, **fields}))

    def remove_agent(self, agent_id: UUID, *, if_match: Seen | None = None) -> None:
        self._send("DELETE", f"{V1}/registry/agents/{agent_id}", if_match=if_match)

    def follow_topic(self, topic: str, *, after: str | None = None) -> Generator[dict[str, Any], None, None]:
        """What is said on a topic (or a pattern), as it is said. `after` is the id of the last that was seen."""
        for block in self._follow(f"{V1}/topics/{quote(topic, safe='')}/stream", last_event_id=after):
            yield {"id": block.get("id"), **json.loads(block["data"])}

    def search_messages(self, query: str, *, limit: int = 50) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/messages/search", q=query, limit=limit))

    def deliveries(self, message_id: UUID) -> list[dict[str, Any]]:
        """What became of a message, by user."""
        return list(self._plain("GET", f"{V1}/messages/{message_id}/deliveries"))

    def conversations(self) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/conversations"))

    def message_rules(self) -> list[dict[str, Any]]:
        """What is done with messages on their way."""
        return list(self._plain("GET", f"{V1}/realtime/rules"))

    def message_rule(self, name: str) -> Answer:
        return self._mapping("GET", f"{V1}/realtime/rules/{quote(name, safe='')}")

    def save_message_rule(self, name: str, rule: Mapping[str, Any], *, if_match: Seen | None = None) -> Answer:
        path = f"{V1}/realtime/rules/{quote(name, safe='')}"
        return self._mapping("PUT", path, json={"name": name, **rule}, if_match=if_match)

    def remove_message_rule(self, name: str, *, if_match: Seen | None = None) -> None:
        self._send("DELETE", f"{V1}/realtime/rules/{quote(name, safe='')}", if_match=if_match)
