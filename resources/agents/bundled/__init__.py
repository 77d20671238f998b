"""Agents that come with the platform: one YAML file each. They run without a key; give them a provider and a model for real."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from resources.agents.spec import AgentSpec
from resources.errors import NotFoundError


@cache
def bundled_agents() -> dict[str, AgentSpec]:
    """All of them, by name."""
    folder = files(__package__)
    sources = sorted((item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)
    specs = [AgentSpec.model_validate(yaml.safe_load(source.read_text(encoding="utf-8"))) for source in sources]
    return {spec.name: spec for spec in specs}


def bundled_agent(name: str) -> AgentSpec:
    """Raises NotFoundError with the ones that there are."""
    try:
        return bundled_agents()[name]
    except KeyError:
        raise NotFoundError(
            f"There is no agent {name!r}; there are: {', '.join(bundled_agents())}.", code="agent_not_found", name=name
        ) from None
