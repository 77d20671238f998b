"""What a server is answered that asks something of us while it is called: what its configuration says, and nobody is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp.types import ElicitRequestFormParams, ElicitResult, ListRootsResult, Root

if TYPE_CHECKING:
    from mcp.types import ElicitRequestParams

    from resources.mcp.model import ServerConfig
    from resources.mcp.sampling import Sampling


def answers_of(config: ServerConfig, sampling: Sampling | None) -> dict[str, Any]:
    """Options of the SDK's client. What is not among them is not offered to the server, and refused when it asks."""
    found: dict[str, Any] = {}
    if sampling is not None:
        found["sampling_callback"] = sampling
    if config.elicitation == "defaults":
        found["elicitation_callback"] = _defaults
    if config.roots:
        roots = ListRootsResult(roots=[Root.model_validate({"uri": uri}) for uri in config.roots])

        async def list_roots(_context: Any) -> ListRootsResult:
            return roots

        found["list_roots_callback"] = list_roots
    return found


async def _defaults(_context: Any, params: ElicitRequestParams) -> ElicitResult:
    """A form is accepted as it was proposed. One that has to be filled in, or a page that has to be gone to, is declined."""
    if not isinstance(params, ElicitRequestFormParams):
        return ElicitResult(action="decline")
    fields: dict[str, Any] = params.requested_schema.get("properties", {})
    proposed = {name: field["default"] for name, field in fields.items() if "default" in field}
    if set(params.requested_schema.get("required", ())) - proposed.keys():
        return ElicitResult(action="decline")
    return ElicitResult(action="accept", content=proposed)
