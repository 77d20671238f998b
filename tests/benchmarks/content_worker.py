"""A process that reads and analyses pages of HTML, in turns with others: `content_worker PAGES NUMBER OF`."""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import orjson

from resources.content.analysers import analyse
from resources.content.model import MediaType
from resources.content.parsers import ParseLimits, read

_SMALL = 6_000
"""Bytes of what counts as a small page."""


def main() -> None:
    """Answer requests until standard input ends."""
    path, number, count = sys.argv[1:4]
    pages = [page.encode() for page in orjson.loads(Path(path).read_bytes())][int(number) :: int(count)]
    small = [page for page in pages if len(page) <= _SMALL]
    limits = ParseLimits()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "warm":
            print(json.dumps({"documents": _run(pages, limits, 0.0)[0]}), flush=True)
            gc.collect()
            gc.freeze()
            continue
        done, seconds = _run(small if request["do"] == "small" else pages, limits, request["seconds"])
        print(json.dumps({"documents": done, "seconds": seconds}), flush=True)


def _run(pages: list[bytes], limits: ParseLimits, seconds: float) -> tuple[int, float]:
    """As many pages as there is time for, all of them at least once."""
    begun = time.monotonic()
    done = 0
    while done < len(pages) or time.monotonic() - begun < seconds:
        analyse(read(MediaType.HTML, pages[done % len(pages)], limits=limits))
        done += 1
    return done, time.monotonic() - begun


if __name__ == "__main__":
    main()
