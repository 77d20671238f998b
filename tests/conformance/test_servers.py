"""Our client and servers that nobody here wrote: the three of MCP's own that are made to be tried, over stdio and HTTP."""

from __future__ import annotations

import subprocess
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from resources.ai.call import CallOptions
from resources.ai.errand import Errand, on_errand
from resources.ai.model import CallContext
from resources.errors import PlatformError
from resources.mcp.model import SamplingConfig, ServerConfig
from resources.mcp.pool import Pool
from resources.servers.ports import accepts_connections, free_port
from tests.conformance.node import NoNodeError, environment, installed, script
from tests.resources.mcp.test_sampling import offline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("_servers")]


@pytest.fixture(scope="module")
def _servers() -> None:
    """The servers of the lock file, or why there are none."""
    try:
        installed(timeout=150)
    except NoNodeError as error:
        pytest.skip(str(error))


def program(server: str, *arguments: str) -> dict[str, Any]:
    command, *rest = script(f"@modelcontextprotocol/server-{server}", "dist/index.js")
    return {"transport": "stdio", "command": command, "args": [*rest, *arguments]}


@asynccontextmanager
async def calling(**given: Any) -> AsyncIterator[Pool]:
    pool = Pool(ServerConfig.model_validate({"name": "public", "timeout": 60.0, "elicitation": "defaults", **given}))
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture(scope="module")
def everything() -> Iterator[str]:
    """The server of everything over HTTP."""
    port = free_port()
    command = [*script("@modelcontextprotocol/server-everything", "dist/index.js"), "streamableHttp"]
    given = {**environment(), "PORT": str(port)}
    with subprocess.Popen(command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                if accepts_connections(port):
                    break
                assert process.poll() is None
                time.sleep(0.1)  # what it prints is not meant for programs
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_everything_is_listed_and_called(everything: str, transport: str) -> None:
    given = program("everything", "stdio") if transport == "stdio" else {"urls": [everything]}
    given |= {"sampling": SamplingConfig(), "roots": ["file:///srv/tea"]}
    async with calling(**given) as pool:
        assert len(await pool.tools()) >= 10
        assert (await pool.call("echo", {"message": "hello"})).text == "Echo: hello"
        assert "5" in (await pool.call("get-sum", {"a": 2, "b": 3})).text
        weather = await pool.call("get-structured-content", {"location": "Chicago"})
        assert {"temperature", "conditions", "humidity"} <= weather.structured.keys()
        kinds = [part["type"] for part in (await pool.call("get-tiny-image", {})).content]
        assert "image" in kinds
        with pytest.raises(PlatformError):
            await pool.call("get-sum", {"a": "two", "b": 3})
        with on_errand(Errand(offline(), CallContext(tenant="t"), CallOptions())) as errand:
            asked = await pool.call("trigger-sampling-request", {"prompt": "Tea wants hot water."})
        assert "Tea wants hot water." in asked.text
        assert errand.tokens > 0
        assert errand.cost == 0
        assert "file:///srv/tea" in (await pool.call("get-roots-list", {})).text


async def test_files_are_read_below_one_folder_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "note.txt").write_text("found")
    (tmp_path / "outside.txt").write_text("secret")
    async with calling(**program("filesystem", str(tmp_path / "inside"))) as pool:
        read = await pool.call("read_text_file", {"path": str(tmp_path / "inside" / "note.txt")})
        assert read.text == "found"
        with pytest.raises(PlatformError, match="outside allowed directories"):
            await pool.call("read_text_file", {"path": str(tmp_path / "outside.txt")})


async def test_what_is_remembered_is_found_again(tmp_path: Path) -> None:
    memory = {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}
    tea = {"name": "tea", "entityType": "drink", "observations": ["wants hot water"]}
    async with calling(**program("memory"), env=memory) as pool:
        await pool.call("create_entities", {"entities": [tea]})
    async with calling(**program("memory"), env=memory) as pool:
        found = await pool.call("search_nodes", {"query": "hot water"})
        assert "tea" in found.text
