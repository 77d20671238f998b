"""Which format a document is in: what the sender declares, what the name says, and what the bytes show, reconciled.

What the sender declares wins over the name, and both must agree with the bytes where these are certain (a PDF begins with
%PDF, an image is no text). A contradiction is an error, never a silent guess: a page of HTML in `data.json` is most likely an
error page that somebody saved.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from resources.content.model import MediaType
from resources.content.parsers.base import BINARY, EMPTY, MISMATCH, UNSUPPORTED
from resources.content.parsers.encoding import decode
from resources.errors import InvalidInputError

EXTENSIONS: dict[str, MediaType] = {
    **dict.fromkeys((".txt", ".text", ".log", ".asc"), MediaType.TEXT),
    **dict.fromkeys((".md", ".markdown", ".mkd", ".mdown"), MediaType.MARKDOWN),
    **dict.fromkeys((".rst", ".rest"), MediaType.RST),
    **dict.fromkeys((".html", ".htm", ".xhtml"), MediaType.HTML),
    ".pdf": MediaType.PDF,
    **dict.fromkeys((".json", ".ipynb", ".webmanifest", ".geojson"), MediaType.JSON),
    **dict.fromkeys((".xml", ".rss", ".atom", ".xsd", ".dita", ".docbook", ".tei"), MediaType.XML),
    ".docx": MediaType.DOCX,
    ".epub": MediaType.EPUB,
    **dict.fromkeys((".csv", ".tsv"), MediaType.CSV),
    **dict.fromkeys((".py", ".pyi", ".pyx", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue"), MediaType.CODE),
    **dict.fromkeys(
        (".java", ".kt", ".kts", ".scala", ".groovy", ".cs", ".dart", ".swift", ".m", ".mm"), MediaType.CODE
    ),
    **dict.fromkeys(
        (".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".go", ".rs", ".zig", ".nim", ".sol"), MediaType.CODE
    ),
    **dict.fromkeys(
        (".rb", ".php", ".lua", ".pl", ".pm", ".r", ".jl", ".ex", ".exs", ".erl", ".hs", ".ml"), MediaType.CODE
    ),
    **dict.fromkeys(
        (".clj", ".sql", ".sh", ".bash", ".zsh", ".fish", ".ps1", ".proto", ".graphql", ".tf"), MediaType.CODE
    ),
    **dict.fromkeys((".css", ".scss", ".less"), MediaType.CODE),
}
_ARCHIVES = frozenset({MediaType.DOCX, MediaType.EPUB})
_FOREIGN = frozenset(
    [
        ".doc",
        ".odt",
        ".rtf",
        ".xlsx",
        ".xls",
        ".ods",
        ".pptx",
        ".ppt",
        ".zip",
        ".gz",
        ".bz2",
        ".xz",
        ".zst",
        ".7z",
        ".rar",
        ".tar",
        ".whl",
        ".jar",
        ".exe",
        ".dll",
        ".so",
        ".dylib",
        ".wasm",
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".webp",
        ".bmp",
        ".tiff",
        ".ico",
        ".mp3",
        ".wav",
        ".flac",
        ".ogg",
        ".mp4",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".ttf",
        ".otf",
        ".woff",
        ".woff2",
        ".sqlite",
        ".db",
        ".parquet",
        ".pyc",
        ".class",
        ".bin",
    ]
)
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office file"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "an ELF program"),
    (b"\x00asm", "a WebAssembly module"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"OggS\x00", "Ogg audio"),
    (b"ID3\x03", "MP3 audio"),
)
_BLANK = b" \t\r\n\x0c\x00\xef\xbb\xbf\xfe\xff"
_PDF_WITHIN = 1024
_HTML_START = re.compile(r"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL)
_JSON_START = re.compile(r"""\s*(?:\{\s*(?:"|\})|\[\s*(?:[\[{"\]\d-]|true|false|null))""")
_HEAD = 4096


def media_type_of_name(name: str) -> MediaType | None:
    """What the extension says, or None. Program code and other unknown text has none: it is found out from the bytes."""
    return EXTENSIONS.get(PurePosixPath(name.lower()).suffix)


def sniff(content: bytes, *, name: str = "", declared: MediaType | None = None) -> MediaType:
    """The format. Raises InvalidInputError: document_empty, UNSUPPORTED_FORMAT, document_binary or content_type_mismatch."""
    if not content.strip(_BLANK):
        raise InvalidInputError(f"{called(name)} is empty.", code=EMPTY)
    extension = PurePosixPath(name.lower()).suffix
    named = EXTENSIONS.get(extension)
    # "text/plain" is true of Markdown too: where the name says more, the name is right.
    more_precise = declared is MediaType.TEXT and named in {
        MediaType.MARKDOWN,
        MediaType.RST,
        MediaType.CSV,
        MediaType.CODE,
    }
    expected = named if more_precise else declared or named
    if content.find(b"%PDF-", 0, _PDF_WITHIN) >= 0 and _is_pdf(content):
        return _agree(MediaType.PDF, expected, declared=declared, name=name)
    if content.startswith(b"PK\x03\x04"):
        kind = _archive_type(content) or (expected if expected in _ARCHIVES else None)
        if kind is not None:
            return _agree(kind, expected, declared=declared, name=name)
    if (found := _signature(content)) is not None:
        if expected is None:
            raise _unsupported(name, f"it is {found}")
        if expected is not MediaType.PDF:
            raise InvalidInputError(
                f"{called(name)} should be {expected.value}, but it is {found}.", code=BINARY, detected=found
            )
    if expected is MediaType.PDF:
        raise _mismatch(name, expected, "its bytes do not begin with %PDF", declared=declared)
    if expected in _ARCHIVES:
        raise _mismatch(name, expected, "it is no ZIP archive", declared=declared)
    if expected is None and extension in _FOREIGN:
        raise _unsupported(name, f"{extension} files are not read")
    head = decode(content).text[:_HEAD].lstrip("\ufeff")
    return _text_type(head, expected, declared=declared, name=name)


def sniff_ends(head: bytes, tail: bytes, *, name: str = "", declared: MediaType | None = None) -> MediaType:
    """The format of a large document by how it begins and how it ends. Raises what `sniff` raises."""
    if head.startswith(b"PK\x03\x04") or head.find(b"%PDF-", 0, _PDF_WITHIN) >= 0:
        return sniff(head + tail, name=name, declared=declared)
    return sniff(_whole_characters(head if head.strip(_BLANK) else tail), name=name, declared=declared)


def _whole_characters(piece: bytes) -> bytes:
    """Without what the cut may have left of a character: up to the end of the last line, or else of the last character."""
    if (end := piece.rfind(b"\n")) > 0:
        return piece[: end + 1]
    begun = next((back for back in range(1, 4) if piece[-back:][:1] >= b"\xc0"), 0)
    return piece[: len(piece) - begun]


def _is_pdf(content: bytes) -> bool:
    """A PDF begins with its signature, give or take some bytes of rubbish; text that mentions it does not count."""
    before = content[: content.find(b"%PDF-", 0, _PDF_WITHIN)]
    return not before.strip() or b"%%EOF" in content[-2048:]


def _archive_type(content: bytes) -> MediaType | None:
    """What a ZIP archive is, by the names of its parts, which stand in it in the clear."""
    if content.find(b"mimetypeapplication/epub+zip", 0, 200) >= 0 or b"META-INF/container.xml" in content:
        return MediaType.EPUB
    return MediaType.DOCX if b"[Content_Types].xml" in content and b"word/document" in content else None


def _signature(content: bytes) -> str | None:
    return next((name for magic, name in _SIGNATURES if content.startswith(magic)), None)


def _text_type(head: str, expected: MediaType | None, *, declared: MediaType | None, name: str) -> MediaType:
    is_html = _HTML_START.match(head) is not None
    match expected:
        case None if is_html:
            return MediaType.HTML
        case None if _JSON_START.match(head):
            return MediaType.JSON
        case None if head.lstrip().startswith("<?xml"):
            return MediaType.XML
        case None if head.startswith("#!/"):
            return MediaType.CODE
        case None:
            return MediaType.TEXT
        case MediaType.JSON if is_html or head.lstrip().startswith("<"):
            raise _mismatch(name, expected, f"it looks like {'HTML' if is_html else 'XML or HTML'}", declared=declared)
        case MediaType.XML if is_html and "xmlns" not in head:
            raise _mismatch(name, expected, "it looks like HTML", declared=declared)
        case MediaType.XML if _JSON_START.match(head):
            raise _mismatch(name, expected, "it looks like JSON", declared=declared)
        case MediaType.MARKDOWN | MediaType.RST | MediaType.CSV if is_html:
            raise _mismatch(name, expected, "it is a whole page of HTML", declared=declared)
        case MediaType.HTML if _JSON_START.match(head) and "<" not in head:
            raise _mismatch(name, expected, "it looks like JSON", declared=declared)
        case _:
            return expected


def called(name: str) -> str:
    """The document in a sentence, whether or not it has a name."""
    return f"The document {name!r}" if name else "The document"


def _agree(found: MediaType, expected: MediaType | None, *, declared: MediaType | None, name: str) -> MediaType:
    if expected is None or expected is found:
        return found
    raise _mismatch(name, expected, f"it is {found.value}", declared=declared)


def _mismatch(name: str, expected: MediaType, found: str, *, declared: MediaType | None) -> InvalidInputError:
    claim = "is declared as" if declared is not None else "is named as"
    return InvalidInputError(
        f"{called(name)} {claim} {expected.value}, but {found}. Correct the name or declare its real media type.",
        code=MISMATCH,
        expected=expected.value,
    )


def _unsupported(name: str, reason: str) -> InvalidInputError:
    known = ", ".join(sorted(EXTENSIONS))
    return InvalidInputError(
        f"{called(name)} is of a format that is not supported: {reason}. Supported: {known}, and other plain text.",
        code=UNSUPPORTED,
    )
