"""Encryption of what was asked and answered where it is kept, in the memo and in agents' journals.

AES-256-GCM, a key for each tenant, bound to the entry that it belongs to.
"""

from __future__ import annotations

import base64
import os
from functools import lru_cache
from typing import Final

from resources.errors import InvalidInputError, UpstreamError

_ENCRYPTED: Final = b"\x01"
_PLAIN: Final = b"\x00"
_NONCE_BYTES = 12
_MIN_SECRET = 16


class MemoCipher:
    """`secret` None = entries are kept in plain. Plain entries stay readable after a secret was set, not the reverse."""

    def __init__(self, secret: str | None = None) -> None:
        if secret is not None and len(secret) < _MIN_SECRET:
            raise InvalidInputError(f"The memo's secret is too short: it needs {_MIN_SECRET} characters or more.")
        self._secret = secret

    @property
    def on(self) -> bool:
        """Whether there is a secret."""
        return self._secret is not None

    def seal_text(self, text: str, *, tenant: str, key: str) -> str:
        """A text as text, in base64."""
        return base64.b64encode(self.seal(text.encode(), tenant=tenant, key=key.encode())).decode()

    def open_text(self, sealed: str, *, tenant: str, key: str) -> str:
        """Raises as `open` does."""
        return self.open(base64.b64decode(sealed), tenant=tenant, key=key.encode()).decode()

    def seal(self, payload: bytes, *, tenant: str, key: bytes) -> bytes:
        if self._secret is None:
            return _PLAIN + payload
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        return _ENCRYPTED + nonce + AESGCM(_key(self._secret, tenant)).encrypt(nonce, payload, key)

    def open(self, sealed: bytes, *, tenant: str, key: bytes) -> bytes:
        """Raises UpstreamError when the entry is encrypted under another secret, or was changed."""
        if sealed[:1] == _PLAIN:
            return sealed[1:]
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
            return AESGCM(_key(self._secret or "", tenant)).decrypt(nonce, body, key)
        except InvalidTag as error:
            raise UpstreamError(
                "What was recorded cannot be decrypted. Set the secret that it was recorded under, or purge the memo.",
                code="memo_sealed",
            ) from error


@lru_cache(maxsize=1024)
def _key(secret: str, tenant: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"aiw-memo/{tenant}".encode()).derive(secret.encode())
