"""The guarded API, as for authentication."""

from __future__ import annotations

from tests.api.auth.conftest import guarded, guarded_app, guarded_settings, guarded_url, home, people, strangers

__all__ = ["guarded", "guarded_app", "guarded_settings", "guarded_url", "home", "people", "strangers"]
