from __future__ import annotations

from typing import Any

import pytest

from api.auth.startup import check_auth
from resources.errors import InvalidInputError
from resources.settings import Settings
from resources.tenants.vault import new_master_key

GOOD = {"mode": "required", "master_key": new_master_key()}


def settings(auth: dict[str, Any], environment: str = "production") -> Settings:
    return Settings(_env_file=None, environment=environment, auth=auth)


@pytest.mark.parametrize(
    ("auth", "names"),
    [
        ({}, ["AIW_AUTH__MODE", "AIW_AUTH__MASTER_KEY"]),
        ({**GOOD, "mode": "local"}, ["AIW_AUTH__MODE"]),
        ({"mode": "required"}, ["AIW_AUTH__MASTER_KEY"]),
        ({**GOOD, "master_key": "weak"}, ["AIW_AUTH__MASTER_KEY"]),
        ({**GOOD, "algorithm": "HS256"}, ["AIW_AUTH__SECRET"]),
        ({**GOOD, "algorithm": "HS256", "secret": "changeme"}, ["AIW_AUTH__SECRET"]),
        ({**GOOD, "algorithm": "HS256", "secret": "x" * 64}, ["AIW_AUTH__SECRET"]),
        ({**GOOD, "oidc_issuer": "https://idp.example"}, ["AIW_AUTH__OIDC_CLIENT_ID"]),
        ({**GOOD, "oidc_issuer": "http://idp.example", "oidc_client_id": "x"}, ["AIW_AUTH__OIDC_ISSUER"]),
    ],
)
def test_production_does_not_start_on_weak_secrets(auth: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_auth(settings(auth))
    assert [problem.path for problem in caught.value.problems] == names
    assert "changeme" not in str(caught.value)


def test_a_laptop_starts_with_nothing_and_production_with_what_it_needs() -> None:
    check_auth(settings({}, "development"))
    check_auth(settings(GOOD))
    check_auth(settings({**GOOD, "algorithm": "HS256", "secret": new_master_key()}))


def test_who_must_log_in_needs_a_master_key_anywhere() -> None:
    with pytest.raises(InvalidInputError, match="AIW_AUTH__MASTER_KEY"):
        check_auth(settings({"mode": "required"}, "development"))
