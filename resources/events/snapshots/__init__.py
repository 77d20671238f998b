"""Snapshots: the state of an aggregate at a version, so that loading need not begin at the first event."""
