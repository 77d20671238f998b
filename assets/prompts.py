"""Prompts as assets: what was made with one depends on `prompts/<id>`, whose data version is that of the text in force.

In force is what `production` names, else the newest version. When that changes, the sensor of `sensors/prompts.py` tells the new
data version, and what Dagster has made with the old one is stale.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg

from assets.partitions import DEFAULT_TENANT
from resources.agents.bundled import bundled_agents
from resources.errors import NotFoundError
from resources.prompts.bundled import bundled_prompts
from resources.prompts.library import PromptLibrary
from resources.workflows.spec import InputSpec, NodeSpec

OWNERS: Final = ["team:ai"]

_INPUT: Final = re.compile(r"\{\{\s*inputs\.(\w+)\s*\}\}")


def prompt_key(prompt: str, tenant: str | None = None) -> dg.AssetKey:
    """The asset of a prompt; those of other tenants than the default one have the tenant's name in front."""
    return dg.AssetKey([*([] if tenant in {None, DEFAULT_TENANT} else [str(tenant)]), "prompts", prompt])


def prompts_of(nodes: tuple[NodeSpec, ...], inputs: Mapping[str, InputSpec]) -> Iterator[str]:
    """Ids of the prompts that nodes name, with those of their bodies. An input stands for its default."""
    return (reference.partition("@")[0] for reference in references_of(nodes, inputs))


def references_of(nodes: tuple[NodeSpec, ...], inputs: Mapping[str, InputSpec]) -> Iterator[str]:
    """As `prompts_of`, with the label or version that each is named by (`id`, `id@3`, `id@production`)."""
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


def prompts_version(
    nodes: tuple[NodeSpec, ...], inputs: Mapping[str, InputSpec], prompts: PromptLibrary, *, tenant: str
) -> str | None:
    """Changes when the text of a prompt that nodes name does: a label that moves, a newer version. None: they name none.

    A prompt that is not there counts as such; publishing it changes the version.
    """
    texts = {reference: _text(prompts, reference, tenant) for reference in sorted(set(references_of(nodes, inputs)))}
    return hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()[:16] if texts else None


def _text(prompts: PromptLibrary, reference: str, tenant: str) -> str:
    try:
        return prompts.get(reference, tenant=tenant).sha256
    except NotFoundError:
        return "none"


PROMPTS: Final = tuple(
    dg.AssetSpec(
        prompt_key(spec.id), group_name="prompts", description=spec.description or None, kinds={"prompt"}, owners=OWNERS
    )
    for spec in bundled_prompts()
)
"""Those that come with the platform."""
