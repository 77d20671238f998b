"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("definitions", "assets", "resources", "sensors", "api")
EXPECTED_TOP_LEVEL = {
    "api",
    "assets",
    "definitions",
    "deploy",
    "docs",
    "resources",
    "sensors",
    "tests",
    ".ci",
    ".env.example",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
    "workspace.yaml",
}
SQL = re.compile(r"^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|COPY)\s", re.MULTILINE)


def tracked_files() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [Path(name) for name in names if (ROOT / name).is_file()]


def python_files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def module_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_top_level_holds_what_the_house_plans_and_nothing_else() -> None:
    assert {path.parts[0] for path in tracked_files()} == EXPECTED_TOP_LEVEL


def test_every_test_folder_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py") if ".venv" not in path.parts}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_no_installed_distribution_owns_our_package_names() -> None:
    owners = importlib.metadata.packages_distributions()
    assert {name: owners[name] for name in PACKAGES if set(owners.get(name, [])) - {"ai-workflow-engine"}} == {}


def test_modules_say_what_they_are_for() -> None:
    silent = [
        path.relative_to(ROOT)
        for path in python_files(*PACKAGES)
        if module_of(path).body and ast.get_docstring(module_of(path)) is None
    ]
    assert silent == []


def test_future_annotations_stay_out_of_files_where_dagster_reads_annotations() -> None:
    watched = [*python_files("assets", "sensors", "definitions"), *(ROOT / "resources").rglob("resource.py")]
    wrong = [
        path.relative_to(ROOT)
        for path in watched
        if "runtime" not in path.parts and "from __future__ import annotations" in path.read_text().splitlines()
    ]
    assert wrong == []


def test_sql_lives_in_files_named_for_it() -> None:
    allowed = {"postgres.py", "migrations.py"}
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files(*PACKAGES)
        if path.name not in allowed
        for node in ast.walk(module_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    ]
    assert wrong == []


def test_nothing_reads_the_environment_but_the_roots() -> None:
    roots = {
        "resources/settings.py",
        "resources/servers/process.py",
        "api/platform.py",
    }
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files("resources", "assets", "sensors")
        if str(path.relative_to(ROOT)) not in roots
        for node in ast.walk(module_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr == "getenv"
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "pattern",
    [r"(?<![A-Za-z0-9_.])/(work|root|farm)/[A-Za-z]", r"files\.pythonhosted|pypi\.org/simple|registry\.npmjs"],
)
def test_no_machine_path_or_registry_address_is_committed(pattern: str) -> None:
    found = [
        f"{path}:{number}"
        for path in tracked_files()
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".lock", ".json", ".sql", ""}
        and path != Path("tests/test_layout.py")
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []
