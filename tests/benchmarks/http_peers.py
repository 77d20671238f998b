"""What the API is held against: a bare ASGI application, and a plain FastAPI one without any of our layers.

python -m tests.benchmarks.http_peers bare|fastapi FD
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_BODY = b'{"status":"healthy","version":"0.1.0"}'


class Answer(BaseModel):
    """As large as what our `whoami` says."""

    tenant: str = "tenant-0"
    subject: str = "00000000-0000-0000-0000-000000000000"
    username: str = "user-0"
    role: str = "member"
    scopes: list[str] = ["execute", "read", "subscribe", "write"]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """The least that a server can do."""
    del receive
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": _BODY})


def plain() -> FastAPI:
    """Routes as they are written by default."""
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.get("/api/v1/auth/whoami")
    async def whoami() -> Answer:
        return Answer()

    @app.post("/api/v1/events", status_code=201)
    async def event(body: dict[str, Any]) -> Answer:
        return Answer(tenant=str(body["type"]))

    return app


def main(name: str, descriptor: int) -> None:
    """Serve on an inherited socket."""
    app = bare if name == "bare" else plain()
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="warning", server_header=False
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
