"""A client of `/ws` for programs: follows topics through lost connections, and says messages once.

The connection is made again when it is lost, at the same address or behind it at another process, and goes on after the last
position of each log: nothing is lost or repeated.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from resources.errors import InvalidInputError, NotPermittedError, UnauthenticatedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager

    from websockets.sync.client import ClientConnection

_TRIES = 6
_PAUSE = 0.25
_ANSWER = 20.0
_SILENCE = 90.0  # a ping comes every half minute


class SocketClient:
    """Speaks to the API at `url`. `token` gives the credential of the moment; None = there is none."""

    def __init__(self, url: str, *, token: Callable[[], str | None] = lambda: None) -> None:
        self.url = url.rstrip("/").replace("http", "ws", 1) + "/ws"
        self._token = token

    def follow(
        self, topics: Sequence[str], *, after: dict[str, int] | None = None, last: bool = False
    ) -> Generator[dict[str, Any], None, None]:
        """Messages of the topics, as frames' data, for ever. `after`: positions of the logs `messages` and `events`.

        Raises UnauthenticatedError, NotPermittedError, InvalidInputError; UnavailableError when it does not come back.
        """
        positions = dict(after or {})
        tries = 0
        while True:
            try:
                with self._connect() as socket:
                    wanted: dict[str, Any] = {"topics": list(topics), "after": positions or None, "last": last}
                    socket.send(json.dumps({"type": "Subscribe", "data": wanted}))
                    while True:
                        frame = json.loads(socket.recv(_SILENCE))
                        tries = 0
                        data: dict[str, Any] = frame["data"]
                        if frame["type"] == "Ping":
                            socket.send(json.dumps({"type": "Pong", "data": data}))
                        elif frame["type"] == "Error":
                            raise InvalidInputError(data["message"], code=data["error"])
                        elif frame["type"] in {"Broadcast", "DirectMessage", "PresenceUpdate", "Notification"}:
                            last = False
                            if data.get("position") is not None and frame["type"] == "Broadcast":
                                positions[data["log"]] = data["position"]
                            yield {"type": frame["type"], **data}
            except (ConnectionClosed, InvalidHandshake, OSError) as error:
                tries += 1
                self._check(error, last_try=tries >= _TRIES)
                time.sleep(_PAUSE * 2**tries)

    def publish(self, topic: str, content: Any) -> int:
        """Say something on a topic; its position. Said once, however often the connection breaks."""
        message = {"topic": topic, "content": content, "message_id": str(uuid.uuid4())}
        for remaining in reversed(range(_TRIES)):
            try:
                with self._connect() as socket:
                    socket.send(json.dumps({"type": "TopicMessage", "data": message}))
                    while True:
                        frame = json.loads(socket.recv(_ANSWER))
                        if frame["type"] == "Ack":
                            return int(frame["data"]["position"])
                        if frame["type"] == "Error":
                            raise InvalidInputError(frame["data"]["message"], code=frame["data"]["error"])
            except (ConnectionClosed, InvalidHandshake, OSError) as error:
                self._check(error, last_try=not remaining)
                time.sleep(_PAUSE)
        raise AssertionError("unreachable")

    def _connect(self) -> AbstractContextManager[ClientConnection]:
        token = self._token()
        headers = None if token is None else {"Authorization": f"Bearer {token}"}
        return connect(self.url, additional_headers=headers, compression=None, proxy=None)

    def _check(self, error: Exception, *, last_try: bool) -> None:
        """Whether to try again. Raises what the server said when that would not help."""
        if isinstance(error, InvalidStatus):
            try:
                detail = str(json.loads(error.response.body or b"")["detail"])
            except (ValueError, KeyError):
                detail = f"{self.url} answered {error.response.status_code}."
            match error.response.status_code:
                case 401:
                    raise UnauthenticatedError(detail) from error
                case 403:
                    raise NotPermittedError(detail) from error
                case _:
                    pass
        if last_try:
            message = f"The API at {self.url!r} does not answer ({error or type(error).__name__})."
            raise UnavailableError(message, dependency="api") from error
