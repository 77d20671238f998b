"""What workflows are made of."""

from __future__ import annotations

from fastapi import APIRouter

from api import problems
from api.dependencies import ServicesDep
from api.workflows.schemas import NodeTypeOut

router = APIRouter(prefix="/node-types", tags=["workflows"])


@router.get("", summary="List types of nodes", responses=problems.responses(503))
def list_node_types(services: ServicesDep) -> list[NodeTypeOut]:
    """All types, by what they are for."""
    return [NodeTypeOut.of(found) for found in services.workflows.types.values()]


@router.get("/{name}", summary="Show a type of node", responses=problems.responses(404, 503))
def show_node_type(name: str, services: ServicesDep) -> NodeTypeOut:
    """Its config, its output, and examples."""
    return NodeTypeOut.of(services.workflows.types[name], whole=True)
