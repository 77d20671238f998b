"""Prompts as assets: what was made with one depends on `prompts/<id>`, whose data version is that of the text in force.

In force is what `production` names, else the newest version. When that changes, the sensor of `sensors/prompts.py` tells the new
data version, and what Dagster has made with the old one is stale.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg

from assets.partitions import DEFAULT_TENANT
from resources.agents.bundled import bundled_agents
from resources.prompts.bundled import bundled_prompts
from resources.workflows.spec import InputSpec, NodeSpec

OWNERS: Final = ["team:ai"]

_INPUT: Final = re.compile(r"\{\{\s*inputs\.(\w+)\s*\}\}")


def prompt_key(prompt: str, tenant: str | None = None) -> dg.AssetKey:
    """The asset of a prompt; those of other tenants than the default one have the tenant's name in front."""
    return dg.AssetKey([*([] if tenant in {None, DEFAULT_TENANT} else [str(tenant)]), "prompts", prompt])


def prompts_of(nodes: tuple[NodeSpec, ...], inputs: Mapping[str, InputSpec]) -> Iterator[str]:
    """Ids of the prompts that nodes name, with those of their bodies. An input stands for its default."""
    for node in nodes:
        agent = node.config.get("agent")
        spec: Any = node.config.get("spec")
        if isinstance(agent, str) and agent in bundled_agents():
            spec = bundled_agents()[agent].model_dump()
        named = [spec.get("system"), spec.get("prompt")] if node.type == "agent" and isinstance(spec, dict) else []
        for reference in [*named, node.config.get("prompt_id")]:
            if isinstance(reference, str):
                found = _INPUT.fullmatch(reference.strip())
                known = inputs[found[1]].default if found and found[1] in inputs else reference
                if isinstance(known, str) and "{{" not in known:
                    yield known.partition("@")[0]
        yield from prompts_of(tuple(node.nodes), inputs)


PROMPTS: Final = tuple(
    dg.AssetSpec(
        prompt_key(spec.id), group_name="prompts", description=spec.description or None, kinds={"prompt"}, owners=OWNERS
    )
    for spec in bundled_prompts()
)
"""Those that come with the platform."""
