"""Where an asset comes from and what is made of it, as Dagster's UI knows it. Of a tenant's own assets and the platform's.

Dagster knows no tenants: what may be told is decided by the key, which begins with the tenant's name, and by the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx
from pydantic import BaseModel, Field

from resources.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.dependencies import Services

_SHARED: Final = frozenset({"content", "knowledge", "usage", "read_models"})
_DEFAULT: Final = "default"
_QUERY: Final = """
query {
  assetNodes {
    assetKey { path }
    groupName
    description
    jobNames
    dependencyKeys { path }
    dependedByKeys { path }
  }
}
"""


class AssetOut(BaseModel):
    """An asset in the lineage."""

    key: str
    group: str | None
    description: str | None = None
    depends_on: list[str] = Field(description="What it is made of")
    used_by: list[str] = Field(description="What is made of it")


class LineageOut(BaseModel):
    """An asset, all that it comes from and all that comes of it, nearest first."""

    asset: AssetOut
    upstream: list[AssetOut]
    downstream: list[AssetOut]


class Lineage:
    """Asks Dagster's web server; `url` None = there is none here."""

    def __init__(self, url: str | None, *, timeout: float = 30.0) -> None:
        self._url = url
        self._timeout = timeout

    def of(self, key: str, *, services: Services, tenant: str) -> LineageOut:
        """Raises NotFoundError for an asset that the tenant does not have, UnavailableError without Dagster."""
        nodes = {node.key: node for node in self._visible(services, tenant)}
        if key not in nodes:
            known = ", ".join(sorted(nodes)[:30])
            raise NotFoundError(f"There is no asset {key[:200]!r}. There are: {known}.", code="asset_not_found")
        return LineageOut(
            asset=nodes[key],
            upstream=_reached(key, nodes, lambda node: node.depends_on),
            downstream=_reached(key, nodes, lambda node: node.used_by),
        )

    def _visible(self, services: Services, tenant: str) -> list[AssetOut]:
        workflows = {f"workflow_{entry.spec.name}" for entry in services.workflows.list(tenant)}
        prompts = {prompt.spec.id for prompt in services.prompts.list(tenant=tenant)}

        def seen(node: Mapping[str, Any]) -> bool:
            path, group = node["assetKey"]["path"], node["groupName"]
            if group in _SHARED:
                return True
            if group == "prompts" and path[0] == "prompts":
                return path[-1] in prompts
            return bool(path[0] == tenant) if tenant != _DEFAULT else group in workflows

        found = [node for node in self._asked() if seen(node)]
        keys = {"/".join(node["assetKey"]["path"]) for node in found}

        def named(listed: list[Mapping[str, Any]]) -> list[str]:
            return sorted({"/".join(one["path"]) for one in listed} & keys)

        return [
            AssetOut(
                key="/".join(node["assetKey"]["path"]),
                group=node["groupName"],
                description=node["description"],
                depends_on=named(node["dependencyKeys"]),
                used_by=named(node["dependedByKeys"]),
            )
            for node in found
        ]

    def _asked(self) -> list[dict[str, Any]]:
        if self._url is None:
            raise UnavailableError(
                "Lineage cannot be read: no Dagster web server is set up here.", dependency="dagster"
            )
        try:
            answer = httpx.post(
                f"{self._url.rstrip('/')}/graphql", json={"query": _QUERY}, timeout=self._timeout, trust_env=False
            )
            answer.raise_for_status()
            nodes: list[dict[str, Any]] = answer.json()["data"]["assetNodes"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"Dagster does not tell the lineage: {error}.", dependency="dagster") from error
        return nodes


def _reached(start: str, nodes: Mapping[str, AssetOut], step: Any) -> list[AssetOut]:
    found: dict[str, AssetOut] = {}
    waiting = list(step(nodes[start]))
    while waiting:
        key = waiting.pop(0)
        if key not in found and key != start:
            found[key] = nodes[key]
            waiting.extend(step(nodes[key]))
    return list(found.values())
