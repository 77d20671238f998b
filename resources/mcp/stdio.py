"""The client's end of MCP over the standard streams of a program that is started for it.

The SDK has one too; this one bounds what a line may hold, tells when the program ends, and ends it with this process. A program
gets PATH, HOME and the like, and what its configuration names; nothing else of this process's environment.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from mcp.client.stdio import get_default_environment

from resources.errors import PlatformError
from resources.mcp.limits import checked
from resources.mcp.transport import decode, duplex, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from mcp.shared.message import SessionMessage

    from resources.mcp.transport import Streams

_GRACE: Final = 2.0
_LAST_WORDS: Final = 300

_running: dict[int, int] = {}
"""Programs that were started: their process, and the one that started them."""


@asynccontextmanager
async def stdio_client(
    command: str,
    args: Sequence[str] = (),
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    limit: int,
    lost: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Streams]:
    """A program that speaks MCP; `limit` is what one of its messages may have, in bytes. `lost` is told why it ended.

    Raises OSError when it cannot be started. When the block ends its input is closed; one that does not end by that is ended.
    """
    secrets = [value for value in (env or {}).values() if value]
    process = await asyncio.create_subprocess_exec(
        command,
        *args,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=get_default_environment() | dict(env or {}),
        cwd=cwd,
        limit=limit,
        start_new_session=True,
    )
    _running[process.pid] = os.getpid()
    assert process.stdin is not None
    assert process.stdout is not None
    writer, reader = process.stdin, process.stdout
    said: list[str] = []
    broken: list[str] = []

    def lost_for(why: str) -> None:
        broken.append(why)
        lost(why)

    errors = asyncio.ensure_future(_listen(process, said))

    async def receive() -> SessionMessage | Exception | None:
        try:
            line = await reader.readuntil()
        except asyncio.LimitOverrunError:
            lost_for(f"it sent a message of more than {limit:,} bytes")
            return None
        except (asyncio.IncompleteReadError, OSError):
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(errors), 0.2)
            words = _without(secrets, said[-1]) if said else ""
            lost_for("the program has ended" + (f": {words}" if words else ""))
            return None
        try:
            return decode(checked(line, limit=limit))
        except (PlatformError, ValueError) as error:
            return error

    async def send(message: SessionMessage) -> None:
        try:
            writer.write(encode(message).encode() + b"\n")
            await writer.drain()
        except (OSError, RuntimeError) as error:
            lost_for("the program reads no more")
            raise ConnectionResetError(f"The program {command!r} reads no more.") from error

    try:
        async with duplex(receive, send) as streams:
            yield streams
    finally:
        errors.cancel()
        await asyncio.shield(asyncio.ensure_future(_end(process, grace=0.1 if broken else _GRACE)))


async def _listen(process: asyncio.subprocess.Process, said: list[str]) -> None:
    assert process.stderr is not None
    while chunk := await process.stderr.read(4096):
        lines = [line.strip() for line in chunk.decode(errors="replace").splitlines() if line.strip()]
        said[:] = [*said[-1:], *lines][-1:]


def _without(secrets: Sequence[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text[:_LAST_WORDS]


async def _end(process: asyncio.subprocess.Process, *, grace: float) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), grace)
    except TimeoutError:
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal(process.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _GRACE)
                break
    # Pipes that were not read to their end stay open else; nothing public closes them.
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001
    _running.pop(process.pid, None)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _end_all() -> None:
    """None outlives this process; those of a process that it was forked from are not its own."""
    for pid, starter in list(_running.items()):
        if starter == os.getpid():
            _signal(pid, signal.SIGTERM)


atexit.register(_end_all)
