"""What the documents promise exists: files, make targets, commands and their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from api.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
ids = [path.name for path in DOCUMENTS]


def shell_lines(document: Path) -> Iterator[str]:
    for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.split("#")[0].strip() if "'#" not in line else line.strip()


def aiw_commands(document: Path) -> list[list[str]]:
    found = []
    for line in shell_lines(document):
        for part in re.split(r"\||&&|;|\$\(|\)", line):
            try:
                words = shlex.split(part)
            except ValueError:
                continue
            if words and words[0] in {"aiw", ".venv/bin/aiw"}:
                found.append(words[1:])
    return found


def unknown_words(words: list[str]) -> list[str]:
    """The part of a command line that the program does not know."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands"):
        while rest and rest[0].startswith("-"):
            rest.pop(0)
        if not rest:
            return []
        name = rest.pop(0)
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return [word for word in rest if word.startswith("--") and word.split("=")[0] not in options | {"--help"}]


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_commands_of_the_documents_exist(document: Path) -> None:
    wrong = {" ".join(words): unknown for words in aiw_commands(document) if (unknown := unknown_words(words))}
    assert wrong == {}


def test_the_readme_shows_commands_at_all() -> None:
    assert len(aiw_commands(ROOT / "README.md")) >= 8


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_files_that_the_documents_link_to_exist(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_make_targets_of_the_documents_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    benches = {
        f"bench-{name}"
        for name in re.findall(r"^BENCHES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    }
    named = {target for line in shell_lines(document) for target in re.findall(r"^make ([a-z-]+)", line)}
    assert named - targets - benches == set()
