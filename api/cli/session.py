"""What every command may need: the settings, and the API of the running platform."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

    from api.cli.tokens import TokenFile
    from api.client import ApiClient
    from api.realtime.client import SocketClient
    from resources.settings import Settings


@dataclass
class Session:
    """One call of the command line. `api_url` is what the caller said; None = ask the running platform's state file.

    `token` is an access token or an API key; None = the session of `aiw login`, if there is one.
    """

    api_url: str | None = None
    token: str | None = None

    @cached_property
    def settings(self) -> Settings:
        """The settings. Raises InvalidInputError, with the names of the variables that are wrong."""
        from pydantic import ValidationError

        from resources.errors import InvalidInputError, Problem
        from resources.settings import Settings

        try:
            return Settings()
        except ValidationError as error:
            problems = tuple(
                Problem("AIW_" + "__".join(map(str, found["loc"])).upper(), found["msg"]) for found in error.errors()
            )
            message = "The settings are not valid. Correct the environment or the file .env:"
            raise InvalidInputError(message, code="settings_invalid", problems=problems) from error

    def client(self) -> ApiClient:
        """A client of the running API. Raises UnavailableError when no platform runs here."""
        return self.client_of(self.api_url or self._running_url())

    def client_of(self, url: str) -> ApiClient:
        """A client of the API at `url`, with the credentials that there are."""
        from api.cli.tokens import StoredSession
        from api.client import ApiClient

        url = url.rstrip("/")
        if self.token is not None:
            return ApiClient(url, token=self.token)
        return ApiClient(url, auth=StoredSession(self.tokens, url))

    @contextmanager
    def socket(self) -> Iterator[SocketClient]:
        """A client of the running API's sockets. Raises UnavailableError when no platform runs here."""
        from api.realtime.client import SocketClient

        url = (self.api_url or self._running_url()).rstrip("/")
        with self.client_of(url) as client:
            yield SocketClient(url, token=lambda: self._credential(client, url))

    def credentials(self) -> tuple[str, str | None]:
        """Where the running API is, and the token to show there; None = none is needed. Raises as `client` does."""
        url = (self.api_url or self._running_url()).rstrip("/")
        with self.client_of(url) as client:
            return url, self._credential(client, url)

    def _credential(self, client: ApiClient, url: str) -> str | None:
        if self.token is not None:
            return self.token
        client.whoami()  # a kept session that has expired is renewed by the way
        kept = self.tokens.read(url)
        return None if kept is None else str(kept["access_token"])

    @cached_property
    def tokens(self) -> TokenFile:
        """Where sessions are kept."""
        from api.cli.tokens import TokenFile

        return TokenFile()

    def database_url(self) -> str:
        """The database of the settings, else that of the running platform. Raises UnavailableError when there is none."""
        from resources.errors import UnavailableError

        configured = self.settings.database.url
        url = configured.get_secret_value() if configured else self._running("database_url")
        if url is None:
            message = "No database is configured and no platform runs here. Set AIW_DATABASE__URL, or start `aiw up`."
            raise UnavailableError(message, dependency="database")
        return url

    def _running_url(self) -> str:
        from resources.errors import UnavailableError

        url = self._running("api_url")
        if url is None:
            raise UnavailableError(
                f"No platform runs on {str(self.settings.data_dir)!r}. Start one with `aiw up`, or name the address of "
                "another's API with --api-url or AIW_API_URL.",
                dependency="api",
            )
        return url

    def _running(self, address: Literal["api_url", "database_url"]) -> str | None:
        from api.running import read_state

        state = read_state(self.settings.data_dir)
        return getattr(state, address) if state is not None and state.running else None


def session_of(context: typer.Context) -> Session:
    """The session of the command in `context`."""
    session = context.find_object(Session)
    assert session is not None
    return session
