"""Launches that were begun and not finished, as the process that began them has died, are finished here."""

from collections.abc import Callable

import dagster as dg


def build_unfinished_launches_sensor(*, finish: Callable[[], int]) -> dg.SensorDefinition:
    """The sensor that calls `finish`, which tells how many runs it has started, every few seconds, from the start."""

    @dg.sensor(
        name="unfinished_launches",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        description="Starts the runs of launches that were claimed by processes that died before they could start them.",
    )
    def sensor() -> dg.SkipReason:
        return dg.SkipReason(f"Finished {finish()} launches.")

    return sensor
