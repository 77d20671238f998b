"""Replays: deliver stored events once more, to one target or to several."""
