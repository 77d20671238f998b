"""The version of the installed platform."""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("ai-workflow-engine")
