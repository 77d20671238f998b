"""`aiw ai eval`: a golden set on the platform's database, without a key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from api.cli.app import build

if TYPE_CHECKING:
    from pathlib import Path

    from resources.database.postgres import Database

GOLDEN = """
name: tea
cases:
  - name: hot
    text: What does the text say about tea?
    passages: [Tea is made with hot water. Milk is cold.]
    expect: [{kind: contains, all: [%s]}]
"""


@pytest.mark.parametrize(("word", "code"), [("hot water", 0), ("coffee", 1)])
def test_a_golden_set_passes_or_fails(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tenant: str, word: str, code: int
) -> None:
    monkeypatch.setenv("AIW_DATABASE__URL", database.url)
    monkeypatch.setenv("AIW_TENANT", tenant)
    file = tmp_path / "golden.yaml"
    file.write_text(GOLDEN % word)
    done = CliRunner().invoke(build(), ["ai", "eval", str(file), "--json"])
    assert done.exit_code == code, done.output
    (found,) = json.loads(done.stdout)
    assert found["passed"] is (code == 0)
    assert found["notice"] == "rule-based, not an AI model"
