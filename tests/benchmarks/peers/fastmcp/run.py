"""fastmcp with the tool that all servers of the benchmark have: python run.py http PORT | stdio."""

from __future__ import annotations

import sys

from fastmcp import FastMCP

server = FastMCP("peer")


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


server.tool(add)

if __name__ == "__main__":
    if sys.argv[1] == "http":
        server.run(transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False, log_level="WARNING")
    else:
        server.run(transport="stdio", show_banner=False, log_level="WARNING")
