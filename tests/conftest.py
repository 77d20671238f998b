"""What every test can ask for, and how the suite runs. The fixtures live in `tests/fixtures/`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.wire"]

# A busy machine is slow, not wrong: no test fails for the time that an example took.
settings.register_profile("aiw", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("aiw")

_TOGETHER = (
    "tests/definitions/runtime/lean/",
    "tests/definitions/runtime/",
    "tests/definitions/test_code_location.py",
    "tests/e2e/",
    "tests/api/workflows/",
    "tests/api/gateway/",
    "tests/conformance/",
)
"""Folders whose tests share something too expensive to have twice, such as a whole platform: each stays on one worker, one after
another, and what they share ends with them (`scope="package"`).
"""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Spread tests over the workers one by one, but for those that belong together; these go first.

    The mark `xdist_group` is not used, as it has no effect with pytest 9.2 (pytest-xdist 3.8 changes a name that is no longer
    read).
    """
    from xdist.scheduler import LoadScopeScheduling

    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = lambda nodeid: next((name for name in _TOGETHER if nodeid.startswith(name)), nodeid)
    return scheduling
