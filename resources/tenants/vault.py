"""Secrets at rest: envelope encryption with AES-256-GCM (NIST SP 800-38D).

Each secret has a data key of its own, which the master key wraps; what is stored names the master key by a fingerprint. To
change the master key, give the new one first and the former ones behind it, then `rewrap` every secret: only the 32 bytes of
its data key are encrypted anew. A secret is bound to its place (`context`): moved to another tenant's row, it does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from typing import TYPE_CHECKING

from resources.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSION = b"\x01"
_KEY, _NONCE, _TAG, _PRINT = 32, 12, 16, 8
_WRAPPED = _NONCE + _KEY + _TAG


def new_master_key() -> str:
    """A fresh master key, as AIW_AUTH__MASTER_KEY takes it."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY)).decode()


class Vault:
    """Seals and opens. `master_keys` are base64 of 32 bytes each, the present one first. Raises InvalidInputError.

    Without any it can be made, but does nothing: a laptop's platform may never need one.
    """

    def __init__(self, master_keys: Sequence[str]) -> None:
        keys = [_decoded(key) for key in master_keys]
        self._current = _fingerprint(keys[0]) if keys else b""
        self._keys = {_fingerprint(key): key for key in keys}

    def seal(self, secret: bytes, *, context: str) -> bytes:
        """Encrypt `secret` for the place that `context` names. Raises ConflictError when there is no master key."""
        if not self._keys:
            raise ConflictError(
                "Set AIW_AUTH__MASTER_KEY first (`aiw keys master` makes one).", code="master_key_missing"
            )
        data_key = secrets.token_bytes(_KEY)
        sealed = _encrypt(data_key, secret, context)
        return _VERSION + self._current + self._wrap(data_key, context) + sealed

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Decrypt. Raises ConflictError when the master key is unknown, or the secret was changed or moved."""
        data_key, rest = self._unwrap(sealed, context)
        return _decrypt(data_key, rest, context)

    def rewrap(self, sealed: bytes, *, context: str) -> bytes:
        """The same secret under the present master key. Raises as `open` does."""
        if sealed[1 : 1 + _PRINT] == self._current:
            return sealed
        data_key, rest = self._unwrap(sealed, context)
        return _VERSION + self._current + self._wrap(data_key, context) + rest

    def _wrap(self, data_key: bytes, context: str) -> bytes:
        return _encrypt(self._keys[self._current], data_key, context)

    def _unwrap(self, sealed: bytes, context: str) -> tuple[bytes, bytes]:
        key = self._keys.get(sealed[1 : 1 + _PRINT]) if sealed[:1] == _VERSION else None
        if key is None:
            raise ConflictError(
                "A stored secret was sealed with another master key. Give that one too, in AIW_AUTH__FORMER_MASTER_KEYS.",
                code="master_key_unknown",
            )
        start = 1 + _PRINT
        return _decrypt(key, sealed[start : start + _WRAPPED], context), sealed[start + _WRAPPED :]


def _encrypt(key: bytes, plain: bytes, context: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, context.encode())


def _decrypt(key: bytes, sealed: bytes, context: str) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())
    except (InvalidTag, ValueError) as error:
        raise ConflictError(
            f"The secret of {context!r} does not open: it was changed or moved.", code="secret_damaged"
        ) from error


def _decoded(key: str) -> bytes:
    try:
        decoded = base64.b64decode(key.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        decoded = b""
    if len(decoded) != _KEY or len(set(decoded)) < _KEY // 4:
        raise InvalidInputError(
            "A master key must be 32 random bytes in base64. Make one with `aiw keys master`.",
            code="master_key_invalid",
        )
    return decoded


def _fingerprint(key: bytes) -> bytes:
    return hashlib.sha256(b"aiw master key" + key).digest()[:_PRINT]
