from __future__ import annotations

import json
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

from api.composition import build_administration
from resources.settings import Settings
from tests.api.auth.people import PASSWORD, People

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from typer.testing import Result

    from resources.tenants.administration import Administration

    Aiw = Callable[..., Result]


def test_the_first_admin_logs_in_and_out(grace: Aiw, tenant: str, tmp_path: Path) -> None:
    who = json.loads(grace("whoami", "--json").stdout)
    assert (who["username"], who["tenant"], who["role"]) == ("grace", tenant, "admin")
    assert "grace" in grace("whoami").stdout
    kept = tmp_path / "config" / "aiw" / "tokens.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert grace("logout").exit_code == 0
    again = grace("whoami")
    assert again.exit_code == 1
    assert "Log in first" in again.stderr
    assert "not logged in" in grace("logout").stderr


def test_an_expired_token_is_refreshed_by_itself(grace: Aiw, tmp_path: Path) -> None:
    kept = tmp_path / "config" / "aiw" / "tokens.json"
    stored = json.loads(kept.read_text())
    (url,) = stored
    old = stored[url]["refresh_token"]
    stored[url]["access_token"] = "expired"
    kept.write_text(json.dumps(stored))
    assert grace("whoami").exit_code == 0
    fresh = json.loads(kept.read_text())[url]
    assert fresh["refresh_token"] != old
    assert grace("events", "read").exit_code == 0


def test_a_wrong_password_is_told(aiw: Aiw, people: People) -> None:
    result = aiw("login", "nobody", "--tenant", people.tenant, "--password-stdin", stdin="wrong\n")
    assert result.exit_code == 1
    assert "wrong" in result.stderr
    assert aiw("login", "nobody", "--password-stdin", stdin="").exit_code == 1


def test_a_password_is_made_up_for_who_names_none(aiw: Aiw, tenant: str) -> None:
    made = json.loads(aiw("tenants", "create", tenant, "--admin", "grace", "--json").stdout)
    entered = aiw("login", "grace", "--tenant", tenant, "--password-stdin", stdin=f"{made['password']}\n")
    assert entered.exit_code == 0
    assert aiw("tenants", "create", tenant).exit_code == 1


def test_users_are_managed(grace: Aiw) -> None:
    assert grace("users", "create", "bob", "--role", "viewer", "--password-stdin", stdin=f"{PASSWORD}\n").exit_code == 0
    assert "operator" in grace("users", "change", "bob", "--role", "operator").stdout
    assert grace("users", "password", "bob", "--password-stdin", stdin="another good one\n").exit_code == 0
    listed = {user["username"]: user["role"] for user in json.loads(grace("users", "list", "--json").stdout)}
    assert listed == {"grace": "admin", "bob": "operator"}
    assert "bob" in grace("users", "list").stdout
    assert grace("users", "change", "nobody", "--role", "viewer").exit_code == 1


def test_keys_are_managed(grace: Aiw) -> None:
    made = json.loads(grace("keys", "create", "ci", "--scope", "read:events", "--json").stdout)
    assert grace("events", "read", token=made["key"]).exit_code == 0
    refused = grace("documents", "list", token=made["key"])
    assert "read:documents" in refused.stderr
    assert made["id"] in grace("keys", "list").stdout
    assert grace("keys", "revoke", made["id"]).exit_code == 0
    assert json.loads(grace("keys", "list", "--json").stdout)[0]["revoked_at"]
    assert grace("keys", "provider", "openai", stdin="sk-0123456789abcd\n").stdout.strip() == "openai: ...abcd"
    assert grace("keys", "provider", "openai", "--remove").exit_code == 0


def test_programs_without_a_terminal_are_told_what_to_do_instead(grace: Aiw, aiw: Aiw, tenant: str) -> None:
    asking = [("users", "create", "bob"), ("users", "password", "grace"), ("login", "grace"), ("login",)]
    for command in asking:
        refused = grace(*command)
        assert (refused.exit_code, "no terminal" in refused.stderr) == (1, True), command
    erased = grace("tenants", "erase", tenant)
    assert (erased.exit_code, "--yes" in erased.stderr) == (1, True)
    assert aiw("whoami", token="a\nb").exit_code == 1


def test_roles_are_chosen_before_a_password_is_asked_for(grace: Aiw) -> None:
    refused = grace("users", "create", "bob", "--role", "king")
    assert (refused.exit_code, "operator" in refused.stderr) == (2, True)
    assert grace("users", "change", "grace").exit_code == 2


def test_what_is_wrong_is_said_once(grace: Aiw) -> None:
    refused = grace("keys", "create", "ci", "--scope", "fly")
    assert (refused.exit_code, refused.stderr.count("'fly'")) == (1, 1)


def test_changes_are_told_to_machines(grace: Aiw) -> None:
    made = grace("users", "create", "bob", "--role", "viewer", "--json", "--password-stdin", stdin=f"{PASSWORD}\n")
    changed = grace("users", "change", "bob", "--status", "suspended", "--json")
    assert (json.loads(made.stdout)["role"], json.loads(changed.stdout)["status"]) == ("viewer", "suspended")
    key = json.loads(grace("keys", "create", "ci", "--json").stdout)
    assert json.loads(grace("keys", "revoke", key["id"], "--json").stdout)["revoked_at"]
    stored = grace("keys", "provider", "openai", "--json", stdin="sk-0123456789abcd\n")
    assert json.loads(stored.stdout)["hint"] == "...abcd"


def test_tenants_are_for_the_platforms_admins(grace: Aiw, home: People, tenant: str) -> None:
    assert grace("tenants", "list").exit_code == 1
    token = home.pair("admin").access_token
    assert tenant in {item["id"] for item in json.loads(grace("tenants", "list", "--json", token=token).stdout)}
    assert tenant in grace("tenants", "list", token=token).stdout
    assert "suspended" in grace("tenants", "suspend", tenant, token=token).stdout
    assert "active" in grace("tenants", "suspend", tenant, "--resume", token=token).stdout
    assert grace("keys", "rotate", token=token).exit_code == 0


def test_a_master_key_is_replaced(
    aiw: Aiw, empty_database_url: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIW_DATABASE__URL", empty_database_url)
    assert aiw("migrate").exit_code == 0
    assert aiw("tenants", "create", tenant).exit_code == 0
    present, fresh = (aiw("keys", "master").stdout.strip() for _ in range(2))

    def with_keys(key: str, former: str = "") -> Administration:
        monkeypatch.setenv("AIW_AUTH__MASTER_KEY", key)
        monkeypatch.setenv("AIW_AUTH__FORMER_MASTER_KEYS", former)
        administration, close = build_administration(Settings(_env_file=None), empty_database_url)
        closing.callback(close)
        return administration

    with ExitStack() as closing:
        with_keys(present).store_provider_key("openai", "sk-0123456789", tenant=tenant, actor=None)
        with_keys(fresh, present)
        assert aiw("keys", "rewrap").stdout.startswith("1 secrets")
        assert with_keys(fresh).provider_key("openai", tenant=tenant) == "sk-0123456789"
