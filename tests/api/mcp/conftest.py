"""The real API, and clients of the official SDK that speak to it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from resources.mcp.websocket import websocket_client
from tests.api.auth.conftest import guarded, guarded_app, guarded_settings, guarded_url, people, strangers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    Connect = Callable[..., AbstractAsyncContextManager[Client]]

__all__ = ["guarded", "guarded_app", "guarded_settings", "guarded_url", "people", "strangers"]

Mode = Literal["auto", "legacy", "2026-07-28"]


@asynccontextmanager
async def connected(
    url: str,
    *,
    path: str = "/mcp",
    mode: Mode = "auto",
    token: str | None = None,
    websocket: bool = False,
    **options: Any,
) -> AsyncIterator[Client]:
    """A client of the server at `path`, over HTTP or a WebSocket."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if websocket:
        transport = websocket_client(f"{url.replace('http', 'ws', 1)}{path}/ws", headers=headers)
        async with Client(transport, mode=mode, **options) as client:
            yield client
        return
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(streamable_http_client(url + path, http_client=http), mode=mode, **options) as client,
    ):
        yield client


@pytest.fixture
def connect(api_url: str) -> Connect:
    """`connect(path="/mcp", mode="auto", websocket=False)`: a client that acts for the test's tenant."""

    def made(**options: Any) -> AbstractAsyncContextManager[Client]:
        return connected(api_url, **options)

    return made
