"""The code location, loaded once a process and kept.

Dagster's `ReconstructableJob` remembers one definition a process (`lru_cache(maxsize=1)`): with two jobs, or two selections
of one, it loads and resolves the whole repository again for each run. Here every repository is loaded once, and the last
few hundred jobs and selections are kept.
"""

from __future__ import annotations

import inspect
from functools import lru_cache

from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.workspace.autodiscovery import loadable_targets_from_python_module

KEPT_REPOSITORIES = 8
KEPT_DEFINITIONS = 256


def keep_definitions() -> None:
    """Replace Dagster's memory of one definition in this process. Calling it again starts with an empty memory."""
    load = lru_cache(maxsize=KEPT_REPOSITORIES)(ReconstructableRepository.get_definition)
    resolve = lru_cache(maxsize=KEPT_DEFINITIONS)(inspect.unwrap(ReconstructableJob.get_definition))
    ReconstructableJob.get_repository_definition = lambda self: load(self.repository)  # type: ignore[method-assign,assignment]
    ReconstructableJob.get_definition = resolve  # type: ignore[method-assign]


class CodeLocation:
    """The jobs of one module, as `workspace.yaml` names it. Loading raises whatever the module raises."""

    def __init__(self, module: str, *, working_directory: str) -> None:
        keep_definitions()
        (target,) = loadable_targets_from_python_module(module, working_directory)
        pointer = ModuleCodePointer(module, target.attribute, working_directory)
        self._repository = ReconstructableRepository(pointer)
        self.jobs = sorted(job.name for job in self._repository.get_definition().get_all_jobs())

    def job(self, name: str) -> ReconstructableJob:
        """A job by name; asking it for its definition fails when there is none."""
        return self._repository.get_reconstructable_job(name)
