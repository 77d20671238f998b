"""Quantiles of a stream of durations in a few hundred bytes, as a JSON object.

Counts in buckets whose bounds grow by a tenth, so that a quantile is right within 5 % of its value (DDSketch: Masson, Rim and
Lee, VLDB 2019).
"""

from __future__ import annotations

import math
from typing import Any

_GROWTH = 1.1
_LOG = math.log(_GROWTH)


def add(sketch: dict[str, Any], value: float) -> None:
    """Count one value (≥ 0)."""
    sketch["count"] = sketch.get("count", 0) + 1
    sketch["sum"] = sketch.get("sum", 0) + value
    sketch["min"] = min(sketch.get("min", value), value)
    sketch["max"] = max(sketch.get("max", value), value)
    buckets = sketch.setdefault("buckets", {})
    bucket = str(math.ceil(math.log(value) / _LOG)) if value > 0 else "zero"
    buckets[bucket] = buckets.get(bucket, 0) + 1


def quantile(sketch: dict[str, Any], share: float) -> float | None:
    """The value that `share` of the values do not exceed; None when there are no values."""
    buckets = sketch.get("buckets")
    if not buckets:
        return None
    rank = share * (sketch["count"] - 1)
    seen = 0
    for bucket in sorted(buckets, key=lambda name: -math.inf if name == "zero" else int(name)):
        seen += buckets[bucket]
        if seen > rank:
            found = 0.0 if bucket == "zero" else 2 * _GROWTH ** int(bucket) / (1 + _GROWTH)
            return float(min(max(found, sketch["min"]), sketch["max"]))
    return float(sketch["max"])


def mean(sketch: dict[str, Any]) -> float | None:
    """The average; None when there are no values."""
    return sketch["sum"] / sketch["count"] if sketch.get("count") else None
