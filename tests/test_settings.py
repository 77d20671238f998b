from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from resources.settings import EgressSettings, Settings

ROOT = Path(__file__).parent.parent


def variables(model: type[BaseModel], prefix: str = "AIW_") -> set[str]:
    names: set[str] = set()
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= variables(field.annotation, f"{prefix}{name.upper()}__")
        else:
            names.add(f"{prefix}{name.upper()}")
    return names


def test_the_example_file_lists_every_setting_and_no_other() -> None:
    listed = set(re.findall(r"^#?\s?(AIW_[A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert listed == variables(Settings)


def test_every_setting_is_described() -> None:
    def silent(model: type[BaseModel]) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                found += silent(field.annotation)
            elif not field.description:
                found.append(f"{model.__name__}.{name}")
        return found

    assert silent(Settings) == []


def test_nested_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIW_DATABASE__URL", "postgresql://u:canary@localhost/db")
    assert Settings(_env_file=None).database.url == SecretStr("postgresql://u:canary@localhost/db")


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIW_DATABASE__URL", "postgresql://u:canary@localhost/db")
    assert "canary" not in repr(Settings(_env_file=None))


def test_allowed_networks_are_networks() -> None:
    assert EgressSettings(allowed="10.0.0.0/8, 192.168.1.0/24").networks == ("10.0.0.0/8", "192.168.1.0/24")
    assert EgressSettings().networks == ()
    with pytest.raises(ValidationError):
        EgressSettings(allowed="everything")
