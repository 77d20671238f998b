"""Our client before the official suite: python -m tests.conformance.client URL, with the scenario in MCP_CONFORMANCE_SCENARIO.

It connects, lists and calls through a pool, as nodes do.
"""

from __future__ import annotations

import asyncio
import os
import sys

from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from resources.mcp.model import ServerConfig
from resources.mcp.pool import Pool

CALLS = {"tools_call": ("add_numbers", {"a": 5, "b": 3}), "sse-retry": ("test_reconnection", {})}


async def main(url: str) -> None:
    spoken = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION")
    era = "auto" if spoken is None or spoken in MODERN_PROTOCOL_VERSIONS else "legacy"
    pool = Pool(ServerConfig.model_validate({"name": "judge", "urls": [url], "era": era}))
    try:
        await pool.tools()
        if call := CALLS.get(os.environ["MCP_CONFORMANCE_SCENARIO"]):
            await pool.call(*call)
    finally:
        await pool.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1]))
