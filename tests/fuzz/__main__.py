"""Made-up and damaged documents against every parser and the analysers, for a bounded time.

    python -m tests.fuzz [--seconds 60] [--seed N] [--format csv]

Documents come from hypothesis (`strategies.py`). A parser may give a document that holds together, or an error of the platform:
anything else is a finding, is made as small as it can be, is written to `fuzz-FORMAT-N.bin`, and ends the run with 1. Formats
whose parsers can hang or crash are read in their killable process.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from resources.content.analysers import analyse
from resources.content.model import MediaType, ParsedDocument
from resources.content.parse import parse_document
from resources.content.parsers.base import ParseLimits
from resources.errors import PlatformError
from tests.fuzz.strategies import documents

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Check = Callable[[MediaType, bytes], str]

_LIMITS: Final = ParseLimits(timeout=10.0)
_SLOW: Final = 11.0
_BATCH: Final = 60


def check(kind: MediaType, content: bytes) -> str:
    """What became of it: `read` or a code. Raises AssertionError for a document that does not hold together."""
    begun = time.monotonic()
    try:
        parsed = parse_document(content, declared=kind, limits=_LIMITS)
    except PlatformError as error:
        assert time.monotonic() - begun < _SLOW + 30, "it took too long"
        return error.code
    _check_document(parsed)
    analysis = analyse(parsed)
    assert analysis == analyse(parsed), "the analysis is not the same again"
    ParsedDocument.model_validate_json(parsed.model_dump_json())
    return "read"


def _check_document(parsed: ParsedDocument) -> None:
    size = len(parsed.text)
    assert parsed.text.strip(), "the text is empty"
    assert "\x00" not in parsed.text, "a zero byte is left"
    parsed.text.encode()
    assert all(0 <= section.start <= section.end <= size for section in parsed.sections), "a section stands outside"
    assert all(0 <= start < end <= size for start, end in parsed.code), "code stands outside"
    assert all(parsed.text[cited.start : cited.end] for cited in parsed.citations), "a citation stands outside"
    assert sum(1 for _ in parsed.tree()) <= len(parsed.sections)


def batch(
    kind: MediaType, outcomes: Counter[tuple[str, str]], *, seed: int, count: int, check: Check = check
) -> tuple[bytes, Exception] | None:
    """So many documents of the format. The smallest that was found to break the rules, and how."""
    last = b""

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(documents(kind))
    def attempt(content: bytes) -> None:
        nonlocal last
        last = content
        outcomes[kind.name, check(kind, content)] += 1

    try:
        attempt()
    except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
        return last, error
    return None


def fuzz(*, seconds: float, seed: int, kinds: Sequence[MediaType], folder: Path) -> int:
    """The number of findings, of which there is a file each."""
    until = time.monotonic() + seconds
    outcomes: Counter[tuple[str, str]] = Counter()
    findings = 0
    for number, kind in enumerate(itertools.cycle(kinds)):
        if time.monotonic() >= until:
            break
        found = batch(kind, outcomes, seed=seed + number, count=_BATCH)
        if found is not None:
            findings += 1
            content, error = found
            path = folder / f"fuzz-{kind.name.lower()}-{findings}.bin"
            path.write_bytes(content)
            print(f"FINDING {path}: {type(error).__name__}: {str(error)[:200]}")
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name:<10} {outcome:<28} {count:>7,}")
    print(f"{outcomes.total():,} documents, seed {seed}: {findings} findings")
    return findings


def main() -> int:
    """Read the arguments and do it. 1 = there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damaged documents against the parsers.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same documents")
    parser.add_argument("--format", choices=[kind.name.lower() for kind in MediaType], help="only this one")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    kinds = [kind for kind in MediaType if arguments.format in {None, kind.name.lower()}]
    return 1 if fuzz(seconds=arguments.seconds, seed=seed, kinds=kinds, folder=Path.cwd()) else 0


if __name__ == "__main__":
    sys.exit(main())
