"""Writes `api/async_client.py` from `api/client.py`: the same methods, to be awaited. A test holds the two against each other.

    python docs/async_client.py

The source is edited in place by what its syntax tree says, so that types, sentences and comments are carried over.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TARGET = ROOT / "api" / "client.py", ROOT / "api" / "async_client.py"
HEAD = (
    '"""The client for programs that await. Written by `docs/async_client.py` from `api/client.py`: change that one."""'
)
KEPT = {"__init__", "_silent"}
"""Methods that wait for nothing."""

WORDS = {
    "class ApiClient:": "class AsyncApiClient:",
    "httpx.Client(": "httpx.AsyncClient(",
    "httpx.BaseTransport": "httpx.AsyncBaseTransport",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "self._http.close()": "await self._http.aclose()",
    "answer.read()": "await answer.aread()",
    "with self._http.stream(": "async with self._http.stream(",
    "for line in answer.iter_lines()": "async for line in answer.aiter_lines()",
    "yield from answer.iter_bytes()": "async for piece in answer.aiter_bytes():\n                    yield piece",
    "Generator[EventOut, None, None]": "AsyncGenerator[EventOut, None]",
    "Iterator[bytes]": "AsyncIterator[bytes]",
    "Safe to share between threads. Reads": "For one event loop. Reads",
}


def written() -> str:
    """The module as it should be."""
    text = SOURCE.read_text()
    tree = ast.parse(text)
    (client,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ApiClient")
    methods = {node.name: node for node in client.body if isinstance(node, ast.FunctionDef)}
    awaited = {name for name, node in methods.items() if name not in KEPT and not _yields(node)}
    offsets = [0]
    for line in text.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))

    def place(line: int, column: int) -> int:
        before = text[offsets[line - 1] :].encode()[:column].decode()
        return offsets[line - 1] + len(before)

    inserts: list[tuple[int, str]] = []
    for name, method in methods.items():
        if name not in KEPT:
            inserts.append((place(method.lineno, method.col_offset), "async "))
        alone = {id(node.value) for node in ast.walk(method) if isinstance(node, ast.Expr | ast.Return | ast.Assign)}
        for node in ast.walk(method):
            if isinstance(node, ast.Call) and _waits(node.func, awaited):
                first, last = ("await ", "") if id(node) in alone else ("(await ", ")")
                inserts.append((place(node.lineno, node.col_offset), first))
                inserts.append((place(node.end_lineno or 0, node.end_col_offset or 0), last))
    begin, end = place(client.lineno, 0), place(client.end_lineno or 0, client.end_col_offset or 0)
    body = text[begin:end]
    for at, insert in sorted(inserts, reverse=True):
        body = body[: at - begin] + insert + body[at - begin :]
    for word, other in WORDS.items():
        body = body.replace(word, other)
    return _tidy("\n\n".join([HEAD, _imports(text, tree), body]) + "\n")


def _yields(method: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(method))


def _waits(called: ast.expr, awaited: set[str]) -> bool:
    if not isinstance(called, ast.Attribute):
        return False
    owner = called.value
    if isinstance(owner, ast.Name) and owner.id == "self":
        return called.attr in awaited
    return called.attr == "request" and isinstance(owner, ast.Attribute) and owner.attr == "_http"


def _imports(text: str, tree: ast.Module) -> str:
    """Those of the source, and what else it holds at its top; what is not used is left out afterwards."""
    found = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.If)]
    own = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    own += [target.id for target in targets if isinstance(target, ast.Name)]
    lines = text.splitlines()
    blocks = ["\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in found]
    imports = "\n".join(block for block in blocks if not block.startswith("if "))
    types = "\n".join(block for block in blocks if block.startswith("if "))
    types = types.replace("import Generator, ", "import AsyncGenerator, AsyncIterator, Generator, ")
    return f"{imports}\nfrom api.client import {', '.join(own)}\n\n{types}"


def _tidy(text: str) -> str:
    name = f"--stdin-filename={TARGET}"
    ruff = (sys.executable, "-m", "ruff")
    for step in (("check", "--fix", "--quiet", "--exit-zero", "--select=F401,I001,UP034,TC"), ("format",)):
        text = subprocess.run([*ruff, *step, name, "-"], input=text, capture_output=True, text=True, check=True).stdout
    return text


if __name__ == "__main__":
    TARGET.write_text(written())
