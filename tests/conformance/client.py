"""Our client before the official suite: python -m tests.conformance.client, which prints a port.

The suite starts a client for each scenario, with the server's address as its argument and MCP_CONFORMANCE_SCENARIO in its
environment. What it starts (`caller.py`) hands both to this program, which has all modules and forks: that is much cheaper than a
Python that imports them again.

It connects, logs in, lists and calls through a pool, as nodes do. The suite's authorization server asks nobody: a person is
somebody who goes where they are sent, and comes back at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp.client.auth.utils import build_protected_resource_metadata_discovery_urls
from mcp.shared.auth import AuthorizationCodeResult
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from resources.errors import PlatformError
from resources.mcp.model import ServerConfig
from resources.mcp.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.mcp.model import RemoteTool

CALLS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "tools_call": (("add_numbers", {"a": 5, "b": 3}),),
    "sse-retry": (("test_reconnection", {}),),
    "elicitation-sep1034-client-defaults": (("test_client_elicitation_defaults", {}),),
    "sep-2322-client-request-state": tuple(
        (f"test_mrtr_{name}", {}) for name in ("echo_state", "unrelated", "no_state", "no_result_type")
    ),
}
VALUES = {"string": "x", "integer": 0, "number": 0, "boolean": False, "object": {}, "array": []}
METADATA = "https://conformance-test.local/client-metadata.json"
"""What the suite takes for our document."""


class Obedient:
    """Somebody who agrees to all that is asked."""

    redirect_uri = "http://localhost:3000/callback"

    def __init__(self) -> None:
        self._came_back: AuthorizationCodeResult | None = None

    async def go(self, url: str) -> None:
        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(url, follow_redirects=False)
        given = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        self._came_back = AuthorizationCodeResult.model_validate(given)

    async def back(self) -> AuthorizationCodeResult:
        assert self._came_back is not None
        return self._came_back


def context() -> dict[str, Any]:
    """What the suite tells of a scenario."""
    given: dict[str, Any] = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    return given


def wanted(scenario: str, tools: Sequence[RemoteTool]) -> Sequence[tuple[str, dict[str, Any]]]:
    """The calls that a scenario is about."""
    if scenario in CALLS:
        return CALLS[scenario]
    listed = {tool.name: dict(tool.parameters) for tool in tools}
    if scenario == "json-schema-2020-12-preservation":
        return [("json_schema_echo", {"schema": listed["json_schema_2020_12_tool"]})]
    if scenario == "http-custom-headers":
        calls = [(call["name"], call.get("arguments") or {}) for call in context()["toolCalls"]]
        return [(name, given) for name, given in calls if name in listed]
    if scenario == "http-invalid-tool-headers":
        return [
            (name, {field: VALUES[one.get("type", "string")] for field, one in schema["properties"].items()})
            for name, schema in listed.items()
        ]
    if scenario.startswith("auth/"):
        return [(tools[0].name, {})]
    return ()


async def oauth(scenario: str, url: str) -> dict[str, Any]:
    """How to log in, as an operator would configure it."""
    given = context()
    known = {"client_id": given.get("client_id"), "client_secret": given.get("client_secret")}
    if not scenario.startswith("auth/client-credentials"):
        return {**known, "client_metadata_url": METADATA}
    async with httpx2.AsyncClient() as http:
        found = await http.get(build_protected_resource_metadata_discovery_urls(None, url)[0])
    return {
        **known,
        "grant": "client_credentials",
        "issuer": found.json()["authorization_servers"][0],
        "private_key": given.get("private_key_pem"),
        "algorithm": given.get("signing_algorithm", "ES256"),
    }


async def main(url: str) -> None:
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    spoken = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION")
    era = "auto" if spoken is None or spoken in MODERN_PROTOCOL_VERSIONS else "legacy"
    given: dict[str, Any] = {"name": "judge", "urls": [url], "era": era, "elicitation": "defaults", "max_restarts": 0}
    if scenario.startswith("auth/"):
        given["oauth"] = await oauth(scenario, url)
    pool = Pool(ServerConfig.model_validate(given), person=Obedient())
    try:
        tools = await pool.tools()
        for name, arguments in wanted(scenario, tools):
            with suppress(PlatformError):  # a scope that is never granted is one of the scenarios
                await pool.call(name, arguments)
    finally:
        await pool.close()


def serve() -> None:
    """A process for each caller, who is told what went wrong, or nothing."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201  # for who started it
        while True:
            caller, _ = listener.accept()
            with caller:
                if not os.fork():
                    try:
                        url, environment = json.loads(caller.makefile().readline())
                        os.environ.update(environment)
                        asyncio.run(main(url))
                    except BaseException:  # noqa: BLE001  # whatever it is, the suite shows it
                        caller.sendall(traceback.format_exc().encode())
                    os._exit(0)


if __name__ == "__main__":
    serve()
