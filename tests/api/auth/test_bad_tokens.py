"""Tokens that somebody made, changed, kept too long, or sends too much of."""

from __future__ import annotations

import base64
import json
import socket
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.protocol import GuardedProtocol
from resources.errors import UnauthenticatedError
from tests.api.auth.people import People, bearer

if TYPE_CHECKING:
    from api.dependencies import Services

V1 = "/api/v1"


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, claims, signature = token.split(".")
    return _decoded(header), _decoded(claims), signature


def joined(header: dict[str, Any], claims: dict[str, Any], signature: str) -> str:
    return f"{_encoded(header)}.{_encoded(claims)}.{signature}"


def _decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def refused(guarded: httpx.Client, token: str) -> str:
    answer = guarded.get(f"{V1}/auth/whoami", headers=bearer(token))
    assert answer.status_code == 401, answer.text
    assert token not in answer.text
    return str(answer.json()["code"])


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "RS256", "", None, 7])
@pytest.mark.parametrize("signature", ["", "kept"])
def test_no_other_algorithm_is_taken(guarded: httpx.Client, people: People, algorithm: object, signature: str) -> None:
    header, claims, kept = parts(people.pair("member").access_token)
    forged = joined(header | {"alg": algorithm}, claims, kept if signature else "")
    assert refused(guarded, forged) == "token_invalid"


def test_the_public_key_is_no_secret_to_sign_with(guarded: httpx.Client, people: People) -> None:
    from joserfc import jwt
    from joserfc.jwk import OctKey

    header, claims, _ = parts(people.pair("member").access_token)
    public = next(key for key in guarded.get("/.well-known/jwks.json").json()["keys"] if key["kid"] == header["kid"])
    for secret in (json.dumps(public), public["x"], base64.urlsafe_b64decode(public["x"] + "==").hex()):
        key = OctKey.import_key(secret)
        forged = jwt.encode({**header, "alg": "HS256"}, claims, key, algorithms=["HS256"])
        assert refused(guarded, forged) == "token_invalid"


def test_a_key_of_ones_own_signs_nothing(guarded: httpx.Client, people: People) -> None:
    from joserfc import jwt
    from joserfc.jwk import OKPKey

    header, claims, _ = parts(people.pair("member").access_token)
    own = OKPKey.generate_key("Ed25519")
    for extra in ({}, {"kid": "unknown"}, {"jwk": own.as_dict(private=False)}, {"jku": "http://127.0.0.1:9/keys"}):
        assert refused(guarded, jwt.encode({**header, **extra}, claims, own, algorithms=["Ed25519"])) == "token_invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "default"},
        {"roles": ["admin"]},
        {"scopes": ["system_admin"]},
        {"exp": 2**40},
        {"sub": str(uuid.uuid4())},
    ],
)
def test_changed_claims_break_the_signature(guarded: httpx.Client, people: People, change: dict[str, Any]) -> None:
    header, claims, signature = parts(people.pair("viewer").access_token)
    assert refused(guarded, joined(header, claims | change, signature)) == "token_invalid"


def signed(services: Services, **changes: Any) -> str:
    now = changes.pop("now", datetime.now(UTC))
    claims = {"sub": str(uuid.uuid4()), "sid": str(uuid.uuid4()), "tenant": "default", **changes}
    return services.identity.tokens.sign(claims, now=now, seconds=60)


def test_an_expired_token_is_over(guarded: httpx.Client, services: Services) -> None:
    assert refused(guarded, signed(services, now=datetime.now(UTC) - timedelta(hours=1))) == "token_expired"


def test_a_token_of_the_future_is_not_good_yet(guarded: httpx.Client, services: Services) -> None:
    assert refused(guarded, signed(services, now=datetime.now(UTC) + timedelta(hours=1))) == "token_invalid"


@pytest.mark.parametrize("change", [{"sid": "x"}, {"sid": 7}, {"tenant": "no-such"}, {"sid": None}, {}])
def test_a_token_of_no_session_is_not_good(guarded: httpx.Client, services: Services, change: dict[str, Any]) -> None:
    assert refused(guarded, signed(services, **change)) in {"token_invalid", "session_ended"}


def test_a_session_of_another_tenant_does_not_help(guarded: httpx.Client, services: Services, people: People) -> None:
    principal = people.pair("admin").principal
    token = signed(services, sub=principal.subject, sid=str(principal.session_id), tenant="default")
    assert refused(guarded, token) == "session_ended"


def test_tokens_for_somebody_else_are_not_for_us(services: Services, people: People) -> None:
    from resources.tenants.tokens import Tokens

    ours = services.identity.tokens
    token = people.pair("member").access_token
    for issuer, audience in (("another", "aiw"), ("aiw", "another")):
        theirs = Tokens(ours._secrets, ours._vault, issuer=issuer, audience=audience)
        with pytest.raises(UnauthenticatedError):
            theirs.verify(token, now=datetime.now(UTC))


@pytest.mark.parametrize(
    "token", ["x" * 9000, "a.b.c", "..", "Bearer", "aiw_", "aiw__", "aiw_0123456789ab_", "eyJ" * 1000]
)
def test_nonsense_is_refused(guarded: httpx.Client, token: str) -> None:
    assert refused(guarded, token) in {"token_invalid", "key_invalid"}


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300))
def test_no_text_at_all_is_a_token(services: Services, text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        services.identity.authentication.authenticate(text)


def test_a_bad_token_does_no_harm_where_none_is_needed(guarded: httpx.Client) -> None:
    assert guarded.get("/health", headers=bearer("nonsense")).status_code == 200


def raw(url: str, request: bytes) -> bytes:
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            return b""
        return connection.recv(200)


@pytest.mark.parametrize(
    "head",
    [
        b"X-A: " + b"a" * 200_000,
        b"X-A: " + b"a" * 40_000,
        b"\r\n".join(b"X-%d: aaaaaaaa" % number for number in range(5000)),
    ],
)
@pytest.mark.parametrize("end", [b"\r\n\r\n", b""])
def test_a_bomb_of_headers_is_refused(guarded_url: str, guarded: httpx.Client, head: bytes, end: bytes) -> None:
    answer = raw(guarded_url, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + head + end)
    if answer:  # unless it was hung up on before all of it was sent
        assert answer.startswith(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json"
        )
    assert guarded.get("/health").status_code == 200


def test_what_is_no_request_is_answered_as_a_problem(guarded_url: str) -> None:
    answer = raw(guarded_url, b"FLY /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json")


def test_who_sends_headers_for_ever_is_hung_up_on(guarded_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "head_seconds", 0.2)
    assert raw(guarded_url, b"GET /health HTTP/1.1\r\nHost: local") == b""
    assert raw(guarded_url, b"") == b""


def test_who_sends_a_body_for_ever_is_told(guarded_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.middleware.limits.PATIENCE", 0.2)
    request = (
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    )
    assert raw(guarded_url, request).startswith(b"HTTP/1.1 408")


def test_a_body_is_not_read_of_who_is_not_known(guarded: httpx.Client) -> None:
    def endless() -> Any:
        for _ in range(64):
            yield b"x" * 65536

    try:
        answer = guarded.post(f"{V1}/events", content=endless())
    except httpx.TransportError:
        return  # the server hung up on it
    assert answer.status_code == 401


def test_a_body_bomb_to_log_in_is_refused(guarded: httpx.Client) -> None:
    bomb = b'{"username":' * 100_000
    assert guarded.post("/login", content=bomb, headers={"Content-Type": "application/json"}).status_code in {400, 413}
    assert guarded.post("/login", content=b"x" * 5_000_000).status_code == 413
