"""One use of a tool: in the books, in time, cut to size, and never an end of the agent's run."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import orjson

from resources.errors import PlatformError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resources.agents.tools.port import Tool, ToolUse
    from resources.ai.call import CallOptions
    from resources.ai.model import CallContext
    from resources.ai.pipeline import AiCalls


class _ToolFailedError(UpstreamError):
    """The tool raised. Tells it apart from books that cannot be written."""

    default_code = "tool_failed"


async def call_tool(
    ai: AiCalls,
    tool: Tool,
    arguments: Mapping[str, Any],
    use: ToolUse,
    *,
    context: CallContext,
    options: CallOptions,
    most: int,
) -> tuple[Literal["answered", "failed"], str]:
    """What the tool says, in at most so many characters; or why it says nothing, in words for a model.

    Raises what the books raise, and what a replay without recorded answers does.
    """

    async def function(**given: Any) -> str:
        try:
            return _capped(_as_text(await _run(tool, given, use)), most)
        except PlatformError as error:
            raise _ToolFailedError(error.message, code=error.code) from error
        except Exception as error:
            raise _ToolFailedError(f"{type(error).__name__}: {error}"[:1000]) from error

    options = replace(options, timeout=tool.timeout)
    try:
        result = await ai.call_tool(
            tool.name, arguments, function, context, options, service=tool.service, pure=tool.pure
        )
    except _ToolFailedError as error:
        return "failed", f"Failed ({error.code}): {error.message}"
    except PlatformError as error:
        if error.code != "provider_timeout":
            raise
        return "failed", f"Failed: {tool.name!r} did not answer within {tool.timeout:g} seconds."
    finally:
        use.cancel.set()
    return "answered", result.text


async def _run(tool: Tool, arguments: Mapping[str, Any], use: ToolUse) -> Any:
    if inspect.iscoroutinefunction(tool.run):
        return await tool.run(arguments, use)
    value = await _in_own_thread(lambda: tool.run(arguments, use))
    return await value if inspect.isawaitable(value) else value


async def _in_own_thread(work: Callable[[], Any]) -> Any:
    """In a thread of its own: one that hangs keeps neither others from working nor the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def finish(value: Any, error: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            return
        if error is None:
            done.set_result(value)
        else:
            done.set_exception(error)

    def body() -> None:
        value, failure = None, None
        try:
            value = context.run(work)
        except BaseException as error:  # noqa: BLE001  # told to who waits
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, value, failure)

    threading.Thread(target=body, name="agent-tool", daemon=True).start()
    return await done


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _capped(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut: {len(text) - most:,} of {len(text):,} characters are left out]"
