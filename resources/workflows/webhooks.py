"""Whether a webhook's delivery comes from who knows the secret: Standard Webhooks (https://www.standardwebhooks.com).

The signature is HMAC-SHA256 over `<id>.<timestamp>.<raw body>`. A delivery more than five minutes from now is refused; one
that comes again within them has the same id, and starts nothing twice.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Final

from resources.errors import UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOLERANCE_SECONDS: Final = 300
_LONGEST_ID = 200


def verify(body: bytes, headers: Mapping[str, str], *, secret: str, now: float) -> str:
    """The id of the delivery. Names of headers are in lower case. Raises UnauthenticatedError (`signature_invalid`)."""
    delivery = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "")
    if not delivery or not stamp or not signatures or len(delivery) > _LONGEST_ID:
        raise _refused("it has no webhook-id, webhook-timestamp and webhook-signature")
    if not (stamp.isascii() and stamp.isdecimal()) or abs(now - int(stamp)) > TOLERANCE_SECONDS:
        raise _refused(f"its timestamp is more than {TOLERANCE_SECONDS} seconds from now")
    digest = hmac.digest(_key(secret), f"{delivery}.{stamp}.".encode() + body, "sha256")
    wanted = f"v1,{base64.b64encode(digest).decode()}"
    if not any(hmac.compare_digest(wanted.encode(), given.encode()) for given in signatures.split(" ")):
        raise _refused("its signature is not that of the secret")
    return delivery


def _key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise _refused("the secret that is stored for it begins with whsec_ and is no base64") from None


def _refused(reason: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"The delivery is refused: {reason}.", code="signature_invalid")
