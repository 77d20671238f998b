from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from api import running
from api.doctor import Finding, examine
from resources.settings import DatabaseSettings, GraphSettings, Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(settings)}


def test_this_machine_is_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIW_DATABASE__URL", "AIW_GRAPH__URL"):
        monkeypatch.delenv(name, raising=False)
    found = findings(Settings(data_dir=tmp_path))
    assert [finding for finding in found.values() if finding.status == "failed"] == []
    assert "384 dimensions" in found["embedding model"].detail


def test_brought_servers_are_asked_what_they_are(
    tmp_path: Path, empty_database_url: str, graph_settings: GraphSettings
) -> None:
    settings = Settings(
        data_dir=tmp_path, database=DatabaseSettings(url=SecretStr(empty_database_url)), graph=graph_settings
    )
    found = findings(settings)
    assert found["database"].status == "ok"
    assert "pgvector" in found["database"].detail
    assert found["graph"].status == "ok"
    password = empty_database_url.partition("postgres:")[2].partition("@")[0]
    assert password not in str(found)


def test_servers_out_of_reach_are_failures_with_advice(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        database=DatabaseSettings(url=SecretStr("postgresql://u:p@127.0.0.1:1/aiw")),
        graph=GraphSettings(url=SecretStr("bolt://127.0.0.1:1")),
    )
    found = findings(settings)
    assert [found["database"].status, found["graph"].status] == ["failed", "failed"]
    assert "AIW_DATABASE__URL" in found["database"].detail
    assert "AIW_GRAPH__URL" in str(found["graph"].fix)


def test_a_platform_that_was_killed_is_reported(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    dead = running.ProcessMark(pid=2**22 + 1, started=1.0)
    running.write_state(tmp_path, running.State(process=dead, data_dir=str(tmp_path)))
    assert findings(Settings(data_dir=tmp_path))["last run"].status == "warning"
