"""Where the supergraph is fetched from, by gateways and by whoever wants to know how it stands. On loopback alone."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from api.listening import bind
from api.middleware.security import LoopbackOnlyMiddleware
from api.server import Server
from resources.errors import UnavailableError

if TYPE_CHECKING:
    import socket

    from starlette.requests import Request

    from api.gateway.registry import Subgraphs
    from api.gateway.supergraph import Supergraph

PATH = "/_service/supergraph"
_READY_WITHIN = 20.0


def supergraph_app(supergraph: Supergraph, subgraphs: Subgraphs) -> Starlette:
    """`/_service/supergraph` is the text; `/health` says what it is made of."""

    async def text(request: Request) -> Response:
        state = supergraph.state
        if state.text is None:
            return PlainTextResponse("There is no supergraph yet.", HTTPStatus.SERVICE_UNAVAILABLE)
        headers = {"ETag": f'"{state.tag}"'}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return PlainTextResponse(state.text, headers=headers)

    async def health(request: Request) -> Response:
        del request
        state = supergraph.state
        try:
            found = await to_thread.run_sync(lambda: subgraphs.all(now=datetime.now(UTC)))
        except UnavailableError as error:
            return JSONResponse({"status": "unhealthy", "reason": error.message}, HTTPStatus.SERVICE_UNAVAILABLE)
        well = state.text is not None and not state.errors and all(it.status == "healthy" for it in found)
        body = {
            "status": "healthy" if well else "degraded" if state.text is not None else "unhealthy",
            "supergraph": state.tag,
            "composed_at": None if state.composed_at is None else state.composed_at.isoformat(),
            "errors": list(state.errors),
            "subgraphs": [{"name": it.name, "url": it.url, "status": it.status} for it in found],
        }
        return JSONResponse(body, HTTPStatus.SERVICE_UNAVAILABLE if state.text is None else HTTPStatus.OK)

    app = Starlette(routes=[Route(PATH, text), Route("/health", health)])
    app.add_middleware(LoopbackOnlyMiddleware)
    return app


class SupergraphServer:
    """Serves it from a thread of this process, on a port of the kernel's choice."""

    def __init__(self, supergraph: Supergraph, subgraphs: Subgraphs) -> None:
        self._server = _Quiet(supergraph_app(supergraph, subgraphs), bind("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.serve_forever, name="supergraph", daemon=True)
        self.url = self._server.url

    def start(self) -> None:
        """Return when it serves. Raises UnavailableError."""
        self._thread.start()
        if not self._server.serving.wait(_READY_WITHIN):
            raise UnavailableError("The supergraph is not served.", dependency="supergraph", code="server_not_ready")

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()


class _Quiet(Server):
    """Its supervisor is in the same process."""

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        super().__init__(app, listener)
        self.serving = threading.Event()

    def announce(self) -> None:
        self.serving.set()
