"""The client for programs that await. Written by `docs/async_client.py` from `api/client`: change that one."""

from __future__ import annotations

from api.async_client.whole import AsyncApiClient

__all__ = ["AsyncApiClient"]
