"""The resources of a run, as steps see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster._core.definitions.scoped_resources_builder import ScopedResourcesBuilder

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from dagster._core.definitions.scoped_resources_builder import Resources


class KeptResources(ScopedResourcesBuilder):
    """Stock makes a new class for each step, and for each of its contexts; steps that need the same can share it."""

    def build(self, required_resource_keys: AbstractSet[str] | None) -> Resources:
        keys = frozenset(required_resource_keys or ())
        kept: dict[frozenset[str], Resources] = self.__dict__.setdefault("kept", {})
        if keys not in kept:
            kept[keys] = super().build(set(keys))
        return kept[keys]
