"""A server that answers chat completions as fast as it can: the same words, streamed or whole. It prints its port."""

from __future__ import annotations

import asyncio
import json
import sys

WORDS = [f"word{number} " for number in range(20)]
USAGE = {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40}
_BASE: dict[str, object] = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini"}


def _stream() -> bytes:
    pieces: list[dict[str, object]] = [
        {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None} for word in WORDS
    ]
    pieces.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks: list[dict[str, object]] = [
        _BASE | {"object": "chat.completion.chunk", "choices": [piece]} for piece in pieces
    ]
    chunks.append(_BASE | {"object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return _response("text/event-stream", body.encode())


def _whole() -> bytes:
    message = {"role": "assistant", "content": "".join(WORDS)}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = json.dumps(_BASE | {"object": "chat.completion", "choices": choices, "usage": USAGE})
    return _response("application/json", body.encode())


def _response(media_type: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


class Answering(asyncio.Protocol):
    """One connection; requests come one after the other."""

    streamed, whole = _stream(), _whole()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(self.streamed if json.loads(body).get("stream") else self.whole)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
