"""EPUB (2 and 3): the chapters of the spine in order, each read as HTML; title, author and language from the package.

Books that are protected (META-INF/encryption.xml with more than mangled fonts) cannot be read, and are said to be so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers import html
from resources.content.parsers.archive import Archive, resolve
from resources.content.parsers.base import ENCRYPTED, TOO_LARGE, ParseLimits, TextBuilder, broken, one_line
from resources.content.parsers.encoding import decode
from resources.errors import InvalidInputError, LimitExceededError

if TYPE_CHECKING:
    from lxml.etree import _Element

_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_CHAPTERS: Final = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})
_FONTS: Final = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read an EPUB. Raises InvalidInputError for a broken or protected one, LimitExceededError for a bomb."""
    archive = Archive(content, limits=limits, format_name="EPUB")
    _refuse_protected(archive)
    package_name = _package_name(archive)
    package = archive.xml(package_name)
    chapters = _spine(package, package_name)
    if len(chapters) > limits.max_pages:
        raise LimitExceededError(
            f"The EPUB has {len(chapters):,} chapters; {limits.max_pages:,} are accepted. Split it.",
            code=TOO_LARGE,
            pages=len(chapters),
            max_pages=limits.max_pages,
        )
    builder = TextBuilder(limits)
    starts: list[int] = []
    for chapter in chapters:
        if chapter in archive:
            starts.append(len(builder))
            html.add_fragment(builder, decode(archive.read(chapter)).text)
    facts = _facts(package)
    return builder.build(
        MediaType.EPUB,
        title=facts.pop("title", None),
        author=facts.pop("creator", None),
        pages=len(starts),
        metadata={"page_starts": starts, **facts},
    )


def _refuse_protected(archive: Archive) -> None:
    if _ENCRYPTION not in archive:
        return
    declared = archive.read(_ENCRYPTION)
    if declared.count(b"EncryptionMethod") > sum(map(declared.count, _FONTS)):
        raise InvalidInputError("The EPUB is protected. Send it without protection.", code=ENCRYPTED)


def _package_name(archive: Archive) -> str:
    for element in archive.xml(_CONTAINER).iter("{*}rootfile"):
        path = str(element.get("full-path", ""))
        if path in archive:
            return path
    raise broken("EPUB", "its container names no package")


def _spine(package: _Element, package_name: str) -> list[str]:
    """The names of the chapters, in reading order."""
    manifest = {
        str(item.get("id", "")): resolve(package_name, unquote(str(item.get("href", ""))))
        for item in package.iter("{*}item")
        if item.get("media-type") in _CHAPTERS
    }
    wanted = [str(item.get("idref", "")) for item in package.iter("{*}itemref")]
    return list(dict.fromkeys(manifest[name] for name in wanted if name in manifest))


def _facts(package: _Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("title", "creator", "language", "publisher", "date", "description", "identifier"):
        element = next(package.iter("{http://purl.org/dc/elements/1.1/}" + name), None)
        if element is not None and (text := one_line(element.text or "")[:500]):
            found[name] = text
    return found
