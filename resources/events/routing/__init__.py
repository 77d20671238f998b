"""Routing: which event starts a workflow, goes to a subscription, or is published to a realtime topic."""
