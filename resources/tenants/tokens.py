"""Access tokens: JWTs (RFC 7519, profile RFC 9068), signed by us and verified by whoever has our public keys.

EdDSA on Ed25519 by default (`alg` is `Ed25519`, as RFC 9864 has it), with keys that are made here, sealed in the store and
rotated under a `kid`; or HS256 with a secret of at least 32 bytes, for deployments that share one with other services. A key
verifies its own algorithm alone, so neither `none` nor a public key taken for a secret gets anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from resources.errors import InvalidInputError, UnauthenticatedError
from resources.tenants.model import SigningKey
from resources.tenants.store import context_of_signing_key

if TYPE_CHECKING:
    from joserfc.jwk import GuestProtocol, OctKey, OKPKey

    from resources.tenants.store import SecretStore
    from resources.tenants.vault import Vault

Algorithm = Literal["EdDSA", "HS256"]

LEEWAY = 5
MAX_TOKEN = 4096
MIN_SECRET = 32
_TYPE = "at+jwt"
_NAMES = {"EdDSA": "Ed25519", "HS256": "HS256"}
_LOOK_AGAIN = timedelta(seconds=30)
LONGEST = 12 * 3600
"""How many seconds a token is good at most, unless all are good for longer: one in a cookie."""
_LOOK_FOR_UNKNOWN = timedelta(seconds=1)
"""A key that was made just now is found at once; names that somebody made up cost one look a second."""


class Tokens:
    """Signs and verifies. Safe to share between threads.

    Other processes rotate keys too: they are read anew every half minute, and when a token names an unknown one.
    """

    def __init__(
        self,
        secrets: SecretStore,
        vault: Vault,
        *,
        algorithm: Algorithm = "EdDSA",
        secret: str | None = None,
        issuer: str = "aiw",
        audience: str = "aiw",
        access_seconds: int = 900,
    ) -> None:
        self._secrets = secrets
        self._vault = vault
        self._algorithm = _NAMES[algorithm]
        self._issuer = issuer
        self._audience = audience
        self._longest = max(LONGEST, access_seconds)
        self._shared = _shared_key(secret) if algorithm == "HS256" else None
        self._stored: tuple[SigningKey, ...] = ()
        self._keys: dict[str, OKPKey | OctKey] = {}
        self._signer: OKPKey | None = None
        self._read_at = datetime.min.replace(tzinfo=UTC)
        self._looked_at = self._read_at
        self._lock = threading.Lock()

    def sign(self, claims: dict[str, Any], *, now: datetime, seconds: int) -> str:
        """A token that is good from `now` for so many seconds. `claims` are those of the caller's own."""
        from joserfc import jwt

        key = self._shared or self._signing_key(now)
        header = {"alg": self._algorithm, "typ": _TYPE, "kid": key.kid}
        begin = int(now.timestamp())
        ours = {
            "iss": self._issuer,
            "aud": self._audience,
            "iat": begin,
            "nbf": begin,
            "exp": begin + seconds,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(header, claims | ours, key, algorithms=[self._algorithm])

    def verify(self, token: str, *, now: datetime) -> dict[str, Any]:
        """The claims of a token of ours that is good now. Raises UnauthenticatedError."""
        from joserfc import jwt
        from joserfc.errors import ExpiredTokenError, JoseError

        if len(token) > MAX_TOKEN:
            raise _invalid("it is too long")
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(now.timestamp()),
            leeway=LEEWAY,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            sid={"essential": True},
            tenant={"essential": True},
        )
        try:
            decoded = jwt.decode(token, lambda found: self._key_for(found, now), algorithms=[self._algorithm])
            if decoded.header.get("typ") != _TYPE:
                raise _invalid("it is no access token")
            registry.validate(decoded.claims)
        except ExpiredTokenError as error:
            raise UnauthenticatedError("The token has expired. Refresh it, or log in.", code="token_expired") from error
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise _invalid("it is malformed, not signed by us, or not for us") from error
        return decoded.claims

    def rotate(
        self, *, now: datetime, only_first: bool = False, drop_former: bool = False
    ) -> tuple[SigningKey, datetime]:
        """Sign with a new key from now on. The former verifies until the last token that it signed has expired.

        With `drop_former` none verifies any more: for keys that somebody else may have.
        """
        from joserfc.jwk import OKPKey

        kid = base64.urlsafe_b64encode(uuid.uuid4().bytes[:9]).decode()
        made = OKPKey.generate_key("Ed25519", {"kid": kid, "use": "sig", "alg": self._algorithm})
        private = json.dumps(made.as_dict(private=True)).encode()
        sealed = self._vault.seal(private, context=context_of_signing_key(kid))
        key = SigningKey(kid, dict(made.as_dict(private=False)), sealed, now)
        # Another process signs with the former until it looks again.
        until = now if drop_former else now + timedelta(seconds=self._longest + LEEWAY) + _LOOK_AGAIN
        self._secrets.add_signing_key(key, retire_at=until, only_first=only_first)
        self._read(now)
        return key, until

    def forget(self) -> None:
        """Read the keys anew before the next use."""
        self._signer = None
        self._read_at = datetime.min.replace(tzinfo=UTC)

    def jwks(self, *, now: datetime) -> dict[str, Any]:
        """The public keys (RFC 7517); none with HS256, whose secret is not for others."""
        if self._shared is not None:
            return {"keys": []}
        self._signing_key(now)
        return {"keys": [key.public for key in self._stored]}

    def _signing_key(self, now: datetime) -> OKPKey:
        if self._signer is None or now - self._read_at > _LOOK_AGAIN:
            self._read(now)
        if self._signer is None:
            self.rotate(now=now, only_first=True)
        assert self._signer is not None
        return self._signer

    def _key_for(self, found: GuestProtocol, now: datetime) -> OKPKey | OctKey:
        kid = found.headers().get("kid")
        if self._shared is not None:
            if kid != self._shared.kid:
                raise _invalid("its key is not known")
            return self._shared
        if kid not in self._keys and now - self._looked_at > _LOOK_FOR_UNKNOWN:
            self._looked_at = now
            self._read(now)
        elif now - self._read_at > _LOOK_AGAIN:
            self._read(now)
        if kid not in self._keys:
            raise _invalid("its key is not known")
        return self._keys[kid]

    def _read(self, now: datetime) -> None:
        from joserfc.jwk import OKPKey

        with self._lock:
            stored = tuple(self._secrets.signing_keys(now=now))
            if stored and (not self._stored or stored[0].kid != self._stored[0].kid or self._signer is None):
                private = self._vault.open(stored[0].sealed, context=context_of_signing_key(stored[0].kid))
                self._signer = OKPKey.import_key(json.loads(private))
            self._keys = {key.kid: OKPKey.import_key(key.public) for key in stored}
            self._stored = stored
            self._read_at = now


def check_secret(secret: str | None) -> str:
    """The secret of HS256. Raises InvalidInputError when it could be guessed."""
    if secret is None or len(secret.encode()) < MIN_SECRET or len(set(secret)) < MIN_SECRET // 4:
        raise InvalidInputError(
            f"HS256 needs AIW_AUTH__SECRET: at least {MIN_SECRET} random bytes. Or use EdDSA, which needs none.",
            code="secret_weak",
        )
    return secret


def _shared_key(secret: str | None) -> OctKey:
    from joserfc.jwk import OctKey

    checked = check_secret(secret)
    kid = hashlib.sha256(b"aiw kid" + checked.encode()).hexdigest()[:12]
    return OctKey.import_key(checked, {"kid": kid})


def _invalid(reason: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"The token is not accepted: {reason}.", code="token_invalid")
