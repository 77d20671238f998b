"""Waiting for asynchronous work from a node, which is not: until it is done, its time is up, or the run is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from resources.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from threading import Event

T = TypeVar("T")

_LOOK_SECONDS: Final = 0.05


async def unless_cancelled(work: Coroutine[Any, Any, T], cancel: Event) -> T:
    """What `work` gives. Raises ConflictError (`node_cancelled`), and ends the work, soon after `cancel` is set."""
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_LOOK_SECONDS)
            if cancel.is_set() and not task.done():
                raise ConflictError("The run is cancelled while a node waits.", code="node_cancelled")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
