"""The plugins of the documentation are what their sources say."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import wasmtime

from assets.nodes import NODES
from resources.plugins.model import PluginLimits
from resources.plugins.wasmtime import WasmtimeRuntime
from resources.workflows.loading import load
from resources.workflows.validation import check
from tests.fixtures.modules import FOLDER, SHOUT, sha256

PAGE = (FOLDER.parent / "plugins.md").read_text()


def rust() -> str | None:
    """Why Rust cannot be built here; None = it can."""
    if (compiler := shutil.which("rustc")) is None:
        return "there is no rustc"
    asked = [compiler, "--print", "target-libdir", "--target", "wasm32-unknown-unknown"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode or not list(Path(found.stdout.strip()).glob("libstd-*")):
        return "rustc has no target wasm32-unknown-unknown"
    return None


def test_the_module_by_hand_is_built_from_its_text() -> None:
    assert bytes(wasmtime.wat2wasm((FOLDER / "shout.wat").read_text())) == SHOUT


def test_the_module_in_rust_builds_as_the_page_says(tmp_path: Path) -> None:
    if (reason := rust()) is not None:
        pytest.skip(reason)
    command = next(line for line in PAGE.splitlines() if line.startswith("rustc "))
    subprocess.run(
        [*shlex.split(command), "-o", str(tmp_path / "terms.wasm")], check=True, cwd=FOLDER.parents[1], timeout=110
    )
    built = (tmp_path / "terms.wasm").read_bytes()
    limits, runtime = PluginLimits(), WasmtimeRuntime()
    given = b'{"content":"Tea \\u00e9 tea","config":{"terms":["tea","\\u00e9"]},"more":[1,{"a":null}]}'
    found = runtime.call(built, sha256(built), "process", given, grants=("log",), limits=limits)
    assert found.output.decode() == '{"extracted_data":{"terms":{"tea":2,"é":1}}}'


def test_the_workflow_of_the_page_is_valid() -> None:
    spec = load(PAGE.split("```yaml\n")[1].split("```")[0])
    check(spec, NODES)
    assert spec.name == "loud"
