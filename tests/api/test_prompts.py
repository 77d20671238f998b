from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from api.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

GREETING = {"id": "greeting", "content": "Hello {{who}}!", "variables": {"who": "string"}}


def publish(http: httpx.Client, prompt: dict[str, Any], **fields: Any) -> httpx.Response:
    return http.post("/api/v1/prompts", json={"prompt": prompt, **fields})


def test_a_prompt_is_published_labelled_and_rendered(http: httpx.Client) -> None:
    first = publish(http, GREETING, labels=["production"])
    assert first.status_code == 201
    assert publish(http, GREETING).status_code == 200
    second = publish(http, GREETING | {"content": "Hi {{who}}!"}, comment="shorter")
    assert second.json()["reference"] == "greeting@2"
    who = {"variables": {"who": "you"}}
    rendered = http.post("/api/v1/prompts/greeting/render", json=who).json()
    assert (rendered["text"], rendered["prompt_version"]) == ("Hello you!", "greeting@1")
    moved = http.put("/api/v1/prompts/greeting/labels/production", json={"version": 2})
    assert moved.json()["labels"] == ["production"]
    assert http.post("/api/v1/prompts/greeting/render", json=who).json()["text"] == "Hi you!"
    assert [one["reference"] for one in http.get("/api/v1/prompts/greeting/versions").json()] == [
        "greeting@1",
        "greeting@2",
    ]


def test_everything_that_is_wrong_comes_at_once(http: httpx.Client) -> None:
    answer = publish(http, GREETING | {"content": "<script>", "system": "{{whom}}"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "prompt_invalid"
    assert len(answer.json()["errors"]) >= 2


def test_a_preview_stores_nothing(http: httpx.Client) -> None:
    body = {"prompt": GREETING, "variables": {"who": "you"}}
    assert http.post("/api/v1/prompts/preview", json=body).json()["text"] == "Hello you!"
    assert http.get("/api/v1/prompts/greeting").status_code == 404


def test_the_platform_brings_prompts(http: httpx.Client) -> None:
    found = http.get("/api/v1/prompts", params={"context": "agent"}).json()
    assert {"agent_research", "agent_support"} <= {one["prompt"]["spec"]["id"] for one in found}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "nothing", None, 404),
        ("GET", "greeting?which=9", None, 404),
        ("GET", "Not An Id", None, 422),
        ("PUT", "greeting/labels/latest", {"version": 1}, 400),
        ("PUT", "greeting/labels/production", {"version": 7}, 404),
        ("POST", "greeting/render", {"variables": {"whom": 1}}, 400),
    ],
)
def test_what_cannot_be_done(http: httpx.Client, method: str, path: str, body: Any, status: int) -> None:
    publish(http, GREETING)
    answer = http.request(method, f"/api/v1/prompts/{path}", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_prompts_at_the_shell(api_url: str, tmp_path: Path) -> None:
    def aiw(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["--api-url", api_url, "prompts", *arguments])
        assert result.exit_code == code, result.output
        return result.stdout

    file = tmp_path / "greeting.yaml"
    file.write_text(
        "id: greeting\ncontent: Hello {{who}}!\nvariables: {who: string}\n"
        "examples: [{variables: {who: you}, text: Hello you!}]\n"
    )
    assert "greeting@1" in aiw("publish", str(file), "--label", "production")
    file.write_text(file.read_text().replace("content: Hello", "content: Hi"))
    assert "greeting@2" in aiw("publish", str(file), "--comment", "shorter")
    assert aiw("render", "greeting", "--var", "who=you").strip() == "Hello you!"
    assert json.loads(aiw("render", "greeting@2", "-v", "who=you", "--json"))["text"] == "Hi you!"
    assert "+Hi {{who}}!" in aiw("diff", "greeting@1")
    assert "production" in aiw("label", "greeting@2", "production")
    assert "Hi {{who}}!" in aiw("show", "greeting")
    assert "greeting" in aiw("list")
    assert "1 of 1" in aiw("test", "greeting@1")
    assert "+Hi you!" in aiw("test", "greeting@2", code=1)
