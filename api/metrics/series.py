"""Numbers by name and labels: what one process has counted, or several together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

Labels = tuple[str, ...]
"""Values of the labels that the family has, in its order."""

Values = dict[Labels, float]
Buckets = dict[Labels, list[float]]
"""Counts of the buckets, then the sum of what was observed."""


@dataclass(slots=True)
class Series:
    """Counters and histograms only ever grow; gauges are as they are at the moment."""

    counters: dict[str, Values] = field(default_factory=dict)
    histograms: dict[str, Buckets] = field(default_factory=dict)
    gauges: dict[str, Values] = field(default_factory=dict)

    def add(self, other: Series, *, gauges: bool = True) -> None:
        """Add up. Without `gauges` only what stays when a process has ended."""
        _add(self.counters, other.counters)
        if gauges:
            _add(self.gauges, other.gauges)
        for name, found in other.histograms.items():
            mine = self.histograms.setdefault(name, {})
            for labels, buckets in found.items():
                known = mine.get(labels)
                # Of another length are those of a release with other bounds: they cannot be added.
                mine[labels] = (
                    [ours + theirs for ours, theirs in zip(known, buckets, strict=True)]
                    if known is not None and len(known) == len(buckets)
                    else list(buckets)
                )

    def total(self, name: str, *chosen: str | None) -> float:
        """The sum of a counter or gauge, over the series with these values of its first labels (None = any)."""
        values = self.counters.get(name) or self.gauges.get(name) or {}
        return sum(
            value
            for labels, value in values.items()
            if all(wanted in {None, label} for wanted, label in zip(chosen, labels, strict=False))
        )


class _Written(msgspec.Struct):
    counters: dict[str, list[tuple[Labels, float]]]
    histograms: dict[str, list[tuple[Labels, list[float]]]]
    gauges: dict[str, list[tuple[Labels, float]]]
    merged: list[str]


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Written)


def encoded(series: Series, *, merged: list[str] | None = None) -> bytes:
    """As JSON. `merged` are names of files that are part of it."""
    counters, histograms, gauges = (
        {name: list(values.items()) for name, values in each.items()} for each in _kinds(series)
    )
    return _ENCODER.encode(_Written(counters, histograms, gauges, merged or []))


def decoded(text: bytes) -> tuple[Series, list[str]]:
    """What `encoded` has written. Raises msgspec.DecodeError."""
    found = _DECODER.decode(text)
    series = Series(*({name: dict(pairs) for name, pairs in each.items()} for each in _kinds(found)))
    return series, found.merged


def _kinds(found: Any) -> tuple[Any, Any, Any]:
    return found.counters, found.histograms, found.gauges


def labelled(numbers: Mapping[Any, float]) -> Values:
    """Numbers by one name, or by several, as values."""
    return {key if isinstance(key, tuple) else (key,): number for key, number in numbers.items()}


def _add(mine: dict[str, Values], theirs: Mapping[str, Values]) -> None:
    for name, found in theirs.items():
        values = mine.setdefault(name, {})
        for labels, value in found.items():
            values[labels] = values.get(labels, 0) + value
