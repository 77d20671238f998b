"""Servers that the operator has configured, in a file and in the environment. They are there for every tenant.

The file is what most clients of MCP read, `{"mcpServers": {NAME: {...}}}`, with our options beside the common ones;
`${VARIABLE}` in a value of `env`, `headers`, `url` or `args` is taken from the environment: no secret has to stand in the file.

The environment: MCP_EXTERNAL_SERVER_<n>_NAME, _ENABLED, _TRANSPORT (stdio, http, websocket), _URI, _COMMAND, _ARGS, _TOKEN and
_USER_TOKEN. The token goes where the service of that name wants it (Notion, Help Scout, Slack), else into
`Authorization: Bearer`.

A stdio server can be configured here and nowhere else: what stands here is the list of programs that may be started. The extra
`mcp-servers` brings servers that need no configuration; one of the same name in the file or the environment is in their place.
"""

from __future__ import annotations

import re
import shlex
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import ValidationError

from resources.errors import InvalidInputError, Problem
from resources.mcp.model import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NUMBERED = re.compile(r"MCP_EXTERNAL_SERVER_(\d+)_([A-Z_]+)")
_TRANSPORTS: Final = {
    "stdio": "stdio",
    "http": "http",
    "streamable-http": "http",
    "streamable_http": "http",
    "streamableHttp": "http",
    "websocket": "websocket",
    "ws": "websocket",
}
_BUNDLED: Final = {"time": "mcp_server_time"}
"""Servers of the extra `mcp-servers`: their names, and the modules that they are."""
_OFF: Final = frozenset({"0", "false", "no", "off"})
_NOTION_VERSION: Final = "2022-06-28"


def configured_servers(file: Path | None, environment: Mapping[str, str]) -> list[ServerConfig]:
    """All of them, in order of name. Raises InvalidInputError that names every problem, and no value."""
    problems: list[Problem] = []
    found: dict[str, ServerConfig] = {}
    sources: list[tuple[str, Callable[[], Iterator[tuple[str, Mapping[str, Any]]]]]] = [
        ("bundled", _bundled),
        ("environment", lambda: _of_environment(environment)),
    ]
    if file is not None:
        sources.insert(1, (str(file), lambda: _of_file(file, environment, problems)))
    for source, read in sources:
        for name, given in read():
            try:
                found[name] = ServerConfig.model_validate({"name": name, **given})
            except ValidationError as error:
                problems += [
                    Problem(".".join(map(str, (source, name, *one["loc"]))), str(one["msg"]), code="mcp_config_invalid")
                    for one in error.errors(include_input=False, include_context=False)
                ]
    if problems:
        raise InvalidInputError(
            "The MCP servers are not configured right: " + "; ".join(map(str, problems)),
            problems=tuple(problems),
            code="mcp_config_invalid",
        )
    return [found[name] for name in sorted(found)]


def _bundled() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, module in _BUNDLED.items():
        if find_spec(module) is not None:
            yield name, {"transport": "stdio", "command": sys.executable, "args": ["-m", module]}


def _of_file(
    file: Path, environment: Mapping[str, str], problems: list[Problem]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        servers = orjson.loads(file.read_bytes())["mcpServers"]
        entries = list(servers.items())
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        problems.append(Problem(str(file), f"it is no file of MCP servers: {type(error).__name__}", str(error)[:200]))
        return
    for name, entry in entries:
        if not isinstance(entry, dict):
            problems.append(Problem(f"{file}.{name}", "it is no object"))
            continue
        missing: list[str] = []
        given = _filled(entry, environment, missing)
        if missing:
            problems.append(Problem(f"{file}.{name}", f"these variables are not set: {', '.join(missing)}"))
            continue
        yield name, _usual(given)


def _usual(entry: dict[str, Any]) -> dict[str, Any]:
    """The names that other clients use, as ours."""
    given = dict(entry)
    if "url" in given:
        given["urls"] = [given.pop("url")]
    said = given.pop("type", given.get("transport", "stdio" if "command" in given else "http"))
    given["transport"] = _TRANSPORTS.get(said, said)
    if given.pop("auth", None) == "oauth":
        given.setdefault("oauth", {})
    if "disabled" in given:
        given["enabled"] = not given.pop("disabled")
    return given


def _filled(value: Any, environment: Mapping[str, str], missing: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, environment, missing) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, environment, missing) for one in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        if match[1] not in environment:
            missing.append(match[1])
        return environment.get(match[1], "")

    return _VARIABLE.sub(fill, value)


def _of_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    numbered: dict[int, dict[str, str]] = {}
    for variable, value in environment.items():
        if match := _NUMBERED.fullmatch(variable):
            numbered.setdefault(int(match[1]), {})[match[2]] = value.strip()
    for number, given in sorted(numbered.items()):
        name = given.get("NAME", f"server-{number}").lower().replace(" ", "-")
        transport = given.get("TRANSPORT") or ("stdio" if given.get("COMMAND") else "http")
        entry: dict[str, Any] = {
            "transport": _TRANSPORTS.get(transport.lower(), transport),
            "enabled": given.get("ENABLED", "true").lower() not in _OFF,
            "headers": _credentials(name, given.get("TOKEN"), given.get("USER_TOKEN")),
        }
        if given.get("URI"):
            entry["urls"] = [one.strip() for one in given["URI"].split(",")]
        if given.get("COMMAND"):
            entry |= {"command": given["COMMAND"], "args": shlex.split(given.get("ARGS", ""))}
        yield name, entry


def _credentials(name: str, token: str | None, user_token: str | None) -> dict[str, str]:
    if not token:
        return {}
    if name == "helpscout":
        return {"X-API-Key": token}
    headers = {"Authorization": f"Bearer {token}"}
    if name == "notion":
        headers["Notion-Version"] = _NOTION_VERSION
    if name == "slack" and user_token:
        headers["X-Slack-User-Token"] = user_token
    return headers
