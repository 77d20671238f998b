"""MCP over stdio, for clients that start their servers as programs: every line goes to the running platform, over its WebSocket.

So whoever speaks through it is who its token says, within the limits of the API, and a start costs as much as a connection. It
needs neither the SDK nor a database of its own. When the platform goes away the program ends, and the client starts it again.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, BinaryIO, Final

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from resources.errors import NotPermittedError, UnauthenticatedError, UnavailableError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SUBPROTOCOL: Final = "mcp"
LONGEST_LINE: Final = 8 * 1024 * 1024
PATIENCE: Final = 30.0
"""Seconds that answers are waited for after the input has ended."""

_UNAUTHORIZED, _FORBIDDEN = 401, 403


async def relay(
    url: str, server: str, token: str | None, *, source: BinaryIO | None = None, sink: BinaryIO | None = None
) -> None:
    """Until the input ends. Raises UnavailableError, UnauthenticatedError, NotPermittedError."""
    address = f"{url.rstrip('/').replace('http', 'ws', 1)}/mcp/{server}/ws"
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        socket = await connect(
            address,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # their NewType of str
            additional_headers=headers,
            compression=None,
            max_size=LONGEST_LINE,
            proxy=None,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        if status == _UNAUTHORIZED:
            raise UnauthenticatedError(
                f"The platform at {url!r} does not know you. Log in, or set AIW_TOKEN."
            ) from error
        if status == _FORBIDDEN:
            raise NotPermittedError(f"The platform at {url!r} does not let you in.") from error
        raise UnavailableError(
            f"There is no MCP server {server!r} at {url!r}: status {status}.", dependency="api"
        ) from error
    except (OSError, InvalidHandshake) as error:
        raise UnavailableError(f"The platform at {url!r} does not answer: {error}.", dependency="api") from error
    waiting: set[str] = set()
    answered = asyncio.Event()
    async with socket:
        answers = asyncio.create_task(_answers(socket, sink or sys.stdout.buffer, waiting, answered))
        questions = asyncio.create_task(_questions(socket, source or sys.stdin.buffer, waiting))
        done, _ = await asyncio.wait((answers, questions), return_when=asyncio.FIRST_COMPLETED)
        if answers in done:
            questions.cancel()
            raise UnavailableError(f"The platform at {url!r} has closed the connection.", dependency="api")
        try:
            async with asyncio.timeout(PATIENCE):
                while waiting:
                    answered.clear()
                    await answered.wait()
        except TimeoutError:
            pass
        answers.cancel()


async def _questions(socket: ClientConnection, source: BinaryIO, waiting: set[str]) -> None:
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    async for line in reader:
        text = line.strip()
        if text:
            _remember(text, waiting)
            await socket.send(text.decode())


async def _answers(socket: ClientConnection, sink: BinaryIO, waiting: set[str], answered: asyncio.Event) -> None:
    try:
        async for message in socket:
            text = message.encode() if isinstance(message, str) else message
            sink.write(text + b"\n")
            sink.flush()
            if waiting:
                _forget(text, waiting)
                answered.set()
    except (ConnectionClosed, BrokenPipeError):
        return


def _remember(text: bytes, waiting: set[str]) -> None:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return  # the platform tells what is wrong with it
    if isinstance(message, dict) and "id" in message and "method" in message:
        waiting.add(str(message["id"]))


def _forget(text: bytes, waiting: set[str]) -> None:
    message = orjson.loads(text)
    if isinstance(message, dict) and "method" not in message:
        waiting.discard(str(message.get("id")))
