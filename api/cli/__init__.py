"""The platform's command line, `aiw`."""

from api.cli.app import main

__all__ = ["main"]
