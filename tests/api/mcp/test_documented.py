from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = (Path(__file__).parents[3] / "docs" / "mcp.md").read_text()


def test_the_page_lists_every_tool_with_the_scope_that_it_asks_for(guarded_app: FastAPI) -> None:
    for server in guarded_app.state.mcp.servers.values():
        for tool in server.tools.values():
            assert f"| `{tool.name}` | `{tool.scope}` |" in PAGE
