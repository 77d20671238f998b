"""Rules of routing."""
