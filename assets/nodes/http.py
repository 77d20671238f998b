"""Call an HTTP service."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, Field

from assets.nodes.base import Text, as_text, node, pause, refuse, remaining
from resources.errors import LimitExceededError, PlatformError, Problem, UpstreamError
from resources.resilience.retry import RetryPolicy
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec
from resources.workflows.web import SERVER_FAILURES, WebClient, WebReply, WebRequest

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_NOT_DONE: Final = frozenset({429, 503})
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
_SHOWN: Final = 500


class Config(NodeConfig):
    """What to send, and what to make of the answer."""

    method: Method = Field(default="GET", description="HTTP method")
    url: Text = Field(min_length=1, max_length=8192, description="http(s)://host/path; public addresses only")
    headers: dict[str, Text] = Field(
        default_factory=dict, max_length=50, description="Headers; secrets as {{ env.NAME }}, never as text"
    )
    query: dict[str, Any] = Field(
        default_factory=dict, max_length=200, description="Added to the URL; a list repeats its name"
    )
    json_: Any = Field(default=None, alias="json", description="Body as JSON")
    body: Text | None = Field(default=None, description="Body as text, in place of `json`")
    expect: tuple[int, ...] = Field(default=(), description="Statuses that are fine; unset: 200 to 299")
    response: Literal["auto", "json", "text", "base64"] = Field(
        default="auto", description="How to read the answer; auto: as its content type says"
    )
    timeout: float = Field(default=30.0, gt=0, le=300, description="Seconds for one try")
    retries: int = Field(
        default=2,
        ge=0,
        le=10,
        description="Further tries, when it is safe: the service was not reached, or the method is idempotent",
    )
    max_bytes: int = Field(
        default=10 * 1024 * 1024, ge=1, le=50 * 1024 * 1024, description="A larger answer is refused"
    )


class Output(BaseModel):
    """The answer."""

    status: int = Field(description="HTTP status")
    headers: dict[str, str] = Field(description="Headers, names in lower case")
    body: Any = Field(description="The body: JSON, text, or base64")
    format: Literal["json", "text", "base64"] = Field(description="Which of these it is")


def check_headers(spec: NodeSpec) -> Sequence[Problem]:
    """Secrets do not stand in workflows, which are stored, shown and compared."""
    headers = spec.config.get("headers")
    if not isinstance(headers, Mapping):
        return ()
    return [
        Problem(f"config.headers.{name}", "holds a secret in clear", "write it as {{ env.NAME }}")
        for name, value in headers.items()
        if str(name).lower() in _SECRET_HEADERS and "env." not in str(value)
    ]


def _check(spec: NodeSpec) -> Sequence[Problem]:
    problems = [*check_headers(spec)]
    if spec.config.get("json") is not None and spec.config.get("body") is not None:
        problems.append(Problem("config.body", "there is `json` too", "a call has either `json` or `body`"))
    return problems


@node(
    "http",
    output=Output,
    summary="Call an HTTP service",
    resources={"web"},
    effects=True,
    check=_check,
    examples=[
        {
            "id": "rates",
            "type": "http",
            "config": {"url": "https://api.example.org/rates", "query": {"base": "EUR"}, "response": "json"},
        }
    ],
)
def http(config: Config, context: NodeContext) -> Output:
    """Raises as WebClient.send does, and for a status that is not expected LimitExceededError (429) or UpstreamError."""
    web: WebClient = context.resource("web")
    url, headers, content = _target(config), dict(config.headers), _content(config)
    if config.json_ is not None:
        headers = {"content-type": "application/json", **{name.lower(): value for name, value in headers.items()}}
    if context.correlation_id is not None:
        headers.setdefault("x-correlation-id", context.correlation_id)

    def attempt() -> WebReply:
        left = remaining(context)
        timeout = config.timeout if left is None else min(config.timeout, left)
        request = WebRequest(config.method, url, headers, content, timeout=timeout, max_bytes=config.max_bytes)
        try:
            return expected(
                web.send(request, tenant=context.tenant, cancel=context.cancel), config.expect, url=config.url
            )
        except PlatformError as error:
            error.retryable = error.retryable and _may_repeat(error, config.method)
            raise

    reply = RetryPolicy(attempts=config.retries + 1).call(attempt, wait=lambda seconds: pause(context, seconds))
    context.report({"status": reply.status, "bytes": len(reply.content)})
    body, form = _read(reply, config.response)
    return Output(status=reply.status, headers=dict(reply.headers), body=body, format=form)


def expected(reply: WebReply, statuses: Sequence[int], *, url: str) -> WebReply:
    """The reply, if its status is one of these (200 to 299 when there are none)."""
    if reply.status in statuses if statuses else 200 <= reply.status < 300:  # noqa: PLR2004  # RFC 9110 §15.3
        return reply
    where = url.split("?", 1)[0]
    said = reply.text()[:_SHOWN]
    if reply.status == 429:  # noqa: PLR2004  # RFC 6585 §4
        raise LimitExceededError(
            f"{where} says that there are too many requests (429).",
            retry_after=_retry_after(reply),
            code="http_rate_limited",
            status=429,
            body=said,
        )
    location = reply.headers.get("location")
    hint = f" Redirects are not followed; it points to {location!r}." if location else ""
    raise UpstreamError(
        f"{where} answered with status {reply.status}.{hint}",
        code="http_status",
        retryable=reply.status in SERVER_FAILURES,
        status=reply.status,
        body=said,
    )


def _may_repeat(error: PlatformError, method: str) -> bool:
    """Whether sending again cannot do the same thing twice."""
    if method in _IDEMPOTENT or error.code in {"http_unreachable", "circuit_open"}:
        return True
    return error.details.get("status") in _NOT_DONE


def _retry_after(reply: WebReply) -> float:
    value = reply.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 1.0


def _target(config: Config) -> str:
    if not config.query:
        return config.url
    pairs = [
        (name, as_text(item))
        for name, value in config.query.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]
    return f"{config.url}{'&' if '?' in config.url else '?'}{urlencode(pairs)}"


def _content(config: Config) -> bytes | None:
    if config.json_ is not None and config.body is not None:
        raise refuse("An HTTP call has either `json` or `body`.", Problem("config.body", "there is `json` too"))
    if config.json_ is not None:
        return orjson.dumps(config.json_)
    return config.body.encode() if config.body is not None else None


def _read(reply: WebReply, wanted: str) -> tuple[Any, Literal["json", "text", "base64"]]:
    if wanted == "auto":
        kind = reply.headers.get("content-type", "").split(";", 1)[0].strip().lower()
        if reply.content and (kind == "application/json" or kind.endswith("+json")):
            wanted = "json"
        else:
            wanted = "text" if reply.charset or _is_text(reply.content) else "base64"
    if wanted == "json":
        try:
            return orjson.loads(reply.content), "json"
        except orjson.JSONDecodeError as error:
            raise UpstreamError(
                f"The answer is not JSON: {error}.", code="http_body_invalid", body=reply.text()[:_SHOWN]
            ) from error
    if wanted == "base64":
        return base64.b64encode(reply.content).decode(), "base64"
    return reply.text(), "text"


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
