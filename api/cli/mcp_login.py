"""`aiw mcp login` and `logout`: somebody logs in to a server with a browser, and the platform calls it in their name."""

from __future__ import annotations

import asyncio
import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import parse_qsl, urlsplit

import typer

from api.cli.mcp_client import Name
from api.cli.output import show
from api.cli.session import session_of
from resources.errors import ConflictError, UnauthenticatedError

if TYPE_CHECKING:
    from mcp.shared.auth import AuthorizationCodeResult

_PATIENCE = 300.0
_DONE = b"<!doctype html><meta charset=utf-8><title>Logged in</title><p>Done. You can close this page."


def login(
    context: typer.Context,
    name: Name,
    client_secret: Annotated[
        str | None,
        typer.Option(
            envvar="AIW_MCP_CLIENT_SECRET", help="Of a client that the server knows; better in the environment."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the browser comes back to; 0 = any.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser, or only tell where.")] = True,
) -> None:
    """Log in to a server with OAuth: the platform's workflows and agents call it so from then on."""
    from resources.mcp.model import ServerConfig
    from resources.mcp.oauth import MemoryShelf
    from resources.mcp.pool import Pool

    with session_of(context).client() as client:
        found = client.mcp_server(name)
        if found["oauth"] is None or found["oauth"]["grant"] != "authorization_code":
            raise ConflictError(f"Nobody logs in to the MCP server {name!r}.", code="mcp_login_not_wanted")
        config = ServerConfig.model_validate(
            {
                "name": name,
                "urls": found["urls"][:1],
                "era": found["era"],
                "oauth": {**found["oauth"], "client_secret": client_secret},
                "connect_timeout": _PATIENCE,
                "timeout": _PATIENCE,
                "max_restarts": 0,
            }
        )
        shelf = MemoryShelf()
        with _Browser(port, opened=browser) as person:

            async def log_in() -> int:
                pool = Pool(config, shelf=shelf, person=person)
                try:
                    return len(await pool.tools())
                finally:
                    await pool.close()

            count = asyncio.run(log_in())
        if shelf.login is None or shelf.login.tokens is None:
            show(f"{name} let us in without a login: {count} tools.")
            return
        client.keep_mcp_login(name, shelf.login.model_dump_json())
    show(f"Logged in to {name}: {count} tools.")


def logout(context: typer.Context, name: Name) -> None:
    """Forget the login to a server."""
    with session_of(context).client() as client:
        client.forget_mcp_login(name)
    show(f"Logged out of {name}.")


class _Browser:
    """Somebody at this machine, who comes back to a port of ours (RFC 8252)."""

    def __init__(self, port: int, *, opened: bool) -> None:
        self._opened = opened
        self._came_back = threading.Event()
        self._given: dict[str, str] = {}
        browser = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # their name
                given = dict(parse_qsl(urlsplit(self.path).query))
                known = urlsplit(self.path).path == "/callback" and bool(given.keys() & {"code", "error"})
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                if known:
                    self.wfile.write(_DONE)
                    browser._given = given
                    browser._came_back.set()

            def log_message(self, *_: Any) -> None:
                return

        self._server = HTTPServer(("127.0.0.1", port), Answer)
        self.redirect_uri = f"http://127.0.0.1:{self._server.server_port}/callback"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="login", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    async def go(self, url: str) -> None:
        typer.echo(f"Log in at\n{url}", err=True)
        if self._opened:
            webbrowser.open(url)

    async def back(self) -> AuthorizationCodeResult:
        from mcp.shared.auth import AuthorizationCodeResult

        if not await asyncio.to_thread(self._came_back.wait, _PATIENCE):
            raise UnauthenticatedError("Nobody came back from the login.", code="mcp_login_abandoned")
        if "code" not in self._given:
            why = self._given.get("error_description") or self._given["error"]
            raise UnauthenticatedError(f"The login was refused: {why[:300]}", code="mcp_login_refused")
        return AuthorizationCodeResult.model_validate(self._given)
