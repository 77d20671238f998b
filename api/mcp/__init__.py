"""MCP: the platform as servers that agents speak to. A face beside HTTP, over the same services."""
