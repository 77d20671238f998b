"""What every test can ask for, and how the suite runs. The fixtures live in `tests/fixtures/`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.fixtures.servers"]

# A busy machine is slow, not wrong: no test fails for the time that an example took.
settings.register_profile("aiw", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("aiw")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Several workers keep groups together: tests that share one expensive thing, such as a whole platform, share a worker."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "loadgroup"
