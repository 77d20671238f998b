"""Names in Dagster, where those of all jobs, ops and graphs of a code location share one space."""

import hashlib
from collections.abc import Sequence

from assets.partitions import DEFAULT_TENANT


def job_name(name: str, tenant: str | None) -> str:
    """The job of a tenant's workflow; no other tenant's has this name.

    Dagster's names have no hyphens, and a tenant's may have both: `a-b` becomes `a_b`, and `a_b` becomes `a_Ub`.
    """
    if tenant is None or tenant == DEFAULT_TENANT:
        return name
    return f"{tenant.replace('_', '_U').replace('-', '_')}__{name}"


def unique_name(path: Sequence[str]) -> str:
    """A name for the definition at this place, unlike that of any other in the code location."""
    return f"{path[0]}__{path[-1]}__{hashlib.sha256('/'.join(path).encode()).hexdigest()[:8]}"
