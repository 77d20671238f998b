"""`aiw mcp`: the platform as MCP servers, for clients that start programs."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from api.cli import mcp_client, mcp_login
from api.cli.output import Commands
from api.cli.session import session_of
from resources.errors import InvalidInputError

app = typer.Typer(cls=Commands, no_args_is_help=True, help="The Model Context Protocol: the platform for agents.")

for _command in (
    mcp_client.servers,
    mcp_client.tools,
    mcp_client.call,
    mcp_client.check,
    mcp_login.login,
    mcp_login.logout,
):
    app.command(_command.__name__)(_command)


class Profile(StrEnum):
    """What is served."""

    PLATFORM = "platform"
    CONFORMANCE = "conformance"


@app.command("serve")
def serve(
    context: typer.Context,
    server: Annotated[
        str, typer.Option(help="platform, customer-support or knowledge-base, of the running platform.")
    ] = "platform",
    profile: Annotated[
        Profile, typer.Option(help="conformance = the fixtures of MCP's conformance suite instead, without a platform.")
    ] = Profile.PLATFORM,
    http: Annotated[
        bool, typer.Option("--http", help="With the fixtures: over HTTP and WebSockets on loopback.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --http; 0 = the kernel chooses.")] = 0,
) -> None:
    """Speak MCP on standard input and output, as whoever the session or AIW_TOKEN says."""
    if profile is Profile.CONFORMANCE:
        _serve_fixtures(port if http else None)
        return
    if http:
        raise InvalidInputError("The running platform serves HTTP itself, at /mcp: `aiw status` tells where.")
    from api.mcp.relay import relay

    url, token = session_of(context).credentials()
    asyncio.run(relay(url, server, token))


def _serve_fixtures(port: int | None) -> None:
    from api.mcp.conformance import serve as fixtures

    if port is None:
        asyncio.run(fixtures.serve_stdio())
        return
    from api.listening import bind
    from api.server import Server

    Server(fixtures.fixture_app(), bind("127.0.0.1", port)).serve_forever()
