"""An API where everybody must log in, on the real services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from typer.testing import CliRunner

from api.app import create_app
from api.cli.app import app
from tests.api.auth.people import PASSWORD, People
from tests.api.harness import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastapi import FastAPI
    from typer.testing import Result

    from api.dependencies import Services
    from resources.settings import Settings

    Aiw = Callable[..., Result]


@pytest.fixture(scope="session")
def guarded_settings(api_settings: Settings) -> Settings:
    auth = api_settings.auth.model_copy(update={"mode": "required"})
    return api_settings.model_copy(update={"auth": auth})


@pytest.fixture(scope="session")
def guarded_app(services: Services, guarded_settings: Settings) -> FastAPI:
    return create_app(services, guarded_settings)


@pytest.fixture(scope="session")
def guarded_url(guarded_app: FastAPI) -> Iterator[str]:
    with serving(guarded_app) as url:
        yield url


@pytest.fixture
def guarded(guarded_url: str) -> Iterator[httpx.Client]:
    """Speaks to the guarded API, and shows nothing by itself."""
    with httpx.Client(base_url=guarded_url, trust_env=False, timeout=30.0) as client:
        yield client


@pytest.fixture
def people(services: Services, tenant: str) -> People:
    """Of the test's own tenant."""
    return People(services.identity, tenant)


@pytest.fixture
def strangers(services: Services, tenant: str) -> People:
    """Of another tenant."""
    return People(services.identity, f"{tenant}-other")


@pytest.fixture
def home(services: Services) -> People:
    """Of the platform's own tenant."""
    return People(services.identity, services.identity.home)


@pytest.fixture
def aiw(guarded_url: str, guarded_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aiw:
    """Calls the command line, with a configuration folder of its own, against the API where everybody must log in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")
    assert guarded_settings.database.url is not None
    monkeypatch.setenv("AIW_DATABASE__URL", guarded_settings.database.url.get_secret_value())

    def call(*arguments: str, stdin: str = "", token: str | None = None) -> Result:
        options = ["--api-url", guarded_url, *(["--token", token] if token else [])]
        return CliRunner().invoke(app, [*options, *arguments], input=stdin)

    return call


@pytest.fixture
def grace(aiw: Aiw, tenant: str) -> Aiw:
    """The first admin of a new tenant is logged in."""
    made = aiw("tenants", "create", tenant, "--admin", "grace", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert made.exit_code == 0, made.stderr
    entered = aiw("login", "grace", "--tenant", tenant, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert entered.exit_code == 0, entered.stderr
    return aiw
