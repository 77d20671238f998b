"""What docs/realtime.md shows, done as it stands there; and `aiw ws`."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from api.cli.app import app
from api.realtime.client import SocketClient
from resources.errors import InvalidInputError, NotPermittedError, UnauthenticatedError, UnavailableError
from resources.realtime.rules.model import Rule

if TYPE_CHECKING:
    from tests.api.realtime.harness import Sockets

PAGE = Path(__file__).parents[3] / "docs" / "realtime.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_commands_and_the_program_of_the_page_work(
    api_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    said = []
    (commands,) = blocks("bash")
    for line in commands.splitlines():
        done = CliRunner().invoke(app, ["--api-url", api_url, *shlex.split(line)[1:]])
        assert done.exit_code == 0, done.output
        said.append(done.stdout.strip())
    assert said[:2] == ["1", "2"]
    assert said[2].split(maxsplit=2) == ["2", "orders.created", '{"n": 2}']
    assert json.loads(said[3])["payload"] == {"n": 2}
    (program,) = blocks("python")
    exec(compile(program, str(PAGE), "exec"), {"url": api_url})


def test_the_rule_of_the_page_is_one() -> None:
    (text,) = blocks("json")
    assert Rule.model_validate_json(text).then.rate_limit is not None


def test_what_is_no_json_is_told(api_url: str) -> None:
    done = CliRunner().invoke(app, ["--api-url", api_url, "ws", "send", "a", "{nonsense"])
    assert done.exit_code == 1
    assert "is not JSON" in done.output


def test_the_client_tells_why_it_was_refused(served: Sockets) -> None:
    url = served.url.removesuffix("/ws").replace("ws", "http", 1)

    def client(token: str) -> SocketClient:
        return SocketClient(url, token=lambda: token)

    with pytest.raises(UnauthenticatedError, match="no such token"):
        next(client("wrong").follow(["a"]))
    with pytest.raises(NotPermittedError, match="read, subscribe"):
        client(f"{served.tenant}/deaf/deaf").publish("a", 1)
    with pytest.raises(InvalidInputError, match="not a topic or pattern"):
        next(client(f"{served.tenant}/anna/viewer").follow(["no topic"]))
    with pytest.raises(InvalidInputError, match="needs the scope"):
        client(f"{served.tenant}/anna/viewer").publish("a", 1)


def test_the_client_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.realtime.client._PAUSE", 0.001)
    with pytest.raises(UnavailableError):
        SocketClient("http://127.0.0.1:1").publish("a", 1)
    with pytest.raises(UnavailableError):
        next(SocketClient("http://127.0.0.1:1").follow(["a"]))
