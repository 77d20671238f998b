"""The catalogue of documents, as the events tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.events.projections.model import Projection, Rows

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent


class DocumentCatalog(Projection):
    """One row a document; the key is its id. `revisions` counts the different bytes that arrived under its address."""

    name = "document_catalog"
    types = frozenset({"document.received", "document.rejected", "document.ready", "document.removed"})

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (event.data["document_id"],)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        row, data, at = rows.row(event.tenant, event.data["document_id"]), event.data, event.occurred_at.isoformat()
        match event.type:
            case "document.received":
                if row.get("sha256") != data["sha256"]:
                    row["revisions"] = row.get("revisions", 0) + 1
                for name in ("uri", "name", "sha256", "media_type", "size_bytes", "title", "subject", "tags"):
                    row[name] = data[name]
                row |= {"status": "received", "received_at": at, "rejection": None}
            case "document.ready":
                row |= {"status": "ready", "ready_at": at, "rejection": None}
                row |= {name: data[name] for name in ("chunks", "concepts", "edges")}
            case "document.rejected":
                row |= {"status": "rejected", "rejected_at": at, "uri": data["uri"]}
                row["rejection"] = {"code": data["code"], "reason": data["reason"]}
            case "document.removed":
                row |= {"status": "removed", "removed_at": at}
