"""A typed client of the HTTP API. Errors come back as the errors that the server raised.

Safe to share between threads. Reads are retried once when the connection broke; writes never are, because only the caller
knows whether its `event_id`s make that safe.

What is read alone remembers its ETag. Give it as `if_match` to what changes or removes it, and nobody's change is overwritten:

    user = client.user(user_id)
    client.change_user(user_id, role="viewer", if_match=user)  # StaleError when somebody was first

`api.async_client` has the same for programs that await.
"""

from __future__ import annotations

from api.client.answers import Answer, error_of, etag_of
from api.client.whole import ApiClient

__all__ = ["Answer", "ApiClient", "error_of", "etag_of"]
