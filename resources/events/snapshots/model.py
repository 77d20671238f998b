"""A snapshot, and when to take one. A snapshot is a cache: losing all of them costs time and nothing else."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Literal

import msgspec
import zstandard

from resources.errors import ConflictError
from resources.events.model import StreamId

_WORTH_COMPRESSING = 1024
_MUST_SHRINK_TO = 0.8
_LARGEST_STATE = 256 * 1024 * 1024


class Snapshot(msgspec.Struct, frozen=True):
    """The state after the event `version` of the stream, which stands at `position` and was recorded at `recorded_at`.

    `checksum` is the sha256 of the state before compression.
    """

    tenant: str
    stream: StreamId
    version: int
    position: int
    recorded_at: datetime
    state_version: int
    encoding: Literal["plain", "zstd"]
    checksum: bytes
    state: bytes
    taken_at: datetime

    def open(self) -> bytes:
        """The state. Raises ConflictError (`snapshot_corrupt`) when it is not what was saved."""
        state = self.state
        if self.encoding == "zstd":
            try:
                state = zstandard.ZstdDecompressor().decompress(state, max_output_size=_LARGEST_STATE)
            except zstandard.ZstdError as error:
                raise _corrupt(self) from error
        if hashlib.sha256(state).digest() != self.checksum:
            raise _corrupt(self)
        return state


def pack(state: bytes) -> tuple[Literal["plain", "zstd"], bytes, bytes]:
    """Encoding, content and checksum: compressed when that saves at least a fifth."""
    checksum = hashlib.sha256(state).digest()
    if len(state) >= _WORTH_COMPRESSING:
        compressed = zstandard.ZstdCompressor(level=3).compress(state)
        if len(compressed) <= len(state) * _MUST_SHRINK_TO:
            return "zstd", compressed, checksum
    return "plain", state, checksum


class SnapshotPolicy(msgspec.Struct, frozen=True):
    """When a snapshot is taken by itself, counted from the last one, and how many are kept.

    At least one new event is always needed; so an idle aggregate is not photographed every day.
    """

    events: int = 100
    age: timedelta = timedelta(hours=24)
    event_bytes: int = 1024 * 1024
    keep: int = 5

    def is_due(self, *, events: int, age: timedelta | None, event_bytes: int) -> bool:
        """`age` is of the last snapshot; None = there is none."""
        if events < 1:
            return False
        return events >= self.events or event_bytes >= self.event_bytes or (age is not None and age >= self.age)


def _corrupt(snapshot: Snapshot) -> ConflictError:
    return ConflictError(
        f"The snapshot of {str(snapshot.stream)!r} at version {snapshot.version} is corrupt.", code="snapshot_corrupt"
    )
