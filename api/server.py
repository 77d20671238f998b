"""The API's process: `python -m api.server [--host H] [--port N] [--port-file F] [--fd N]`.

Binds its socket itself, so that port 0 (the kernel chooses) can be reported: as one JSON line on standard output, and in
`--port-file`, once requests are served. Refuses any address but loopback unless everybody must log in.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from api.listening import bind, inherit
from api.protocol import GuardedProtocol
from api.realtime.protocol import SocketProtocol
from resources.errors import InvalidInputError, PlatformError
from resources.mcp.limits import MAX_BYTES

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from starlette.types import ASGIApp

    from api.auth.limiter import Rates
    from api.metrics.collector import Collector

GRACE = 10
_GARBAGE = 20_000


class Server(uvicorn.Server):
    """A uvicorn server that says where it listens as soon as it serves."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        port_file: Path | None = None,
        reload: Callable[[], None] | None = None,
    ) -> None:
        """`reload` is called on SIGHUP, between two requests; no connection notices."""
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=GuardedProtocol,
            ws=SocketProtocol,
            ws_max_size=MAX_BYTES,  # of a message of MCP; those of topics are held to less
            ws_ping_interval=30.0,
            ws_ping_timeout=60.0,
            ws_per_message_deflate=False,
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)
        self._listener = listener
        self._port_file = port_file
        self._reload = reload

    @property
    def url(self) -> str:
        """The address to send requests to."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._reload is not None and threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        if not self.should_exit:
            self.announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        tails = getattr(getattr(self.config.app, "state", None), "tails", None)
        if tails is not None:
            tails.close()  # they would hold the end up: nothing else ends them
        hub = getattr(getattr(self.config.app, "state", None), "hub", None)
        if hub is not None:
            await hub.drain()
        await super().shutdown(sockets=sockets)

    def serve_forever(self) -> None:
        """Serve until SIGINT or SIGTERM; requests in progress get some seconds to end."""
        self.run(sockets=[self._listener])

    def announce(self) -> None:
        """Tell the supervisor where requests are served."""
        port = self._listener.getsockname()[1]
        if self._port_file is not None:
            fresh = self._port_file.with_name(f"{self._port_file.name}.{os.getpid()}")
            fresh.write_text(str(port))
            fresh.replace(self._port_file)
        line = json.dumps({"event": "api.listening", "url": self.url, "port": port, "pid": os.getpid()})
        print(line, flush=True)  # noqa: T201 - the line is this program's answer to its supervisor


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; returns the exit code (1 = it could not start, 2 = it may not listen there)."""
    from api.app import create_app
    from resources.settings import Settings
    from resources.telemetry.logging import configure_logging

    settings = Settings()
    parser = argparse.ArgumentParser(prog="python -m api.server", description="The platform's HTTP API.")
    parser.add_argument("--host", default=settings.api.host, help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=settings.api.port, help="0 = the kernel chooses (default: %(default)s)"
    )
    parser.add_argument("--fd", type=int, help="a listening socket that was inherited, for several processes on one")
    parser.add_argument("--metrics-folder", type=Path, help="where the processes of one platform share what they count")
    parser.add_argument("--port-file", type=Path, help="file to write the port to, once requests are served")
    options = parser.parse_args(arguments)
    configure_logging(level=settings.log.level, format=settings.log.format, service="api")
    if options.port_file is not None:
        options.port_file.unlink(missing_ok=True)  # of a former process
    try:
        remote = settings.auth.mode == "required"
        fd: int | None = options.fd
        listener = bind(options.host, options.port, remote=remote) if fd is None else inherit(fd, remote=remote)
        app = create_app(settings=settings)
        server = Server(app, listener, port_file=options.port_file, reload=lambda: reload(app.state.rates))
    except PlatformError as error:
        print(f"api: {error.message}", file=sys.stderr)  # noqa: T201 - for the person who started it
        return 2 if isinstance(error, InvalidInputError) else 1
    # What is there by now stays: the collector need not look at it, nor each time that some dozen requests are under way.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    with _shared(app.state.metrics, options.metrics_folder):
        server.serve_forever()
    return 0 if server.started else 1


@contextmanager
def _shared(metrics: Collector, folder: Path | None) -> Iterator[None]:
    """For the length of the block this process counts together with the others that share the folder."""
    if folder is None:
        yield
        return
    from api.metrics.sharing import SharedSeries

    metrics.shared = SharedSeries(folder, metrics.own)
    metrics.shared.start()
    try:
        yield
    finally:
        metrics.shared.close()


def reload(rates: Rates) -> None:
    """Take over what may change while the process runs: the level of the log, and rate limits.

    What `.env` says now holds, also where the process was started with something else in its environment. Settings that are
    not valid change nothing.
    """
    from dotenv import dotenv_values
    from pydantic import ValidationError

    from resources.settings import Settings
    from resources.telemetry.logging import get_logger, set_level

    log = get_logger(__name__)
    before = dict(os.environ)
    os.environ.update({name: text for name, text in dotenv_values(".env").items() if name.startswith("AIW_") and text})
    try:
        settings = Settings()
    except ValueError as error:
        os.environ.clear()
        os.environ.update(before)
        # What was written there is not repeated: it may be a secret.
        found = error.errors(include_input=False) if isinstance(error, ValidationError) else ()
        wrong = [f"AIW_{'__'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in found]
        log.error("api.reload_refused", reason="; ".join(wrong) or type(error).__name__)  # noqa: TRY400 - it says it all
        return
    set_level(settings.log.level)
    rates.change(settings.limits)
    log.warning("api.reloaded", log_level=settings.log.level, principal_per_minute=settings.limits.principal_per_minute)


if __name__ == "__main__":
    sys.exit(main())
