"""Tell somebody: a webhook, signed as Standard Webhooks does (https://www.standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
from pydantic import BaseModel, Field, SecretStr

from assets.nodes.base import Text, node, occasion, pause, remaining
from assets.nodes.http import check_headers, expected
from resources.errors import InvalidInputError, Problem
from resources.resilience.retry import RetryPolicy
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec
from resources.workflows.web import WebClient, WebRequest

_MAX_BODY: Final = 1024 * 1024
_ANSWER_BYTES: Final = 64 * 1024


class Config(NodeConfig):
    """Whom to tell, and what."""

    url: Text = Field(min_length=1, max_length=8192, description="Address of the webhook; public addresses only")
    message: Any = Field(description="Body of the call: any JSON value with expressions")
    secret: SecretStr | None = Field(
        default=None, description="Secret for the signature, as {{ env.NAME }}; unset: the call is not signed"
    )
    headers: dict[str, Text] = Field(
        default_factory=dict, max_length=50, description="Further headers; secrets as {{ env.NAME }}"
    )
    retries: int = Field(default=4, ge=0, le=10, description="Further tries, with growing pauses of up to 30 s")
    timeout: float = Field(default=10.0, gt=0, le=300, description="Seconds for one try")


class Output(BaseModel):
    """That it arrived."""

    delivery_id: str = Field(description="The call's webhook-id: the same for every try, so that receivers can tell")
    status: int = Field(description="HTTP status of the receiver")
    attempts: int = Field(description="How many tries it took")


def _check(spec: NodeSpec) -> Sequence[Problem]:
    secret = spec.config.get("secret")
    problems = [*check_headers(spec)]
    if secret is not None and "env." not in str(secret):
        problems.append(Problem("config.secret", "stands in clear", "write it as {{ env.NAME }}"))
    return problems


@node(
    "notify",
    output=Output,
    summary="Tell somebody through a signed webhook",
    resources={"web"},
    effects=True,
    check=_check,
    examples=[
        {
            "id": "tell",
            "type": "notify",
            "config": {
                "url": "https://hooks.example.org/reviews",
                "message": {"text": "The review is done."},
                "secret": "{{ env.HOOK_SECRET }}",
            },
        }
    ],
)
def notify(config: Config, context: NodeContext) -> Output:
    """Delivered at least once. Raises as the node type `http` does."""
    web: WebClient = context.resource("web")
    body = orjson.dumps(config.message)
    if len(body) > _MAX_BODY:
        raise InvalidInputError(
            f"A notification has at most {_MAX_BODY:,} bytes; this one {len(body):,}.", code="message_too_large"
        )
    delivery = str(occasion(context, hashlib.sha256(body).hexdigest()))
    attempts = 0

    def attempt() -> int:
        nonlocal attempts
        attempts += 1
        left = remaining(context)
        headers = {
            **{name.lower(): value for name, value in config.headers.items()},
            "content-type": "application/json",
            **signed(body, delivery=delivery, secret=config.secret, now=int(time.time())),
        }
        timeout = config.timeout if left is None else min(config.timeout, left)
        request = WebRequest("POST", config.url, headers, body, timeout=timeout, max_bytes=_ANSWER_BYTES)
        return expected(web.send(request, tenant=context.tenant, cancel=context.cancel), (), url=config.url).status

    status = RetryPolicy(attempts=config.retries + 1).call(attempt, wait=lambda seconds: pause(context, seconds))
    return Output(delivery_id=delivery, status=status, attempts=attempts)


def signed(body: bytes, *, delivery: str, secret: SecretStr | None, now: int) -> dict[str, str]:
    """The headers that tell which delivery it is, when it was sent, and that it comes from who knows the secret."""
    headers = {"webhook-id": delivery, "webhook-timestamp": str(now)}
    if secret is not None:
        digest = hmac.digest(_key(secret.get_secret_value()), f"{delivery}.{now}.".encode() + body, "sha256")
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise InvalidInputError("A secret that begins with whsec_ goes on in base64.", code="secret_invalid") from error
