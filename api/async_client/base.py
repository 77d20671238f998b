"""The connection of a client to one API, and what all calls have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import httpx

from api.client.answers import V1, Answer, Model, Seen, condition, error_of, mapping_of, model_of, reason
from resources.errors import InvalidInputError, UnavailableError
from resources.telemetry import correlation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from types import TracebackType


_TRIES_OF_A_READ = 2
_PATIENCE = httpx.Timeout(10.0, read=60.0)  # a heartbeat comes every ten seconds


class HttpClient:
    """Speaks to one API at `url`. `timeout` is in seconds, for each step of a request.

    `token` is an access token or an API key; `auth` adds credentials in a way of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        auth: httpx.Auth | None = None,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise InvalidInputError("The token holds a character that no token has: a line break, perhaps.")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(
            base_url=self.url, auth=auth, headers=headers, timeout=timeout, transport=transport, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give back the connections."""
        await self._http.aclose()

    async def get_json(self, path: str, **parameters: Any) -> Any:
        """What `path` (behind /api/v1) answers, as plain JSON values. Parameters that are None are left out."""
        return await self._plain("GET", f"{V1}{path}", **parameters)

    async def send_json(self, method: str, path: str, body: Any) -> Any:
        """Send a body to `path` (behind /api/v1); None for an answer without one."""
        answer = await self._send(method, f"{V1}{path}", **({} if body is None else {"json": body}))
        return answer.json() if answer.content else None

    async def download(self, path: str, **parameters: Any) -> AsyncIterator[bytes]:
        """What `path` (behind /api/v1) answers, piece by piece, however long it is."""
        given = {key: value for key, value in parameters.items() if value is not None}
        try:
            async with self._http.stream("GET", f"{V1}{path}", params=given) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise error_of(answer)
                async for piece in answer.aiter_bytes():
                    yield piece
        except httpx.TransportError as error:
            raise self._silent(error) from error

    async def _follow(
        self, path: str, *, last_event_id: str | None = None, **parameters: Any
    ) -> AsyncGenerator[dict[str, str], None]:
        """Server-sent events: the fields of each. A broken connection is made again, and nothing is lost or repeated.

        Ends when the server says, by closing the answer, that there is no more.
        """
        headers = {"Accept": "text/event-stream"} | ({} if last_event_id is None else {"Last-Event-ID": last_event_id})
        given = {key: value for key, value in parameters.items() if value is not None}
        while True:
            try:
                async with self._http.stream("GET", path, params=given, headers=headers, timeout=_PATIENCE) as answer:
                    if not answer.is_success:
                        await answer.aread()
                        raise error_of(answer)
                    block: dict[str, str] = {}
                    async for line in answer.aiter_lines():
                        if line:
                            name, _, value = line.partition(": ")
                            block[name] = value
                            continue
                        # Only a whole block counts: the id of a broken one would skip its event.
                        headers["Last-Event-ID"] = block.get("id", headers.get("Last-Event-ID", ""))
                        if "data" in block:
                            yield block
                        block = {}
                    return
            except httpx.TransportError as error:
                if not headers.get("Last-Event-ID"):
                    raise self._silent(error) from error
                await self._send("GET", "/health")  # raises when it does not come back at once

    async def _plain(self, method: str, path: str, *, json: Any = None, **parameters: Any) -> Any:
        """The answer as plain JSON values."""
        return (await self._asked(method, path, json, parameters)).json()

    async def _mapping(
        self, method: str, path: str, *, json: Any = None, if_match: Seen | None = None, **parameters: Any
    ) -> Answer:
        """The members of the answer, and its ETag."""
        return mapping_of(await self._asked(method, path, json, parameters, if_match=if_match))

    async def _asked(
        self, method: str, path: str, json: Any, parameters: Mapping[str, Any], *, if_match: Seen | None = None
    ) -> httpx.Response:
        given = {key: value for key, value in parameters.items() if value is not None}
        body = {} if json is None else {"json": json}
        return await self._send(method, path, params=given, if_match=if_match, **body)

    async def _get(self, path: str, model: type[Model], **parameters: Any) -> Model:
        given = {key: value for key, value in parameters.items() if value is not None}
        return model_of(model, (await self._send("GET", path, params=given)))

    async def _send(
        self, method: str, path: str, *, expected: tuple[int, ...] = (), if_match: Seen | None = None, **request: Any
    ) -> httpx.Response:
        """The answer; of a list that comes in pages all of it, unless a page was asked for.

        `if_match` is what a change depends on; when it is not so any more, StaleError tells the present ETag.
        """
        if if_match is not None:
            request["headers"] = {**request.get("headers", {}), **condition(if_match)}
        answer = await self._sent(method, path, expected=expected, **request)
        asked = request.get("params") or {}
        if method != "GET" or "next" not in answer.links or "limit" in asked or "cursor" in asked:
            return answer
        found, page = answer.json(), answer
        while "next" in page.links:
            following = dict(asked, **httpx.URL(page.links["next"]["url"]).params)
            page = await self._sent(method, path, **{**request, "params": following})
            if isinstance(found, list):
                found += page.json()
                continue
            for name, items in page.json().items():
                if isinstance(items, list):
                    found[name] += items
                else:
                    found[name] = items
        return httpx.Response(answer.status_code, json=found, request=answer.request)

    async def _sent(self, method: str, path: str, *, expected: tuple[int, ...] = (), **request: Any) -> httpx.Response:
        headers = {correlation.HEADER: correlation.accept(correlation.current()), **request.pop("headers", {})}
        tries = _TRIES_OF_A_READ if method == "GET" else 1
        for remaining in reversed(range(tries)):
            try:
                answer = await self._http.request(method, path, headers=headers, **request)
            except httpx.TransportError as error:
                if remaining:
                    continue
                raise self._silent(error) from error
            if answer.is_success or answer.status_code in expected:
                return answer
            raise error_of(answer)
        raise AssertionError("unreachable")

    def _silent(self, error: httpx.TransportError) -> UnavailableError:
        return UnavailableError(
            f"The API at {self.url!r} does not answer ({reason(error)}). Start it with `aiw up`, or name "
            "another with AIW_API_URL.",
            dependency="api",
        )
