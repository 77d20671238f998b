"""Workflows at the shell, as far as no platform is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from api.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
name: tea
inputs: {kind: {default: green}}
nodes:
  boil: {type: template, config: {template: "{{ inputs.kind }}"}}
  pour: {type: template, config: {template: "{{ nodes.boil.output.text }}"}}
outputs: {advice: "{{ nodes.pour.output.text }}"}
"""
WRONG = """name: tea
nodes:
  boil: {type: nonsense}
  pour: {type: template, config: {template: "{{ nodes.boli.output.text }}"}}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "tea.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG)
    return file


def test_a_good_file_is_valid(good: Path) -> None:
    result = CliRunner().invoke(app, ["workflow", "validate", str(good)])
    assert (result.exit_code, "'tea' with 2 nodes is valid" in result.stdout) == (0, True)


def test_a_wrong_file_is_told_with_lines_and_hints(wrong: Path) -> None:
    result = CliRunner().invoke(app, ["workflow", "validate", str(wrong)])
    assert result.exit_code == 1
    assert "nodes.boil.type" in result.stderr
    assert "line 3" in result.stderr
    assert "'boil'" in result.stderr


def test_each_file_has_its_own_answer(good: Path, wrong: Path) -> None:
    result = CliRunner().invoke(app, ["workflow", "validate", str(good), str(wrong), "--json"])
    told = json.loads(result.stdout)
    assert (result.exit_code, [one["valid"] for one in told]) == (1, [True, False])
    assert {"path", "message", "hint", "code"} == set(told[1]["errors"][0])


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["workflow", "validate", str(tmp_path / "none.yaml")])
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)


def test_a_file_is_drawn(good: Path, tmp_path: Path) -> None:
    assert "n_boil -.-> n_pour" in CliRunner().invoke(app, ["workflow", "graph", str(good)]).stdout
    for name, begin in (("tea.svg", b"<svg"), ("tea.png", b"\x89PNG"), ("tea.mmd", b"flowchart")):
        result = CliRunner().invoke(app, ["workflow", "graph", str(good), "-o", str(tmp_path / name)])
        assert result.exit_code == 0
        assert (tmp_path / name).read_bytes().startswith(begin)


def test_the_schema_knows_every_type_of_node() -> None:
    from assets.nodes import NODES

    schema = json.loads(CliRunner().invoke(app, ["workflow", "schema"]).stdout)
    assert {f"Node_{name}" for name in NODES} <= schema["$defs"].keys()


def test_nodes_are_listed_and_shown() -> None:
    assert "router" in CliRunner().invoke(app, ["nodes", "list"]).stdout
    shown = CliRunner().invoke(app, ["nodes", "show", "router"])
    assert (shown.exit_code, "cases" in shown.stdout) == (0, True)
    assert json.loads(CliRunner().invoke(app, ["nodes", "show", "template", "--json"]).stdout)["config"]["properties"]
    assert CliRunner().invoke(app, ["nodes", "show", "nonsense"]).exit_code == 1


def test_checking_and_drawing_load_no_dagster(good: Path) -> None:
    code = f"""
import sys
from api.cli.app import build
for command in ("validate", "graph"):
    build()(["workflow", command, {str(good)!r}], standalone_mode=False)
assert "dagster" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
