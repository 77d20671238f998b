"""Realtime: messages on topics, who is there, and where a message goes."""
