"""The commands of docs/events.md and docs/ai.md, run as they stand there against a live API, an event worker and a database."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.api.events import working

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def said(api_url: str, api_settings: Settings, database_url: str, tenant: str, tmp_path: Path) -> Callable[[str], str]:
    """What the commands of a page print, one after the other; each must succeed."""
    aiw = f'aiw() {{ {shlex.quote(sys.executable)} -c "from api.cli import main; main()" "$@"; }}\n'
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AIW_")}
    settings = {"AIW_API_URL": api_url, "AIW_DATABASE__URL": database_url, "AIW_TENANT": tenant, "COLUMNS": "200"}

    def said(page: str) -> str:
        (script,) = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
        with working(api_settings):
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", aiw + script],
                cwd=tmp_path,
                env=plain | settings | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=170,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return said


@pytest.mark.timeout(180)
def test_the_commands_of_the_page_of_events_do_what_they_say(said: Callable[[str], str]) -> None:
    found = said("events.md")
    assert "workflow.completed stored at position" in found
    assert "workflow_stats: completed" in found
    assert "type/tea" in found
    assert "running" in found, "the state at version 2"
    assert "on-failure: version 1, enabled" in found
    assert "0 new events imported" in found


@pytest.mark.timeout(180)
def test_the_commands_of_the_page_of_ai_do_what_they_say(said: Callable[[str], str], tmp_path: Path) -> None:
    found = said("ai.md")
    assert "research_summary" in found
    assert "Summarise what the passages say about green tea." in found
    assert "$25" in found
    assert (tmp_path / "calls.csv").read_text().startswith("id,timestamp")
