"""`aiw analyse`, and `aiw ingest` of every format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from api.cli.app import app
from tests.resources.content.test_parsers import DOCUMENTS

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {
    "text/plain": "a.txt",
    "text/markdown": "a.md",
    "text/x-rst": "a.rst",
    "text/html": "a.html",
    "application/pdf": "a.pdf",
    "application/json": "a.json",
    "application/xml": "a.xml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "a.docx",
    "application/epub+zip": "a.epub",
    "text/csv": "a.csv",
    "text/x-source": "a.py",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "all formats"
    folder.mkdir()
    for media_type, content in DOCUMENTS.items():
        (folder / NAMES[media_type]).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", sorted(NAMES.values()))
def test_a_file_is_analysed_without_the_platform(folder: Path, name: str) -> None:
    result = CliRunner().invoke(app, ["analyse", str(folder / name), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["words"] > 0


def test_the_analysis_is_shown_to_people(folder: Path) -> None:
    result = CliRunner().invoke(app, ["analyse", str(folder / "a.docx")])
    assert "The Guide" in result.stdout
    assert "difficulty" in result.stdout


def test_what_cannot_be_read_is_told_with_its_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "broken.json").write_text('{"a": ')
    broken = CliRunner().invoke(app, ["analyse", str(folder / "broken.json")])
    assert (broken.exit_code, "PARSE_ERROR" in broken.stderr) == (1, True)
    monkeypatch.setenv("AIW_CONTENT__MAX_BYTES", "10")
    assert CliRunner().invoke(app, ["analyse", str(folder / "a.md")]).exit_code == 1
    assert CliRunner().invoke(app, ["analyse", str(folder / "a.md"), "--model", "m"]).exit_code == 2


def test_a_folder_with_all_formats_is_taken_in(api_url: str, folder: Path) -> None:
    arguments = ["--api-url", api_url, "ingest", str(folder), "--code", "--no-wait", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    documents = json.loads(result.stdout)["documents"]
    assert {item["item"].rpartition("/")[2]: item["outcome"] for item in documents} == dict.fromkeys(
        NAMES.values(), "received"
    )
