"""Writes `api/async_client` from `api/client`: the same methods, to be awaited. A test holds the two against each other.

    python docs/async_client.py

The source is edited in place by what its syntax tree says, so that types, sentences and comments are carried over.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TARGET = ROOT / "api" / "client", ROOT / "api" / "async_client"
SHARED = {"answers.py"}
"""What both use as it is."""

KEPT = {"__init__", "_silent"}
"""Methods that wait for nothing."""

FACE = '''"""The client for programs that await. Written by `docs/async_client.py` from `api/client`: change that one."""

from __future__ import annotations

from api.async_client.whole import AsyncApiClient

__all__ = ["AsyncApiClient"]
'''

WORDS = {
    "class ApiClient(": "class AsyncApiClient(",
    "httpx.Client(": "httpx.AsyncClient(",
    "httpx.BaseTransport": "httpx.AsyncBaseTransport",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "self._http.close()": "await self._http.aclose()",
    "answer.read()": "await answer.aread()",
    "with self._http.stream(": "async with self._http.stream(",
    "for line in answer.iter_lines()": "async for line in answer.aiter_lines()",
    "yield from answer.iter_bytes()": "async for piece in answer.aiter_bytes():\n                    yield piece",
    "for block in self._follow(": "async for block in self._follow(",
    "Generator[EventOut, None, None]": "AsyncGenerator[EventOut, None]",
    "Generator[dict[str, str], None, None]": "AsyncGenerator[dict[str, str], None]",
    "Generator[dict[str, Any], None, None]": "AsyncGenerator[dict[str, Any], None]",
    "Iterator[bytes]": "AsyncIterator[bytes]",
    "abc import Generator": "abc import AsyncGenerator, AsyncIterator, Generator",
    **{f"from api.client.{path.stem} ": f"from api.async_client.{path.stem} " for path in SOURCE.glob("[!_]*.py")},
    "from api.async_client.answers ": "from api.client.answers ",
}


def written() -> dict[str, str]:
    """The modules as they should be, by file name."""
    sources = {path.name: path.read_text() for path in sorted(SOURCE.glob("[!_]*.py")) if path.name not in SHARED}
    trees = {name: ast.parse(text) for name, text in sources.items()}
    awaited = {method.name for tree in trees.values() for method in _methods(tree) if not _stays(method)}
    found = {name: _awaiting(text, trees[name], awaited) for name, text in sources.items()}
    return {"__init__.py": FACE} | {name: _tidy(name, text) for name, text in found.items()}


def _methods(tree: ast.Module) -> list[ast.FunctionDef]:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return [node for each in classes for node in each.body if isinstance(node, ast.FunctionDef)]


def _stays(method: ast.FunctionDef) -> bool:
    """Whether its callers await nothing: it gives its answers one by one, or at once."""
    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(method))
    return yields or method.name in KEPT


def _awaiting(text: str, tree: ast.Module, awaited: set[str]) -> str:
    offsets = [0]
    for line in text.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))

    def place(line: int, column: int) -> int:
        before = text[offsets[line - 1] :].encode()[:column].decode()
        return offsets[line - 1] + len(before)

    inserts: list[tuple[int, str]] = []
    for method in _methods(tree):
        if method.name not in KEPT:
            inserts.append((place(method.lineno, method.col_offset), "async "))
        alone = {id(node.value) for node in ast.walk(method) if isinstance(node, ast.Expr | ast.Return | ast.Assign)}
        for node in ast.walk(method):
            if isinstance(node, ast.Call) and _waits(node.func, awaited):
                first, last = ("await ", "") if id(node) in alone else ("(await ", ")")
                inserts.append((place(node.lineno, node.col_offset), first))
                inserts.append((place(node.end_lineno or 0, node.end_col_offset or 0), last))
    for at, insert in sorted(inserts, reverse=True):
        text = text[:at] + insert + text[at:]
    for word, other in WORDS.items():
        text = text.replace(word, other)
    return text


def _waits(called: ast.expr, awaited: set[str]) -> bool:
    if not isinstance(called, ast.Attribute):
        return False
    owner = called.value
    if isinstance(owner, ast.Name) and owner.id == "self":
        return called.attr in awaited
    return called.attr == "request" and isinstance(owner, ast.Attribute) and owner.attr == "_http"


def _tidy(name: str, text: str) -> str:
    option = f"--stdin-filename={TARGET / name}"
    ruff = (sys.executable, "-m", "ruff")
    for step in (("check", "--fix", "--quiet", "--exit-zero", "--select=F401,I001,UP034,TC"), ("format",)):
        call = [*ruff, *step, option, "-"]
        text = subprocess.run(call, input=text, capture_output=True, text=True, check=True).stdout
    return text


if __name__ == "__main__":
    TARGET.mkdir(exist_ok=True)
    for file, content in written().items():
        (TARGET / file).write_text(content)
