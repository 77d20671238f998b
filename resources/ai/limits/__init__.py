"""The provider's speed limits: work waits before it takes a slot, in fair turns."""
