"""A typed client of the HTTP API. Errors come back as the errors that the server raised.

Safe to share between threads. Reads are retried once when the connection broke; writes never are, because only the caller
knows whether its `event_id`s make that safe. `api.async_client` has the same for programs that await.
"""

from __future__ import annotations

from api.client.answers import error_of
from api.client.whole import ApiClient

__all__ = ["ApiClient", "error_of"]
