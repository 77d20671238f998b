"""Prompts that come with the platform: one YAML file each, with the renders that are known."""

from __future__ import annotations

from importlib.resources import files

import yaml

from resources.prompts.model import PromptSpec


def bundled_prompts() -> list[PromptSpec]:
    """All of them, by file name."""
    folder = files(__package__)
    sources = sorted((item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)
    return [PromptSpec.model_validate(yaml.safe_load(source.read_text(encoding="utf-8"))) for source in sources]
