"""The authorization server: how clients of MCP that have only an address log somebody in."""
