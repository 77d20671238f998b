"""The commands of docs/events.md, run as they stand there against a live API, an event worker and a real database."""

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
    from resources.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


@pytest.mark.timeout(180)
def test_the_commands_of_the_page_do_what_they_say(
    api_url: str, api_settings: Settings, database_url: str, tenant: str, tmp_path: Path
) -> None:
    (script,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    aiw = f'aiw() {{ {shlex.quote(sys.executable)} -c "from api.cli import main; main()" "$@"; }}\n'
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AIW_")}
    settings = {"AIW_API_URL": api_url, "AIW_DATABASE__URL": database_url, "AIW_TENANT": tenant, "COLUMNS": "200"}
    with working(api_settings):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", aiw + script],
            cwd=tmp_path,
            env=plain | settings | {"PYTHONPATH": str(PAGE.parents[1])},
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "workflow.completed stored at position" in said
    assert "workflow_stats: completed" in said
    assert "type/tea" in said
    assert "running" in said, "the state at version 2"
    assert "on-failure: version 1, enabled" in said
    assert "0 new events imported" in said
