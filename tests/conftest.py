"""What every test can ask for. The fixtures live in `tests/fixtures/`."""

from __future__ import annotations

pytest_plugins = ["tests.fixtures.servers"]
