"""Program code, in any language that Pygments can tell apart: what it defines as sections, what it says as prose.

The document's text is the source itself, so that offsets are those of the file. Comments and documentation strings are prose for
the analysers; all the rest is marked as code. Python's definitions come from its own grammar, other languages' from the names
that follow a word such as `class` or `func`.
"""

from __future__ import annotations

import ast
import re
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import ParseLimits, TextBuilder, clean
from resources.content.parsers.encoding import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pygments.lexer import Lexer

_MAX_SYMBOLS: Final = 5_000
_MAX_LEXED: Final = 1_000_000
_DECLARING: Final = frozenset(
    {
        "class",
        "def",
        "func",
        "fn",
        "function",
        "interface",
        "struct",
        "enum",
        "trait",
        "impl",
        "type",
        "module",
        "union",
    }
    | {"namespace", "record", "object", "protocol", "extension", "mod", "macro_rules!", "package", "contract", "sub"}
    | {"procedure", "proc", "defn", "defmodule", "defmacro"}
)
_CONTAINERS: Final = frozenset(
    {"class", "interface", "struct", "trait", "impl", "module", "namespace", "object", "enum"}
)
_COMMENT_MARKS = re.compile(r"^[ \t]*(?:/\*+!?|\*+/|//+!?|\*(?![*/])|#+!?|--+|;+|%+|\"\"\"|''')[ \t]?", re.MULTILINE)
_IMPORT = re.compile(
    r"""^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import|import[ \t]+(?:[\w*{}, $]+[ \t]+from[ \t]+)?["']?([\w./@-]+)["']?"""
    r"""|\#[ \t]*include[ \t]*[<"]([\w./-]+)[>"]|use[ \t]+([\w:]+)|require(?:_relative)?[ \t(]+["']([\w./@-]+)["'])""",
    re.MULTILINE,
)
_MAX_IMPORTS: Final = 200


def parse(content: bytes, *, limits: ParseLimits, name: str = "") -> ParsedDocument:
    """Read program code. `name` tells the language; without a known one it is guessed. Fails for what is not text only."""
    decoded = decode(content)
    text = clean(decoded.text).strip("\n").rstrip()
    builder = TextBuilder(limits)
    lexer = _lexer(name, text)
    prose = list(_prose(lexer, text[:_MAX_LEXED]))
    builder.block(text, spans=list(_gaps(prose, len(text))) if text else ())
    symbols = _python(text) if lexer.name.startswith("Python") else None
    if symbols is None:
        symbols = list(_declared(lexer, text[:_MAX_LEXED]))
    for title, level, start in symbols[:_MAX_SYMBOLS]:
        builder.mark_section(title, level, start)
    builder.links_in(text)
    imports = [next(filter(None, match.groups())) for match in _IMPORT.finditer(text)]
    metadata: dict[str, Any] = {
        "programming_language": lexer.name,
        "symbols": len(symbols),
        "lines": text.count("\n") + 1,
        "comment_share": round(sum(end - start for start, end in prose) / max(len(text), 1), 4),
    }
    if imports:
        metadata["imports"] = list(dict.fromkeys(imports))[:_MAX_IMPORTS]
    if decoded.replaced:
        metadata["replaced_characters"] = decoded.replaced
    return builder.build(MediaType.CODE, title=name or None, encoding=decoded.encoding, metadata=metadata)


def _lexer(name: str, text: str) -> Lexer:
    from pygments.lexers import get_lexer_for_filename, guess_lexer
    from pygments.util import ClassNotFound

    options = {"stripnl": False, "ensurenl": False}
    if name:
        try:
            return get_lexer_for_filename(name, code=text[:4_000], **options)
        except ClassNotFound:
            pass
    return guess_lexer(text[:4_000], **options)


def _prose(lexer: Lexer, text: str) -> Iterator[tuple[int, int]]:
    """Where comments and documentation stand, without their marks and without commands to the compiler."""
    from pygments.token import Comment, String

    for start, token, value in lexer.get_tokens_unprocessed(text):
        if (
            token in Comment and token not in Comment.Preproc and token not in Comment.PreprocFile
        ) or token in String.Doc:
            if value.startswith("#!"):
                continue
            yield from _without_marks(start, value)


def _without_marks(start: int, value: str) -> Iterator[tuple[int, int]]:
    position = 0
    for match in _COMMENT_MARKS.finditer(value):
        if value[position : match.start()].strip():
            yield start + position, start + match.start()
        position = match.end()
    rest = value[position:].rstrip("*/\"' \t\n")
    if rest.strip():
        yield start + position, start + position + len(rest)


def _gaps(prose: list[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    """What lies between the pieces of prose: code. Line ends after prose stay with it."""
    edges = [(0, 0), *sorted(prose), (length, length)]
    for (_, end), (start, _) in pairwise(edges):
        if start > end:
            yield end, start


def _python(text: str) -> list[tuple[str, int, int]] | None:
    """Classes and functions with their levels, or None when it is not the Python that runs here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    found: list[tuple[str, int, int]] = []
    stack: list[tuple[Iterable[ast.stmt], int, str]] = [(tree.body, 1, "")]
    while stack:
        body, level, prefix = stack.pop()
        for statement in body:
            if isinstance(statement, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                found.append((f"{prefix}{statement.name}", level, starts[statement.lineno - 1]))
                if isinstance(statement, ast.ClassDef):
                    stack.append((statement.body, level + 1, f"{prefix}{statement.name}."))
    return sorted(found, key=lambda symbol: symbol[2])


def _declared(lexer: Lexer, text: str) -> Iterator[tuple[str, int, int]]:
    """Names that are declared; a level deeper while a declared container is open, as far as braces tell."""
    from pygments.token import Comment, Name, String, Text

    before = ""
    depth = 0
    in_receiver = False
    containers: list[int] = []
    for start, token, value in lexer.get_tokens_unprocessed(text):
        if token in Text or token in Comment or not value.strip():
            continue
        if token in String:
            before = ""
            continue
        if before == "func" and (in_receiver or value.startswith("(")):
            in_receiver = not value.rstrip().endswith(")")  # Go names the type of a method first
            continue
        depth += value.count("{") - value.count("}")
        while containers and depth < containers[-1]:
            containers.pop()
        declared = before in _DECLARING and token in Name
        if declared or token in Name.Class or (token in Name.Function and token not in Name.Function.Magic):
            line = text.rfind("\n", 0, start) + 1
            yield value.strip(), min(len(containers) + 1, 6), line
            if before in _CONTAINERS:
                containers.append(depth + 1)
        before = value.strip()
