"""Which asset of a workflow the calls of its nodes are booked on, and what they have cost."""

import threading
from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.costs import cost_metadata, cost_tags
from assets.failures import failures
from assets.partitions import DEFAULT_TENANT, tenant_of
from resources.telemetry.logging import get_logger
from resources.workflows.graph import Level
from resources.workflows.spec import AssetSpec, NodeSpec

log = get_logger(__name__)
_telling_cost = threading.Lock()


def tell_cost_of_run(context: dg.OpExecutionContext, tenant: str) -> None:
    """What all calls of the run have cost until now, as its tags. A run that cannot be told of goes on."""
    with _telling_cost:  # in turn, so that the last word is the newest
        try:
            found = context.resources.ai.books.totals("prompt", tenant=tenant, run_id=context.run_id)
            context.instance.add_run_tags(context.run_id, cost_tags(found))
        except Exception as error:  # noqa: BLE001  # the step has its result, or an error of its own that counts
            log.warning("run.cost_not_told", run_id=context.run_id, error=repr(error))


def charged_nodes(level: Level) -> dict[str, NodeSpec]:
    """By node, the node whose asset its calls are booked on: its own, or the nearest one that is made of what it gives."""
    after: dict[str, list[str]] = {}
    for node in level.nodes:
        for dependency in level.dependencies.get(node.id, ()):
            after.setdefault(dependency.node, []).append(node.id)
    nearest: dict[str, tuple[int, NodeSpec]] = {}
    found: dict[str, NodeSpec] = {}
    for node in reversed(level.nodes):
        if node.asset is not None:
            nearest[node.id] = (0, node)
        elif reached := [nearest[each] for each in after.get(node.id, ()) if each in nearest]:
            steps, owner = min(reached, key=lambda place: place[0])
            nearest[node.id] = (steps + 1, owner)
        if node.id in nearest:
            found[node.id] = owner = nearest[node.id][1]
        if (body := level.bodies.get(node.id)) is not None:
            outer = dict.fromkeys(ids_within(body), found[node.id]) if node.id in found else {}
            found |= outer | charged_nodes(body)
    return found


def cost_of_asset(asset: AssetSpec, context: dg.OpExecutionContext, tenant: str | None) -> dict[str, Any]:
    """What the calls of the run that are booked on the asset of the tenant's workflow have cost, as metadata."""
    books, key = context.resources.ai.books, "/".join(asset_path(asset, tenant))
    with failures():
        return cost_metadata(
            books.totals("prompt", tenant=tenant or tenant_of(context.run), run_id=context.run_id, asset=key)
        )


def asset_path(asset: AssetSpec, tenant: str | None) -> list[str]:
    """The key in Dagster: those of other tenants than the default one have the tenant's name in front."""
    return [*([] if tenant in {None, DEFAULT_TENANT} else [str(tenant)]), *asset.key]


def ids_within(level: Level) -> Iterator[str]:
    """The nodes of the level, and those in the bodies of its nodes."""
    for node in level.nodes:
        yield node.id
        if node.id in level.bodies:
            yield from ids_within(level.bodies[node.id])
