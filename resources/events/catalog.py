"""Every event that the platform records: one class per fact, named in the past tense.

To change a payload, raise the version in the decorator and write `upcast_v1_v2` beside the fields; never rename a type.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from resources.events.schema import Catalog, EventData

CATALOG = Catalog()


# Documents


@CATALOG.event("document.received")
class DocumentReceived(EventData):
    """Bytes have arrived and are kept under their sha256."""

    document_id: str
    sha256: str
    uri: str
    name: str
    media_type: str
    size_bytes: int = Field(ge=0)
    title: str | None = None
    subject: str | None = None
    requires: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@CATALOG.event("document.rejected")
class DocumentRejected(EventData):
    """The document cannot be used; `code` is stable, `reason` is for people."""

    document_id: str
    code: str
    reason: str
    uri: str
    sha256: str | None = None


@CATALOG.event("document.ready")
class DocumentReady(EventData):
    """The document can be found by search and stands in the graph."""

    document_id: str
    sha256: str
    chunks: int = Field(ge=0)
    concepts: int = Field(ge=0)
    edges: int = Field(ge=0)


# Runs of Dagster


class _Run(EventData):
    run_id: str
    job: str
    partition: str | None = None


@CATALOG.event("run.started")
class RunStarted(_Run):
    """A run has begun to execute."""

    trigger: str | None = Field(default=None, description="What started it: the id of an event, a schedule, a person")


@CATALOG.event("run.succeeded")
class RunSucceeded(_Run):
    """A run has ended well."""

    duration_ms: int | None = Field(default=None, ge=0)


@CATALOG.event("run.failed")
class RunFailed(_Run):
    """A run has ended badly, or was cancelled."""

    outcome: Literal["failed", "cancelled"] = "failed"
    error: str | None = None
    step: str | None = None
    duration_ms: int | None = Field(default=None, ge=0)
