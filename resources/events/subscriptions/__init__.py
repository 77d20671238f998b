"""Subscriptions: named, durable, shared among workers; at least once, each stream in order."""
