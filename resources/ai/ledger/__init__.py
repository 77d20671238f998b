"""Every call of a model or a tool: reserved before, settled after, one row and one event."""
