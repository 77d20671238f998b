"""The demonstration corpus: the documentation of the Python packages that the platform stands on. Nobody made it for us.

These are the distributions that its declared dependencies lead to, as they are installed here: the same ones whether or not
developers' tools are installed beside them.

Each distribution's long description (Markdown or reStructuredText, PEP 566) is a document whose subject is the package and
whose prerequisites are the distribution's declared dependencies (PEP 508) that hold in this environment.

The HTML, PDF, XML and JSON documents that packages ship come too. What counts as a document is what a person could read: a
page with text in it, not an application's empty shell; JSON that describes itself with a title or a description (such as a
JSON Schema), not a table of data. Generators ship hundreds of schemas that hardly differ, so of one package's documents the
first few are taken, unless the caller wants all.
"""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from resources.content.model import DocumentSource, MediaType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROJECT = "ai-workflow-engine"

_DESCRIPTION_TYPES = {
    "text/markdown": (MediaType.MARKDOWN, ".md"),
    "text/x-rst": (MediaType.RST, ".rst"),
    "text/plain": (MediaType.TEXT, ".txt"),
}
_SHIPPED_TYPES = {
    ".html": MediaType.HTML,
    ".htm": MediaType.HTML,
    ".pdf": MediaType.PDF,
    ".xml": MediaType.XML,
    ".json": MediaType.JSON,
}
_LEAST_CHARS = 200
_LARGEST_SHIPPED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """One document to send: what it is, and its bytes."""

    source: DocumentSource
    content: bytes


def installed_documents(*, packages: int | None = None, shipped: int | None = 5) -> Iterator[CorpusDocument]:
    """The documents of all distributions that the platform needs, in order of name, each content once.

    `packages` is how many packages, the closest to the project first; None = all of them.
    `shipped` is how many documents besides its description one package may bring; None = all of them.
    """
    seen: set[bytes] = set()
    distributions = {str(canonicalize_name(found.name)): found for found in importlib.metadata.distributions()}
    for name in sorted(_needed(distributions)[:packages]):
        described = _description_of(name, distributions[name])
        for document in (*described, *islice(_shipped_by(name, distributions[name]), shipped)):
            if document.content not in seen:
                seen.add(document.content)
                yield document


def _needed(distributions: Mapping[str, importlib.metadata.Distribution]) -> list[str]:
    """What the project's declared dependencies lead to, and is installed: its own first, then theirs, and so on."""
    needed: dict[str, None] = {}
    ring = {PROJECT}
    while ring:
        found = {name for known in ring for name in _dependencies_of(known, distributions[known])}
        ring = found & distributions.keys() - needed.keys()
        needed |= dict.fromkeys(sorted(ring))
    return list(needed)


def _description_of(name: str, distribution: importlib.metadata.Distribution) -> Iterator[CorpusDocument]:
    metadata = distribution.metadata
    text = str(metadata["Description"] or metadata.get_payload() or "")  # type: ignore[attr-defined]  # it is a Message
    if len(text.strip()) < _LEAST_CHARS:
        return
    declared = (metadata["Description-Content-Type"] or "text/x-rst").split(";")[0].strip().lower()
    media_type, extension = _DESCRIPTION_TYPES.get(declared, (MediaType.TEXT, ".txt"))
    yield CorpusDocument(
        source=DocumentSource(
            uri=f"pkg:pypi/{name}",
            name=f"{name}{extension}",
            media_type=media_type,
            title=f"{name} {distribution.version}",
            subject=name,
            requires=tuple(sorted(_dependencies_of(name, distribution))),
            tags=("python", "package"),
        ),
        content=text.encode(),
    )


def _dependencies_of(name: str, distribution: importlib.metadata.Distribution) -> set[str]:
    """Canonical names of the declared dependencies that hold here. Extras are left out: nobody says which were wanted."""
    names = set()
    for line in distribution.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            names.add(str(canonicalize_name(requirement.name)))
    return names - {name}


def _shipped_by(name: str, distribution: importlib.metadata.Distribution) -> Iterator[CorpusDocument]:
    for file in sorted(distribution.files or (), key=str):
        media_type = _SHIPPED_TYPES.get(file.suffix.lower())
        if media_type is None or any(part.endswith((".dist-info", ".egg-info")) for part in file.parts):
            continue
        path = Path(str(distribution.locate_file(file)))
        if not path.is_file() or path.stat().st_size > _LARGEST_SHIPPED_BYTES:
            continue
        content = path.read_bytes()
        if not _IS_DOCUMENT.get(media_type, bool)(content):
            continue
        yield CorpusDocument(
            source=DocumentSource(
                uri=f"pkg:pypi/{name}#{file.as_posix()}",
                name=file.name,
                media_type=media_type,
                tags=("python", "shipped"),
            ),
            content=content,
        )


def _describes_itself(content: bytes) -> bool:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and any(
        isinstance(value.get(key), str) and len(value[key]) > 1 for key in ("title", "description")
    )


def _has_text(content: bytes) -> bool:
    visible = re.sub(rb"<(script|style|head)\b.*?</\1\s*>|<[^>]*>|\s+", b" ", content, flags=re.DOTALL | re.IGNORECASE)
    return len(visible.strip()) >= _LEAST_CHARS


_IS_DOCUMENT: Mapping[MediaType, Callable[[bytes], bool]] = {
    MediaType.JSON: _describes_itself,
    MediaType.HTML: _has_text,
}
