"""Autobahn's cases on framing, fragments, pings, reserved bits, opcodes, UTF-8 and closing, against the server of `/ws`."""

from __future__ import annotations

from tests.api.harness import serving
from tests.conformance.autobahn import LEFT_OUT, bad, echo, verdicts

LIMITS = "9.*"
"""Megabytes at once: `make autobahn` says them, too."""


def test_every_case_is_answered_as_the_standard_demands() -> None:
    with serving(echo) as url:
        judged = verdicts(url.replace("http", "ws", 1), left_out=(*LEFT_OUT, LIMITS))
    assert len(judged) > 240
    assert bad(judged) == {}
