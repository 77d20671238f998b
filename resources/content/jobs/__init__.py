"""Analyses as jobs: asked for, followed, cancelled; the work itself is a run."""
