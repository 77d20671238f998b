"""An API where everybody must log in, on the real services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from api.app import create_app
from tests.api.auth.people import People
from tests.api.harness import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from api.dependencies import Services
    from resources.settings import Settings


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
