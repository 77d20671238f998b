"""Prompts as assets: what was made with one depends on `prompts/<id>`, whose data version is that of the text in force.

In force is what `production` names, else the newest version; what names another label depends on `prompts/<id>/<label>`. When
that changes, the sensor of `sensors/prompts.py` tells the new data version, and what Dagster has made with the old one is stale.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import dagster as dg

from assets.partitions import DEFAULT_TENANT
from resources.agents.bundled import bundled_agents
from resources.prompts.bundled import bundled_prompts
from resources.workflows.spec import InputSpec, NodeSpec

OWNERS: Final = ["team:ai"]
PRODUCTION: Final = "production"

_INPUT: Final = re.compile(r"\{\{\s*inputs\.(\w+)\s*\}\}")


def prompt_key(prompt: str, tenant: str | None = None, *, label: str = PRODUCTION) -> dg.AssetKey:
    """The asset of a prompt; those of other tenants than the default one have the tenant's name in front.

    What another label than `production` names is an asset of its own.
    """
    own = [] if label == PRODUCTION else [label]
    return dg.AssetKey([*([] if tenant in {None, DEFAULT_TENANT} else [str(tenant)]), "prompts", prompt, *own])


def prompt_keys(nodes: tuple[NodeSpec, ...], inputs: Mapping[str, InputSpec], tenant: str | None) -> list[dg.AssetKey]:
    """The prompts that nodes are made with, as they name them. A version that is named never changes, and is none of them."""
    found = dict.fromkeys(references_of(nodes, inputs))
    named = [reference.partition("@") for reference in found]
    return [prompt_key(prompt, tenant, label=name or PRODUCTION) for prompt, _, name in named if not name.isdigit()]


def references_of(nodes: tuple[NodeSpec, ...], inputs: Mapping[str, InputSpec]) -> Iterator[str]:
    """The prompts that nodes name, with those of their bodies: `id`, `id@3`, `id@production`. An input stands for its default."""
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
                    yield known
        yield from references_of(tuple(node.nodes), inputs)


def prompt_specs(keys: Iterable[dg.AssetKey]) -> list[dg.AssetSpec]:
    """Prompts that people have published, as assets that Dagster shows and does not make."""
    return [_spec(key, f"What workflows are made with: {key.to_user_string()}, as it is in force.") for key in keys]


def _spec(key: dg.AssetKey, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(key, group_name="prompts", description=description, kinds={"prompt"}, owners=OWNERS)


PROMPTS: Final = tuple(
    _spec(prompt_key(spec.id), spec.description or f"The prompt {spec.id}.") for spec in bundled_prompts()
)
"""Those that come with the platform."""
