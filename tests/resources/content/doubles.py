"""A world in memory: stores, events and a clock, and an embedder that counts its work."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from resources.content.intake import DocumentIntake
from resources.content.memory import MemoryChunkIndex, MemoryDocumentStore
from resources.content.model import DocumentSource, MediaType, sha256_of
from resources.errors import UnavailableError
from resources.events.memory import MemoryEventStore
from resources.events.model import StreamId

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from resources.events.model import Appended, RecordedEvent

TENANT = "tests"


class CountingEmbedder:
    """Vectors made from a hash of the text; remembers which texts it was asked for."""

    def __init__(self, model_id: str = "counting@1") -> None:
        self.model_id = model_id
        self.dimensions = 16
        self.seen: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.seen.extend(texts)
        rows = [np.random.default_rng(int(sha256_of(text.encode())[:8], 16)).standard_normal(16) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32).reshape(len(texts), 16)


class BrokenEventStore(MemoryEventStore):
    """An event store whose next appends fail, as when the database goes away."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0

    def append(self, *args: Any, **kwargs: Any) -> Appended:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("The database cannot be reached.", dependency="database")
        return super().append(*args, **kwargs)


@dataclass
class World:
    """Everything that ingestion touches."""

    documents: MemoryDocumentStore = field(default_factory=MemoryDocumentStore)
    index: MemoryChunkIndex = field(default_factory=MemoryChunkIndex)
    events: BrokenEventStore = field(default_factory=BrokenEventStore)
    embedder: CountingEmbedder = field(default_factory=CountingEmbedder)
    now: datetime = datetime(2026, 11, 1, tzinfo=UTC)

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    @property
    def intake(self) -> DocumentIntake:
        return DocumentIntake(self.documents, self.events, clock=self.clock)

    def events_of(self, document_id: str) -> Sequence[RecordedEvent]:
        return self.events.read_stream(StreamId("document", document_id), tenant=TENANT)

    def all_events(self) -> list[str]:
        return [event.type for event in self.events.read_all(tenant=TENANT)]


def source(name: str = "guide.md", **changes: Any) -> DocumentSource:
    media_type: MediaType | None = changes.pop("media_type", None)
    return DocumentSource(**{"uri": f"file:///docs/{name}", "name": name, "media_type": media_type, **changes})
