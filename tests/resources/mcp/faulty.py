"""A server that misbehaves on demand, on nothing but the standard library: python faulty.py stdio | http

Over HTTP it writes its port to standard output. Each call of a tool is noted in the file that the argument `note` names.
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

READ_ONLY = {"readOnlyHint": True}
NUMBER = {"type": "object", "properties": {"result": {"type": "integer"}}, "required": ["result"]}
ANYTHING = {"type": "object"}
TOOLS: list[dict[str, Any]] = [
    {"name": "fine", "inputSchema": ANYTHING, "annotations": READ_ONLY},
    {"name": "slow", "inputSchema": ANYTHING, "annotations": READ_ONLY},
    {"name": "liar", "inputSchema": ANYTHING, "annotations": READ_ONLY, "outputSchema": NUMBER},
    {"name": "huge", "inputSchema": ANYTHING},
    {"name": "silent", "inputSchema": ANYTHING, "annotations": READ_ONLY},
    {"name": "twice", "inputSchema": ANYTHING, "annotations": READ_ONLY},
    {"name": "half", "inputSchema": ANYTHING},
    {"name": "half_again", "inputSchema": ANYTHING, "annotations": READ_ONLY},
    {"name": "garbage", "inputSchema": ANYTHING},
    {"name": "failing", "inputSchema": ANYTHING},
    {"name": "wants_name", "inputSchema": {"type": "object", "required": ["name"]}, "annotations": READ_ONLY},
    {"name": "secret", "inputSchema": ANYTHING},
    {"name": "asks", "inputSchema": ANYTHING},
]


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}], **more}


def called(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if "note" in arguments:
        with Path(arguments["note"]).open("a") as file:
            file.write(f"{name}\n")
    match name:
        case "slow":
            time.sleep(arguments.get("seconds", 30))
        case "silent":
            time.sleep(3600)
        case "liar":
            return text("three", structuredContent={"result": "three"})
        case "huge":
            return text("x" * 10_000_000)
        case "failing":
            return text("the shelf is empty", isError=True)
        case "asks":
            return text(asked(arguments))
        case "secret":
            return text(os.environ.get("FAULTY_SECRET", "none"))
    return text(f"{name} {os.getpid()}")


def asked(arguments: dict[str, Any]) -> str:
    """What the client says to a question of ours, over standard streams; what else it says meanwhile is not heard."""
    question = {
        "jsonrpc": "2.0",
        "id": "question",
        "method": arguments["method"],
        "params": arguments.get("params", {}),
    }
    sys.stdout.write(f"{json.dumps(question)}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        said = json.loads(line)
        if said.get("id") == "question":
            return json.dumps(said.get("result") or said["error"])
    return "the client is gone"


def answer(message: dict[str, Any]) -> dict[str, Any] | None:
    """The response to a request; None for a notification."""
    if "id" not in message:
        return None
    given = message.get("params") or {}
    match message["method"]:
        case "initialize":
            result: dict[str, Any] = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "faulty", "version": "1"},
            }
        case "tools/list":
            result = {"tools": TOOLS}
        case "tools/call":
            result = called(given["name"], given.get("arguments") or {})
        case "ping":
            result = {}
        case _:
            return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no such method"}}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def serve_stdio() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        said = json.dumps(answer(message))
        match (message.get("params") or {}).get("name"):
            case "half" | "half_again":
                sys.stdout.write(said[:20])
                sys.stdout.flush()
                os._exit(1)
            case "garbage":
                said = "{no json at all"
            case "twice":
                said = f"{said}\n{said}"
        if "id" in message:
            sys.stdout.write(f"{said}\n")
            sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # header and body in one packet

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        found = answer(message)
        body = b"" if found is None else json.dumps(found).encode()
        tool = (message.get("params") or {}).get("name")
        if tool == "garbage":
            body = b"{no json at all"
        kind = "application/json"
        if tool == "twice":
            kind, body = "text/event-stream", b"data: %b\n\n" % body * 2
        self.send_response(202 if found is None else 200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if tool in {"half", "half_again"}:
            self.wfile.write(body[:20])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.send_error(405)

    do_DELETE = do_GET  # noqa: N815  # what the base class calls

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        serve_stdio()
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(server.server_address[1], flush=True)  # noqa: T201  # for who started it
        server.serve_forever()
