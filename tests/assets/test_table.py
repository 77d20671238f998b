"""The table of `assets/table.py` is complete: what a module of the package defines is loaded by the platform."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

import dagster as dg

import assets
from assets import table

if TYPE_CHECKING:
    from collections.abc import Iterator


def defined_in_modules() -> Iterator[tuple[str, object]]:
    for module in pkgutil.walk_packages(assets.__path__, prefix="assets."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, dg.AssetsDefinition | dg.AssetSpec | dg.AssetChecksDefinition):
                yield f"{module.name}.{name}", value


def test_every_asset_and_check_of_the_package_is_in_the_tables() -> None:
    listed = [*table.ASSETS, *table.CHECKS]
    forgotten = [name for name, value in defined_in_modules() if not any(value is known for known in listed)]
    assert forgotten == []


def test_the_tables_list_each_asset_once() -> None:
    keys = [
        spec.key for item in table.ASSETS for spec in (item.specs if isinstance(item, dg.AssetsDefinition) else [item])
    ]
    assert len(keys) == len(set(keys)) == 19


def test_every_check_is_of_an_asset_that_the_tables_list() -> None:
    keys = {
        spec.key for item in table.ASSETS for spec in (item.specs if isinstance(item, dg.AssetsDefinition) else [item])
    }
    checked = {key.asset_key for check in table.CHECKS for key in check.check_keys}
    assert checked <= keys
    documents = {key for item in table.DOCUMENT_ASSETS for key in item.keys}
    assert {key.to_user_string() for key in checked & documents} == {
        "content/parsed",
        "content/analysis",
        "content/embeddings",
    }


def test_documents_are_the_partitions_of_all_their_assets_and_of_nothing_else() -> None:
    divided = {
        key.to_user_string()
        for item in table.ASSETS
        if isinstance(item, dg.AssetsDefinition) and item.partitions_def is not None
        for key in item.keys
    }
    assert divided == {key.to_user_string() for item in table.DOCUMENT_ASSETS for key in item.keys} | {"usage/daily"}
