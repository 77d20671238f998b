"""The tokens of the command line: one file of the user's own, that nobody else can read, with a session for each API.

A refresh token is good for one use, so two commands at a time must not use the same one: whoever refreshes holds a lock, and
looks first whether somebody else has just done it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import typer
from filelock import FileLock

from resources.servers.files import make_private, write_private

if TYPE_CHECKING:
    from collections.abc import Generator

    from api.auth.schemas import LoginOut

_UNAUTHORIZED = 401
_FIELDS = {"access_token", "refresh_token", "username", "tenant"}


class TokenFile:
    """`tokens.json` in the user's configuration folder, or in `folder`."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(typer.get_app_dir("aiw"))
        self.path = self.folder / "tokens.json"

    def read(self, url: str) -> dict[str, Any] | None:
        """The session with the API at `url`."""
        found = self._read_all().get(url)
        return found if isinstance(found, dict) else None

    def write(self, url: str, session: LoginOut | None) -> None:
        """Keep the session, or forget it with None."""
        make_private(self.folder)
        with self.lock():
            self.write_locked(url, None if session is None else session.model_dump(mode="json", include=_FIELDS))

    def write_locked(self, url: str, session: dict[str, Any] | None) -> None:
        """As `write`, by who holds the lock."""
        everything = self._read_all()
        everything.pop(url, None)
        if session is not None:
            everything[url] = session
        write_private(self.path, json.dumps(everything, indent=2))

    def lock(self) -> FileLock:
        """Held while tokens change."""
        return FileLock(self.folder / "tokens.lock", timeout=30)

    def _read_all(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


class StoredSession(httpx.Auth):
    """Sends the kept access token; gets another with the refresh token when it has expired."""

    requires_response_body = True

    def __init__(self, file: TokenFile, url: str) -> None:
        self._file = file
        self._url = url

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        session = self._file.read(self._url)
        if session is None:
            yield request
            return
        sent = session["access_token"]
        request.headers["Authorization"] = f"Bearer {sent}"
        answer = yield request
        if answer.status_code != _UNAUTHORIZED:
            return
        with self._file.lock():
            session = self._file.read(self._url)
            if session is None or session.get("refresh_token") is None:
                return
            if session["access_token"] == sent:
                body = {"refresh_token": session["refresh_token"]}
                answer = yield httpx.Request("POST", f"{self._url}/api/v1/auth/refresh", json=body)
                answer.read()
                fresh = answer.json() if answer.is_success else None
                kept = None if fresh is None else {name: fresh[name] for name in _FIELDS}
                self._file.write_locked(self._url, kept)
                session = kept
        if session is not None:
            request.headers["Authorization"] = f"Bearer {session['access_token']}"
            yield request
