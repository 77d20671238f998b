"""What goes wrong when servers are called, in our words. The one place that knows the SDK's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp import MCPError
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    REQUEST_TIMEOUT,
)
from pydantic import ValidationError

from resources.errors import (
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    PlatformError,
    UnavailableError,
    UpstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN: Final = 500
_SESSION_ENDED: Final = "Session terminated"
"""What the SDK says of a server that has been started anew."""


class ServerLostError(UnavailableError):
    """The connection broke, so nobody knows whether the tool was carried out."""

    default_code = "mcp_connection_lost"


class ServerTimeoutError(UnavailableError):
    """The server did not answer in time."""

    default_code = "mcp_timeout"


class LoginNeededError(NotPermittedError):
    """The server wants a login, and there is none, or it is not good any more."""

    default_code = "mcp_login_needed"


def login_needed(server: str) -> LoginNeededError:
    """Somebody has to log in."""
    return LoginNeededError(
        f"The MCP server {server!r} wants somebody to log in: `aiw mcp login {server}`.", server=server
    )


def lost(server: str, why: str) -> ServerLostError:
    """The connection broke."""
    return ServerLostError(
        f"The connection to the MCP server {server!r} was lost: {why[:_SHOWN]}.", dependency=f"mcp:{server}"
    )


def timed_out(server: str, tool: str, seconds: float) -> ServerTimeoutError:
    """The caller waited for so long."""
    return ServerTimeoutError(
        f"The MCP server {server!r} did not answer {tool!r} within {seconds:g} s.",
        dependency=f"mcp:{server}",
        tool=tool,
    )


def unreachable(server: str, why: str) -> UnavailableError:
    """No connection can be made."""
    return UnavailableError(
        f"The MCP server {server!r} cannot be reached: {why[:_SHOWN]}.",
        dependency=f"mcp:{server}",
        code="mcp_server_unreachable",
    )


def told(server: str, tool: str, error: Exception) -> PlatformError:
    """An error that the SDK raised for a call, in our words."""
    if isinstance(error, MCPError):
        said, code = error.error.message[:_SHOWN], error.error.code
        match code:
            case _ if code == CONNECTION_CLOSED:
                return lost(server, said)
            case _ if code == INVALID_REQUEST and said == _SESSION_ENDED:
                return lost(server, "it does not know the session any more")
            case _ if code == REQUEST_TIMEOUT:
                return ServerTimeoutError(
                    f"The MCP server {server!r} did not answer {tool!r} in time.", dependency=f"mcp:{server}", tool=tool
                )
            case _ if code == INVALID_PARAMS:
                return InvalidInputError(
                    f"The MCP server {server!r} refuses the arguments of {tool!r}: {said}",
                    code="mcp_arguments_refused",
                    server=server,
                    tool=tool,
                )
            case _ if code == METHOD_NOT_FOUND:
                return NotFoundError(
                    f"The MCP server {server!r} has no {tool!r}: {said}",
                    code="mcp_tool_not_found",
                    server=server,
                    tool=tool,
                )
            case _ if code == PARSE_ERROR:
                return _unreadable(server, tool, said)
        return UpstreamError(
            f"The MCP server {server!r} failed at {tool!r}: {said}",
            code="mcp_error",
            error=code,
            server=server,
            tool=tool,
        )
    if isinstance(error, ValidationError):
        return _unreadable(server, tool, "; ".join(str(one["msg"]) for one in error.errors()[:3]))
    if isinstance(error, RuntimeError) and str(error).startswith(
        ("Invalid structured content", f"Tool {tool} has an output")
    ):
        return UpstreamError(
            f"The MCP server {server!r} answered {tool!r} with what its own schema does not allow: {str(error)[:_SHOWN]}",
            code="mcp_output_invalid",
            server=server,
            tool=tool,
        )
    return lost(server, reason(error))


def reason(error: BaseException) -> str:
    """Why something failed, in one line: of a group of errors, the first that says something."""
    for one in _leaves(error):
        text = one.message if isinstance(one, PlatformError | MCPError) else str(one)
        if text:
            return f"{text}"[:_SHOWN].rstrip(".")
    return type(error).__name__


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _unreadable(server: str, tool: str, why: str) -> UpstreamError:
    return UpstreamError(
        f"The answer of the MCP server {server!r} to {tool!r} cannot be read: {why}",
        code="mcp_answer_invalid",
        server=server,
        tool=tool,
    )
