"""ZIP containers (DOCX, EPUB) opened with distrust: what one unpacks to is counted while it is unpacked.

The sizes in a directory are what the sender says; a bomb lies. So each part is read in pieces, and the whole archive has a
budget: as many bytes as the ratio allows, and no more than the limit on text does.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from resources.content.parsers.base import BOMB, ENCRYPTED, TOO_LARGE, ParseLimits, broken
from resources.errors import InvalidInputError, LimitExceededError

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_PARTS: Final = 10_000
_PIECE: Final = 1 << 16
_ALWAYS_ALLOWED: Final = 1 << 20
_ENCRYPTED_FLAG: Final = 0x1
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class Archive:
    """The parts of a ZIP file, within limits. `format_name` is for messages."""

    def __init__(self, content: bytes, *, limits: ParseLimits, format_name: str) -> None:
        self._format = format_name
        self._limits = limits
        self._budget = min(max(_ALWAYS_ALLOWED, int(len(content) * limits.max_ratio)), 4 * limits.max_chars)
        self._read = 0
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
            raise broken(format_name, error) from error
        infos = self._zip.infolist()
        if len(infos) > MAX_PARTS:
            raise LimitExceededError(
                f"The {format_name} has {len(infos):,} parts; {MAX_PARTS:,} are accepted.", code=TOO_LARGE
            )
        self._parts = {info.filename: info for info in infos}

    @property
    def names(self) -> list[str]:
        return list(self._parts)

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def read(self, name: str) -> bytes:
        """One part. Raises InvalidInputError when it is missing, broken or encrypted, LimitExceededError for a bomb."""
        info = self._parts.get(name)
        if info is None:
            raise broken(self._format, f"the part {name!r} is missing")
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise InvalidInputError(f"The {self._format} is protected. Send it without a password.", code=ENCRYPTED)
        if info.compress_type not in _METHODS:
            raise broken(self._format, f"the part {name!r} is compressed in a way that is not read")
        pieces: list[bytes] = []
        try:
            with self._zip.open(info) as part:
                while piece := part.read(_PIECE):
                    self._read += len(piece)
                    if self._read > self._budget:
                        raise self._bomb()
                    pieces.append(piece)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
            raise broken(self._format, error) from error
        return b"".join(pieces)

    def xml(self, name: str) -> _Element:
        """One part as XML, without entities. Raises what `read` raises."""
        return xml_of(self.read(name), format_name=self._format, part=name)

    def _bomb(self) -> LimitExceededError:
        return LimitExceededError(
            f"The {self._format} unpacks to more than {self._budget:,} bytes. Split it.",
            code=BOMB,
            max_bytes=self._budget,
        )


def xml_of(content: bytes, *, format_name: str, part: str) -> _Element:
    """XML with entities, external files and the network off. Raises InvalidInputError."""
    from lxml import etree

    if b"<!ENTITY" in content:
        raise broken(format_name, f"the part {part!r} declares entities, which are not read")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise broken(format_name, error) from error
    if root is None:
        raise broken(format_name, f"the part {part!r} is empty")
    return root


def resolve(base: str, target: str) -> str:
    """The name of the part that `target` means when it stands in `base`; never above the archive."""
    path = target.partition("#")[0]
    if path.startswith("/"):
        return posixpath.normpath(path).lstrip("/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), path)).lstrip("./")
