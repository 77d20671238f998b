"""The demonstration corpus: the documentation of the Python packages that are installed here. Nobody made it for us.

Each distribution's long description (Markdown or reStructuredText, PEP 566) is a document whose subject is the package and
whose prerequisites are the distribution's declared dependencies (PEP 508) that hold in this environment. Every HTML, PDF, XML
or JSON document that a package ships comes too: of JSON and XML only files that describe themselves (a title or a
description at the top, such as JSON Schemas), not tables of data.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from resources.content.model import DocumentSource, MediaType

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_LEAST_DESCRIPTION_CHARS = 200
_LARGEST_SHIPPED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """One document to send: what it is, and its bytes."""

    source: DocumentSource
    content: bytes


def installed_documents() -> Iterator[CorpusDocument]:
    """All documents of all installed distributions, in order of name; each distribution once."""
    distributions = {canonicalize_name(found.name): found for found in importlib.metadata.distributions()}
    for name in sorted(distributions):
        yield from _description_of(name, distributions[name])
        yield from _shipped_by(name, distributions[name])


def _description_of(name: str, distribution: importlib.metadata.Distribution) -> Iterator[CorpusDocument]:
    metadata = distribution.metadata
    text = metadata.get("Description") or str(metadata.get_payload() or "")  # type: ignore[attr-defined]
    if len(text.strip()) < _LEAST_DESCRIPTION_CHARS:
        return
    declared = (metadata.get("Description-Content-Type") or "text/x-rst").split(";")[0].strip().lower()
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
        if media_type is MediaType.JSON and not _describes_itself(content):
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
