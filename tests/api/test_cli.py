from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from api.cli.app import app
from api.version import VERSION
from resources.content.model import DocumentStatus
from resources.database.migrations import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typer.testing import Result

    from api.dependencies import Services

    Aiw = Callable[..., Result]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No platform runs where the commands are called, and nothing is configured."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("AIW_API_URL", "AIW_TOKEN", "AIW_DATABASE__URL", "AIW_GRAPH__URL", "AIW_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def aiw(api_url: str) -> Aiw:
    """Calls the command line, against the live API."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--api-url", api_url, *arguments])

    return call


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


ALL_COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(
    "command", [command for _, command in ALL_COMMANDS], ids=[" ".join(path) or "aiw" for path, _ in ALL_COMMANDS]
)
def test_every_command_and_option_says_what_it_does(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"], standalone_mode=False) == 0
    assert "Usage" in capsys.readouterr().out
    assert command.help
    silent = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert silent == []


@pytest.mark.parametrize(
    "name",
    ["up", "status", "stop", "doctor", "migrate", "ingest", "search", "path", "documents", "events", "runs", "health"],
)
def test_the_help_is_complete(name: str) -> None:
    assert name in CliRunner().invoke(app, ["--help"]).stdout


def test_the_version_is_that_of_the_distribution() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"aiw {VERSION}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["search"], ["search", "x", "--limit", "0"], ["ingest"]])
def test_a_wrong_call_ends_with_two(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["search", "x"], ["health"], ["events", "read"], ["documents", "list"]])
def test_without_a_platform_the_caller_is_told_what_to_do(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "aiw up" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_api_that_does_not_answer_is_named() -> None:
    result = CliRunner().invoke(app, ["--api-url", "http://127.0.0.1:9", "health"])
    assert result.exit_code == 1
    assert "'http://127.0.0.1:9' does not answer" in result.stderr


def test_wrong_settings_are_named_by_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIW_API__PORT", "many")
    result = CliRunner().invoke(app, ["search", "x"])
    assert result.exit_code == 1
    assert "AIW_API__PORT" in result.stderr


def test_migrate_is_safe_to_repeat(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIW_DATABASE__URL", empty_database_url)
    first, second = (CliRunner().invoke(app, ["migrate", "--json"]) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert [item["version"] for item in json.loads(first.stdout)["applied"]] == [item.version for item in load()]
    assert json.loads(second.stdout) == {"applied": []}


def test_migrate_without_a_database_says_what_to_do() -> None:
    result = CliRunner().invoke(app, ["migrate"])
    assert result.exit_code == 1
    assert "AIW_DATABASE__URL" in result.stderr


def test_events_are_appended_and_read(aiw: Aiw) -> None:
    data = '{"run_id": "r1", "job": "documents"}'
    stored = aiw("events", "append", "run.started", data, "--stream", "run/r1", "--json")
    assert stored.exit_code == 0
    assert json.loads(stored.stdout)["stream"] == "run/r1"
    assert "run/r1" in aiw("events", "read").stdout
    assert json.loads(aiw("events", "read", "--type", "run.failed", "--json").stdout)["events"] == []


def test_events_are_followed_line_by_line(aiw: Aiw) -> None:
    for number in range(3):
        aiw("events", "append", "run.started", json.dumps({"run_id": f"r{number}", "job": "documents"}))
    tail = aiw("events", "tail", "--after", "0", "--count", "2")
    assert [json.loads(line)["data"]["run_id"] for line in tail.stdout.splitlines()] == ["r0", "r1"]


def test_what_the_api_refuses_is_told_with_every_problem(aiw: Aiw) -> None:
    result = aiw("events", "append", "run.started", "{}")
    assert result.exit_code == 1
    assert "body.data.run_id" in result.stderr
    assert "body.data.job" in result.stderr


@pytest.mark.parametrize("data", ["[1]", "{"])
def test_data_that_is_no_json_object_is_refused_before_it_is_sent(aiw: Aiw, data: str) -> None:
    result = aiw("events", "append", "run.started", data)
    assert result.exit_code == 1
    assert "JSON" in result.stderr


@pytest.mark.usefixtures("taught")
def test_search_shows_the_best_passage_first(aiw: Aiw) -> None:
    result = aiw("search", "how do I prepare a hot drink?", "--limit", "2")
    assert result.exit_code == 0
    assert "Boil fresh water" in result.stdout.splitlines()[1]
    found = json.loads(aiw("search", "how do I prepare a hot drink?", "--json").stdout)
    assert found["hits"][0]["text"].startswith("Boil fresh water")


@pytest.mark.usefixtures("taught")
def test_path_shows_the_steps_in_order(aiw: Aiw) -> None:
    lines = aiw("path", "tea").stdout.splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["Fire", "Water", "Tea"]
    assert [
        step["concept"]["id"] for step in json.loads(aiw("path", "tea", "--from", "water", "--json").stdout)["steps"]
    ] == ["tea"]


@pytest.mark.usefixtures("taught")
def test_a_path_is_kept_listed_shown_and_removed(aiw: Aiw) -> None:
    kept = json.loads(aiw("path", "tea", "--keep", "Drinks", "--optional", "1", "--json").stdout)
    assert "Drinks" in aiw("paths", "list").stdout
    assert json.loads(aiw("paths", "list", "--over", "coffee", "--json").stdout) == []
    shown = aiw("paths", "show", kept["id"]).stdout.splitlines()
    assert [line.split()[1] for line in shown[1:4]] == ["fire", "water", "tea"]
    assert json.loads(aiw("paths", "show", kept["id"], "--json").stdout) == kept
    assert aiw("paths", "remove", kept["id"]).exit_code == 0
    gone = aiw("paths", "show", kept["id"])
    assert (gone.exit_code, kept["id"] in gone.stderr) == (1, True)


@pytest.mark.usefixtures("taught")
def test_a_document_is_removed_with_what_it_alone_supports(aiw: Aiw) -> None:
    (document,) = json.loads(aiw("documents", "list", "--json").stdout)["documents"]
    assert aiw("documents", "remove", document["id"]).exit_code == 0
    assert json.loads(aiw("graph", "show", "--json").stdout)["concepts"] == 0
    assert json.loads(aiw("search", "a hot drink", "--json").stdout)["hits"] == []
    again = aiw("documents", "remove", document["id"])
    assert (again.exit_code, document["id"] in again.stderr) == (1, True)


@pytest.mark.usefixtures("taught")
def test_a_concept_is_stated_edited_and_taken_back(aiw: Aiw) -> None:
    aiw("graph", "add", "Tea ceremony", "--requires", "Tea", "--related", "Water", "--minutes", "90")
    edited = aiw("graph", "edit", "tea ceremony", "--requires", "Fire", "--category", "rites", "--json")
    assert json.loads(edited.stdout)[0]["statement"] == {
        "name": "Tea ceremony",
        "description": None,
        "difficulty": None,
        "category": "rites",
        "subcategory": None,
        "tags": [],
        "quality": None,
        "minutes": 90,
        "relations": [
            {"target": "Water", "type": "RELATED_TO", "weight": 1.0},
            {"target": "Fire", "type": "REQUIRES", "weight": 1.0},
        ],
    }
    assert json.loads(aiw("paths", "next", "--limit", "1", "--json").stdout)[0]["concept"]["id"] == "fire"
    assert aiw("graph", "remove", "Tea ceremony").exit_code == 0
    assert json.loads(aiw("graph", "stated", "--json").stdout) == []


@pytest.mark.usefixtures("taught")
def test_what_to_read_on_a_concept_and_who_learns_it_is_told(aiw: Aiw) -> None:
    assert "upload:notes.md" in aiw("graph", "resources", "Tea").stdout
    assert json.loads(aiw("graph", "resources", "Tea", "--json").stdout)[0]["title"] == "Notes"
    aiw("progress", "Tea", "--status", "mastered")
    assert json.loads(aiw("graph", "learners", "Tea", "--json").stdout) == {"mastered": 1}
    assert "mastered" in aiw("graph", "learners", "Tea").stdout


@pytest.mark.usefixtures("patient_checks")
def test_health_shows_every_part(aiw: Aiw) -> None:
    result = aiw("health")
    assert result.exit_code == 0
    assert all(part in result.stdout for part in ("database", "graph", "embedder", "dagster"))
    assert json.loads(aiw("health", "--json").stdout)["status"] == "healthy"


def test_an_unknown_run_is_told(aiw: Aiw) -> None:
    result = aiw("runs", "show", "no-such-run")
    assert result.exit_code == 1
    assert "no-such-run" in result.stderr


def ingested(result: Result) -> dict[str, dict[str, Any]]:
    """Outcomes by file name."""
    return {item["item"].rpartition("/")[2]: item for item in json.loads(result.stdout)["documents"]}


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_ingest_takes_folders_and_reports_each_document(aiw: Aiw, tmp_path: Path) -> None:
    write(tmp_path / "docs", a__md="# A\n\nText.", empty__md="", b__rst="B\n=\n\nText.", code__py="x = 1")
    write(tmp_path / "docs" / "deep", c__txt="Some more text.")
    write(tmp_path / "docs" / ".hidden", d__md="# D")
    write(tmp_path / "docs" / "node_modules", e__md="# E")
    result = aiw("ingest", "docs", "--no-wait", "--tag", "mine", "--json")
    outcomes = ingested(result)
    assert {name: item["outcome"] for name, item in outcomes.items()} == {
        "a.md": "received",
        "b.rst": "received",
        "c.txt": "received",
        "empty.md": "rejected",
    }
    assert outcomes["empty.md"]["code"] == "document_empty"
    assert result.exit_code == 1
    shown = json.loads(aiw("documents", "show", outcomes["a.md"]["document_id"], "--json").stdout)
    assert shown["source"]["tags"] == ["mine"]
    assert shown["source"]["uri"] == (tmp_path / "docs" / "a.md").as_uri()


def test_ingest_again_changes_nothing_and_tells_twins(aiw: Aiw, tmp_path: Path) -> None:
    write(tmp_path, a__md="# A\n\nText.")
    assert aiw("ingest", "a.md", "--no-wait").exit_code == 0
    write(tmp_path, twin__md="# A\n\nText.")
    result = aiw("ingest", "*.md", "--no-wait", "--json")
    assert {name: item["outcome"] for name, item in ingested(result).items()} == {
        "a.md": "unchanged",
        "twin.md": "duplicate",
    }
    assert result.exit_code == 0


def test_ingest_that_is_stopped_says_what_goes_on_without_it(
    aiw: Aiw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("api.cli.ingest.pause", interrupted)
    write(tmp_path, a__md="# A\n\nText.", b__md="# B\n\nText.")
    result = aiw("ingest", "*.md")
    assert result.exit_code == 130
    assert "2 of 2 are handed in" in " ".join(result.stderr.split())


def test_ingest_can_stay_on_the_surface_and_choose_by_name(aiw: Aiw, tmp_path: Path) -> None:
    write(tmp_path / "docs", a__md="# A\n\nText.", b__txt="Text of b.")
    write(tmp_path / "docs" / "deep", c__md="# C\n\nText.")
    assert set(ingested(aiw("ingest", "docs", "--no-recursive", "--no-wait", "--json"))) == {"a.md", "b.txt"}
    assert set(ingested(aiw("ingest", "docs", "--glob", "*.md", "--no-wait", "--json"))) == {"a.md", "c.md"}


def test_ingest_refuses_a_large_file_without_sending_it(
    aiw: Aiw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIW_CONTENT__MAX_BYTES", "100")
    write(tmp_path, a__md="x" * 101)
    result = aiw("ingest", "a.md", "--no-wait", "--json")
    assert ingested(result)["a.md"]["code"] == "CONTENT_TOO_LARGE"
    assert json.loads(aiw("documents", "list", "--json").stdout)["documents"] == []
    (told,) = json.loads(aiw("events", "read", "--type", "document.rejected", "--json").stdout)["events"]
    assert told["data"]["code"] == "CONTENT_TOO_LARGE"


def test_ingest_of_nothing_is_a_wrong_call(aiw: Aiw, tmp_path: Path) -> None:
    write(tmp_path / "docs", code__py="x = 1")
    assert aiw("ingest", "docs").exit_code == 2
    assert aiw("ingest", "no-such-file.md").exit_code == 1


def test_ingest_takes_pages_of_the_web(aiw: Aiw, api_url: str) -> None:
    address = f"{api_url}/openapi.json"
    result = aiw("ingest", address, f"{api_url}/nowhere", "--no-wait", "--json")
    outcomes = ingested(result)
    assert outcomes["openapi.json"]["outcome"] == "received"
    assert outcomes["nowhere"]["outcome"] == "failed"
    assert result.exit_code == 1
    shown = json.loads(aiw("documents", "show", outcomes["openapi.json"]["document_id"], "--json").stdout)
    assert (shown["source"]["uri"], shown["media_type"]) == (address, "application/json")


def test_ingest_follows_documents_to_their_end(
    aiw: Aiw, services: Services, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, a__md="# A\n\nText.", b__md="# B\n\nText.", c__md="# C\n\nText.")
    looks = 0

    def work_meanwhile(_seconds: float) -> None:
        """Stands for the runs: between two looks, documents move on; one of them is rejected, one is stuck."""
        nonlocal looks
        looks += 1
        ends = {"a.md": DocumentStatus.READY, "b.md": DocumentStatus.REJECTED, "c.md": DocumentStatus.PARSED}
        for document in services.documents.list(tenant=tenant):
            rejected: dict[str, Any] = (
                {"rejection_code": "PARSE_ERROR", "rejection_reason": "unreadable"} if looks > 1 else {}
            )
            status = ends[document.source.name] if looks > 1 else DocumentStatus.PARSED
            services.documents.set_status(document.id, status, tenant=tenant, now=datetime.now(UTC), **rejected)

    monkeypatch.setattr("api.cli.ingest.pause", work_meanwhile)
    result = aiw("ingest", ".", "--json", "--timeout", "1")
    outcomes = ingested(result)
    assert {name: (item["outcome"], item["code"]) for name, item in outcomes.items()} == {
        "a.md": ("received", None),
        "b.md": ("rejected", "PARSE_ERROR"),
        "c.md": ("failed", "TIMEOUT"),
    }
    assert outcomes["b.md"]["reason"] == "unreadable"
    assert result.exit_code == 1


def test_documents_are_listed(aiw: Aiw, tmp_path: Path) -> None:
    write(tmp_path, a__md="# A\n\nText.", b__md="# B\n\nText.")
    aiw("ingest", ".", "--no-wait")
    result = aiw("documents", "list", "--limit", "1")
    assert "a.md" in result.stdout or "b.md" in result.stdout
    assert "--after" in result.stderr
