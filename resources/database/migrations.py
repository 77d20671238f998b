"""The schema's history: plain SQL files, applied once, in order, under a lock, and never changed afterwards.

Files are named `NNNN_words.sql` in the folder `migrations/`. Each runs in its own transaction together with the row that
records it. A file that was applied and then edited, or that went missing, blocks start-up: the database and the code
would not agree on what the schema is. There is no way down; a mistake is mended by the next file.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resources.errors import ConflictError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from resources.database.postgres import Connection, Database

log = get_logger(__name__)

FOLDER = Path(__file__).parent / "migrations"
_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LOCK_KEY = 7301402611

_PREPARE = """
CREATE SCHEMA IF NOT EXISTS aiw;
CREATE TABLE IF NOT EXISTS aiw.schema_migration (
    version int PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    milliseconds int NOT NULL
)
"""
_APPLIED = "SELECT version, name, checksum FROM aiw.schema_migration ORDER BY version"
_RECORD = "INSERT INTO aiw.schema_migration (version, name, checksum, milliseconds) VALUES (%s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `version` orders it, `checksum` is the sha256 of its text."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(folder: Path = FOLDER) -> list[Migration]:
    """All migrations in `folder`, in order. Raises ConflictError for a wrong name or a version used twice."""
    migrations: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise ConflictError(f"Migration {path.name!r} is not named NNNN_words.sql.", code="migration_name")
        version = int(match[1])
        if version in migrations:
            raise ConflictError(f"Two migrations have the version {version}.", code="migration_duplicate")
        migrations[version] = Migration(version=version, name=match[2], sql=path.read_text())
    return [migrations[version] for version in sorted(migrations)]


def migrate(database: Database, *, migrations: list[Migration] | None = None) -> list[Migration]:
    """Bring the database to the newest version; returns what was applied (empty when there was nothing to do).

    Several processes may call this at once: one works, the others wait. Raises ConflictError when an applied file was
    edited or is missing, UnavailableError when the database is out of reach.
    """
    wanted = load() if migrations is None else migrations
    with database.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
        try:
            connection.execute(_PREPARE)
            applied = {row[0]: (row[1], row[2]) for row in connection.execute(_APPLIED)}
            _refuse_changed_history(applied, wanted)
            fresh = [migration for migration in wanted if migration.version not in applied]
            for migration in fresh:
                _apply(connection, migration)
            return fresh
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK_KEY,))


def pending(database: Database) -> int:
    """How many migrations the database still lacks."""
    with database.connect() as connection:
        known = connection.execute("SELECT to_regclass('aiw.schema_migration')").fetchone()
        applied = {row[0] for row in connection.execute(_APPLIED)} if known and known[0] else set()
    return sum(migration.version not in applied for migration in load())


def _refuse_changed_history(applied: dict[int, tuple[str, str]], wanted: list[Migration]) -> None:
    by_version = {migration.version: migration for migration in wanted}
    for version, (name, checksum) in applied.items():
        migration = by_version.get(version)
        if migration is None:
            raise ConflictError(
                f"The database has migration {version} ({name!r}), which this release does not know. "
                "Run the release that made it, or a newer one.",
                code="migration_unknown",
            )
        if migration.checksum != checksum:
            raise ConflictError(
                f"Migration {version} ({name!r}) was edited after it had been applied. "
                "Restore the file and put the change into a new migration.",
                code="migration_changed",
            )


def _apply(connection: Connection, migration: Migration) -> None:
    started = time.perf_counter()
    with connection.transaction():
        connection.execute(migration.sql.encode())
        milliseconds = round((time.perf_counter() - started) * 1000)
        connection.execute(_RECORD, (migration.version, migration.name, migration.checksum, milliseconds))
    log.info("database.migrated", version=migration.version, name=migration.name, milliseconds=milliseconds)
