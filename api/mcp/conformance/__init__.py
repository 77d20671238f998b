"""A server with what MCP's conformance suite asks for by name, on the same code as the platform's own servers."""
