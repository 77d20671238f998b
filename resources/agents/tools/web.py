"""HTTP as a tool: public addresses only, bounded, and behind circuit breakers (`resources/workflows/web.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from resources.agents.tools.port import TIMEOUT, Tool, ToolUse
from resources.ai.model import ToolSpec
from resources.errors import NotPermittedError
from resources.workflows.web import WebRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from resources.workflows.web import WebClient

MAX_BYTES: Final = 2 * 1024 * 1024
_READING: Final = frozenset({"GET", "HEAD"})


def http_tool(
    web: WebClient,
    *,
    methods: Collection[str] = ("GET",),
    hosts: Collection[str] | None = None,
    timeout: float = TIMEOUT,
) -> Tool:
    """The tool `http`. With other methods than GET and HEAD it has effects. `hosts`: only these; None = any public one."""
    properties: dict[str, Any] = {
        "url": {"type": "string", "description": "http(s)://host/path, a public address", "maxLength": 8192},
        "method": {"type": "string", "enum": sorted(methods), "default": "GET" if "GET" in methods else min(methods)},
    }
    if not set(methods) <= _READING:
        properties["json"] = {"description": "Body, sent as JSON"}

    def run(arguments: Mapping[str, Any], use: ToolUse) -> str:
        url, method = str(arguments["url"]), str(arguments.get("method", properties["method"]["default"]))
        if hosts is not None and (urlsplit(url).hostname or "") not in hosts:
            raise NotPermittedError(f"The host of {url!r} is not allowed here.", code="host_refused")
        headers: dict[str, str] = {}
        content = None
        if "json" in arguments:
            headers, content = {"content-type": "application/json"}, orjson.dumps(arguments["json"])
        if method not in _READING:
            headers["idempotency-key"] = use.key
        request = WebRequest(method, url, headers, content, timeout=timeout, max_bytes=MAX_BYTES)
        reply = web.send(request, tenant=use.tenant, cancel=use.cancel)
        return f"status {reply.status}\n\n{reply.text()}"

    spec = ToolSpec(
        name="http",
        description="Fetch a web page or call an HTTP service. Redirects are not followed.",
        parameters={"type": "object", "properties": properties, "required": ["url"], "additionalProperties": False},
    )
    return Tool(spec, run, effects=not set(methods) <= _READING, timeout=timeout, service="http")
