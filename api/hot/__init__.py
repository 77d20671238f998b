"""The routes that are asked most, ahead of the framework: the same services, the same checks, the same answers."""
