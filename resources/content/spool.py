"""Bytes on their way in that may be too many for memory: a file, how many they are, and their hash."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

IN_MEMORY: Final = 1024 * 1024
"""Bytes up to which a document is held as a whole, and the length of the pieces in which a larger one is moved."""
_ENDS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Spooled:
    """A document's bytes. Whoever opened the file closes it; used by one thread at a time."""

    file: IO[bytes]
    size: int
    sha256: str

    def __len__(self) -> int:
        return self.size

    @classmethod
    def of(cls, content: bytes) -> Spooled:
        """Bytes that are in memory already."""
        return cls(io.BytesIO(content), len(content), hashlib.sha256(content).hexdigest())

    @classmethod
    def measured(cls, file: IO[bytes]) -> Spooled:
        """What stands in the file, read through once."""
        file.seek(0)
        size, digest = 0, hashlib.sha256()
        while piece := file.read(IN_MEMORY):
            size += len(piece)
            digest.update(piece)
        return cls(file, size, digest.hexdigest())

    @property
    def is_small(self) -> bool:
        """Whether it may be held as a whole."""
        return self.size <= IN_MEMORY

    def pieces(self) -> Iterator[bytes]:
        """All of it, from the beginning."""
        self.file.seek(0)
        while piece := self.file.read(IN_MEMORY):
            yield piece

    def whole(self) -> bytes:
        """All of it at once."""
        return b"".join(self.pieces())

    def ends(self) -> tuple[bytes, bytes]:
        """How it begins and how it ends, of which the two share nothing."""
        self.file.seek(0)
        head = self.file.read(_ENDS)
        self.file.seek(max(len(head), self.size - _ENDS))
        return head, self.file.read(_ENDS)
