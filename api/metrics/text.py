"""The numbers as Prometheus reads them, by its own library: as OpenMetrics for whoever asks for that."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from api.metrics.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from api.metrics.series import Series


def written(series: Series, accept: str) -> tuple[bytes, str]:
    """The text, and its media type."""
    encode, media_type = choose_encoder(accept)
    return encode(_Once(series)), media_type


class _Once(Collector):
    def __init__(self, series: Series) -> None:
        self._series = series

    def collect(self) -> Iterator[Metric]:
        series = self._series
        for family in FAMILIES:
            if family.kind == "histogram":
                histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
                for labels, buckets in sorted(series.histograms.get(family.name, {}).items()):
                    histogram.add_metric(labels, _cumulated(buckets, family.bounds), buckets[-1])
                if histogram.samples:
                    yield histogram
                continue
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            metric = kind(family.name, family.help, labels=family.labels)
            values = (series.counters if family.kind == "counter" else series.gauges).get(family.name, {})
            for labels, value in sorted(values.items()):
                metric.add_metric(labels, value)
            if metric.samples:
                yield metric


def _cumulated(buckets: Sequence[float], bounds: Sequence[float]) -> list[tuple[str, float]]:
    names = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    return list(zip(names, accumulate(buckets[:-1]), strict=True))
