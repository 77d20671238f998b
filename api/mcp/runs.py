"""Runs of workflows, followed while a client waits: its progress, its log, and its end when the client gives up."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope
from pydantic import BaseModel, Field

from api.workflows import service
from api.workflows.schemas import RunIn
from resources.errors import NotFoundError
from resources.telemetry import correlation

if TYPE_CHECKING:
    from api.mcp.call import Call
    from resources.workflows.executions import Execution

LONGEST: Final = 300.0
_LOOK: Final = 0.5
_ENDS: Final = frozenset({"completed", "failed", "cancelled"})


class RanOut(BaseModel):
    """A run that was started, and where it stood when the time was up."""

    run_id: str
    workflow: str
    status: str = Field(description="created, running, completed, failed or cancelled")
    created: bool = Field(description="False when the key had started it before")
    outputs: Any = None
    error: str | None = None
    resource: str = Field(description="What to read or to watch for more")


async def run(
    call: Call,
    workflow: str,
    inputs: dict[str, Any],
    *,
    wait: float,
    key: str | None = None,
    revision: int | None = None,
) -> RanOut:
    """Start a run and follow it for `wait` seconds. A client that gives up waiting ends the run."""
    wanted = RunIn(inputs=inputs, revision=revision)
    launched, _ = await asyncio.to_thread(
        service.launch,
        call.services,
        workflow,
        wanted,
        principal=call.principal,
        key=key,
        correlation_id=correlation.current(),
        wait=None,
    )
    found: Execution | None = None
    if wait > 0:
        await call.log("info", f"run {launched.run_id} of {workflow} is started", run_id=launched.run_id)
        try:
            found = await _followed(call, launched.run_id, wait)
        except asyncio.CancelledError:
            with CancelScope(shield=True):
                await asyncio.to_thread(call.services.launches.cancel, launched.run_id, tenant=call.tenant)
            raise
    outputs = None
    if found is not None and found.status == "completed":
        outputs = await asyncio.to_thread(service.outputs, call.services, launched.run_id, call.tenant, None)
    return RanOut(
        run_id=launched.run_id,
        workflow=workflow,
        status=found.status if found is not None else "created",
        created=launched.created,
        outputs=outputs,
        error=found.error if found is not None else None,
        resource=f"aiw://runs/{launched.run_id}",
    )


async def _followed(call: Call, run_id: str, seconds: float) -> Execution | None:
    found: Execution | None = None
    told, deadline = -1, time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        await asyncio.to_thread(call.services.launches.wait, run_id, min(_LOOK, left))
        try:
            found = await asyncio.to_thread(service.execution, call.services, run_id, call.tenant)
        except NotFoundError:
            continue  # its events are on their way
        nodes = found.progress
        done = nodes.completed + nodes.failed + nodes.skipped
        if done > told:
            told = done
            await call.progress(done, nodes.total or None, f"{done} of {nodes.total} nodes")
        if found.status in _ENDS:
            await call.log("info" if found.status == "completed" else "warning", f"run {run_id} is {found.status}")
            return found
    return found
