"""Which step is next. Stock looks at every step that still waits whenever one ends, three times: quadratic in their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster._core.execution.plan.active import ActiveExecution

if TYPE_CHECKING:
    from dagster._core.execution.plan.state import KnownExecutionState


class LeanActiveExecution(ActiveExecution):
    """Looks only at the steps that wait for the one that ended. The decisions are stock's, made on fewer candidates."""

    _ended: set[str] | None = None  # None: look at all
    _waiting_for: dict[str, list[str]]
    _place: dict[str, int]
    _state: KnownExecutionState | None = None

    def _update(self) -> None:
        in_order = self._step_dependency_config.require_upstream_step_success
        if self._ended is None or self._waiting_to_retry or self._new_dynamic_mappings or not in_order:
            super()._update()
            self._waiting_for = {}
            self._place = {step_key: place for place, step_key in enumerate(self._pending)}
            for step_key, dependencies in self._pending.items():
                for dependency in dependencies:
                    self._waiting_for.setdefault(dependency, []).append(step_key)
            self._ended = set()
        elif self._ended:
            self._update_candidates({step for ended in self._ended for step in self._waiting_for.get(ended, ())})
            self._ended = set()

    def _update_candidates(self, step_keys: set[str]) -> None:
        everything = self._pending
        # In the order of the plan, so that steps that become ready together start as in stock.
        candidates = sorted(step_keys & everything.keys(), key=self._place.__getitem__)
        self._pending = {step_key: everything[step_key] for step_key in candidates}
        try:
            super()._update()
        finally:
            for step_key in candidates:
                if step_key not in self._pending:
                    del everything[step_key]
            self._pending = everything

    @property
    def has_steps_to_drop(self) -> bool:
        """Whether steps are to be skipped or abandoned."""
        self._update()
        return bool(self._pending_skip or self._pending_abandon)

    def get_known_state(self) -> KnownExecutionState:
        # Stock checks and copies all outputs so far, for each step anew.
        if self._state is None:
            self._state = super().get_known_state()
        return self._state._replace(
            previous_retry_attempts=self._retry_state.snapshot_attempts(),
            dynamic_mappings=dict(self._completed_dynamic_outputs),
            ready_outputs=self._step_outputs,
        )

    def _mark_complete(self, step_key: str) -> None:
        super()._mark_complete(step_key)
        if self._ended is not None:
            self._ended.add(step_key)

    def mark_up_for_retry(self, step_key: str, at_time: float | None = None) -> None:
        super().mark_up_for_retry(step_key, at_time)
        self._ended = None

    def free_slot(self, step_key: str) -> None:
        """Give back the step's slot in its pool, if it has one."""
        pools: Any = self._instance_concurrency_context
        if pools is not None:
            pools.free_step(step_key)
