"""Evaluations: is what a model wrote what it should be."""
