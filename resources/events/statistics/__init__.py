"""How much the event store holds."""
