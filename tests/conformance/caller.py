"""What the suite starts as a client: python -S caller.py PORT URL. See `client.py`; on the standard library alone, to be fast."""

import json
import os
import socket
import sys

told = b""
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
    given = {name: value for name, value in os.environ.items() if name.startswith("MCP_CONFORMANCE_")}
    server.sendall(f"{json.dumps([sys.argv[-1], given])}\n".encode())
    while more := server.recv(65_536):
        told += more
sys.exit(told.decode() or None)
