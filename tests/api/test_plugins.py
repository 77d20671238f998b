"""Plugins over HTTP and at the shell."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from api.cli.app import app
from tests.fixtures.modules import FOLDER, SHOUT, SPIN, TERMS, module

if TYPE_CHECKING:
    import httpx
    from typer.testing import Result

PATH = "/api/v1/plugins"


def body(code: bytes, **fields: Any) -> dict[str, Any]:
    return {"module_base64": base64.b64encode(code).decode(), **fields}


def test_a_plugin_is_installed_run_configured_and_removed(http: httpx.Client) -> None:
    installed = http.post(PATH, json=body(TERMS, grants=["log"], config={"terms": ["tea"]}))
    assert installed.status_code == 201
    assert installed.json()["enabled"] is False
    assert http.post(f"{PATH}/terms/run", json={"content": "tea"}).json()["code"] == "plugin_disabled"
    assert http.patch(f"{PATH}/terms", json={"enabled": True}).json()["enabled"] is True
    assert http.put(f"{PATH}/terms/config", json={"terms": ["leaf"]}).json()["config"] == {"terms": ["leaf"]}
    done = http.post(f"{PATH}/terms/run", json={"content": "a leaf"}).json()
    assert done["extracted_data"] == {"terms": {"leaf": 1}}
    assert [line["level"] for line in done["logs"]] == ["info"]
    (run,) = http.get(f"{PATH}/terms/runs").json()["runs"]
    assert (run["outcome"], run["cached"]) == ("ok", False)
    assert http.delete(f"{PATH}/terms").status_code == 204
    assert http.get(f"{PATH}/terms").status_code == 404


def test_the_same_name_again_replaces_it(http: httpx.Client) -> None:
    assert [http.post(PATH, json=body(SHOUT)).status_code for _ in range(2)] == [201, 200]
    assert len(http.get(PATH).json()["plugins"]) == 1


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"module_base64": "§"}, 400, "plugin_invalid"),
        (body(b"text"), 400, "plugin_invalid"),
        (body(TERMS, config={"terms": ["tea"]}), 403, "plugin_import_refused"),
        (body(TERMS, grants=["log"]), 400, "plugin_config_invalid"),
        (body(module(metadata="unreachable")), 502, "plugin_trapped"),
        (body(SHOUT, grants=["network"]), 422, "validation_failed"),
    ],
    ids=["no base64", "no module", "no grant", "no configuration", "trap", "unknown grant"],
)
def test_what_cannot_be_installed_is_told_why(
    http: httpx.Client, given: dict[str, Any], status: int, code: str
) -> None:
    answer = http.post(PATH, json=given)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_plugin_that_spins_is_ended(http: httpx.Client) -> None:
    http.post(PATH, json=body(module(SPIN), limits={"fuel": 1_000_000}))
    http.patch(f"{PATH}/test", json={"enabled": True})
    answer = http.post(f"{PATH}/test/run", json={"content": "a"})
    assert (answer.status_code, answer.json()["code"]) == (502, "plugin_out_of_fuel")


def test_the_shell_installs_runs_and_removes(api_url: str) -> None:
    def aiw(*arguments: str, given: str | None = None) -> Result:
        done = CliRunner().invoke(app, ["--api-url", api_url, "plugins", *arguments], input=given)
        assert done.exit_code == 0, done.output
        return done

    aiw("install", str(FOLDER / "shout.wasm"), "--enable")
    assert json.loads(aiw("list", "--json").stdout)[0]["name"] == "shout"
    assert "QUIET" in aiw("run", "shout", given="quiet").stdout
    assert "1.0.0" in aiw("show", "shout").stdout
    aiw("disable", "shout")
    aiw("enable", "shout")
    aiw("configure", "shout", "{}")
    aiw("remove", "shout")
    assert json.loads(aiw("list", "--json").stdout) == []
