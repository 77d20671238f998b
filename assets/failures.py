"""Our errors as Dagster knows failures: the reason on the run's page, and a retry only where it can help."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from resources.errors import InvalidInputError, PlatformError

RETRY_POLICY = dg.RetryPolicy(max_retries=3, delay=1.0, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For steps that talk to servers: 1, 2 and 4 seconds, give or take."""


def as_failure(error: PlatformError, told: Mapping[str, dg.MetadataValue] | None = None) -> dg.Failure:
    """The error as a `dg.Failure` whose metadata holds the code, the details and every problem, and what else is `told`."""
    metadata: dict[str, dg.MetadataValue] = {
        "code": dg.MetadataValue.text(error.code),
        "retryable": dg.MetadataValue.bool(error.retryable),
    }
    metadata |= {name: dg.MetadataValue.text(str(value)) for name, value in error.details.items()}
    if isinstance(error, InvalidInputError) and error.problems:
        metadata["problems"] = dg.MetadataValue.md("\n".join(f"- {problem}" for problem in error.problems))
    return dg.Failure(description=error.message, metadata={**metadata, **(told or {})}, allow_retries=error.retryable)


@contextmanager
def failures() -> Iterator[None]:
    """Run the block; an error of ours leaves it as a `dg.Failure`."""
    try:
        yield
    except PlatformError as error:
        raise as_failure(error) from error
