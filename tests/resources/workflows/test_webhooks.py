"""Deliveries are taken from who knows the secret, for five minutes."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from assets.nodes.notify import signed
from resources.errors import UnauthenticatedError
from resources.workflows.webhooks import TOLERANCE_SECONDS, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
NOW = 1614265330


def headers(secret: str = SECRET, *, body: bytes = BODY, now: int = NOW) -> dict[str, str]:
    return signed(body, delivery="msg_p5jXN8AQM9LWM0D4loKWxJek", secret=SecretStr(secret), now=now)


def test_the_example_of_the_specification_is_taken() -> None:
    given = headers() | {"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
    assert verify(BODY, given, secret=SECRET, now=NOW) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_one_of_several_signatures_is_enough() -> None:
    given = headers()
    given["webhook-signature"] = f"v1,bm90IGl0 {given['webhook-signature']}"
    assert verify(BODY, given, secret=SECRET, now=NOW)


@pytest.mark.parametrize(
    "given",
    [
        {},
        headers("another secret"),
        headers(body=b"{}"),
        headers(now=NOW - TOLERANCE_SECONDS - 1),
        headers(now=NOW + TOLERANCE_SECONDS + 1),
        headers() | {"webhook-timestamp": "now"},
        headers() | {"webhook-id": "another"},
        headers() | {"webhook-id": "x" * 500},
    ],
    ids=["unsigned", "other secret", "other body", "old", "from the future", "no time", "other id", "long id"],
)
def test_all_else_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(UnauthenticatedError):
        verify(BODY, given, secret=SECRET, now=NOW)
