"""Read models: what the events say, in a form that is quick to read. `PROJECTIONS` lists them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.events.projections.documents import DocumentCatalog
from resources.events.projections.services import ServiceHealth
from resources.events.projections.totals import PlatformTotals
from resources.events.projections.usage import AiUsage
from resources.events.projections.workflows import (
    WorkflowCatalog,
    WorkflowExecutionHistory,
    WorkflowExecutions,
    WorkflowStats,
)

if TYPE_CHECKING:
    from resources.events.projections.model import Projection

PROJECTIONS: tuple[Projection, ...] = (
    AiUsage(),
    DocumentCatalog(),
    PlatformTotals(),
    ServiceHealth(),
    WorkflowCatalog(),
    WorkflowExecutionHistory(),
    WorkflowExecutions(),
    WorkflowStats(),
)
