"""ArcadeDB's SQL over HTTP, for the indexes that its Cypher cannot make."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from resources.errors import UnavailableError, UpstreamError

_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database takes SQL."""

    url: str
    user: str
    password: str = field(repr=False)
    database: str


def run(address: Address, statement: str) -> None:
    """Run one statement. Raises UnavailableError and UpstreamError."""
    token = base64.b64encode(f"{address.user}:{address.password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - the address is the operator's
        f"{address.url}/api/v1/command/{address.database}",
        data=json.dumps({"language": "sql", "command": statement}).encode(),
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310 - as above
            pass
    except urllib.error.HTTPError as error:
        detail = error.read().decode(errors="replace")
        raise UpstreamError(f"ArcadeDB refused {statement!r} ({error.code}): {detail}", dependency="graph") from error
    except OSError as error:
        raise UnavailableError(
            "ArcadeDB cannot be reached over HTTP. Check AIW_GRAPH__HTTP_URL.", dependency="graph"
        ) from error
