"""Analysis jobs in PostgreSQL (migration 0080)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from resources.content.jobs.memory import unknown
from resources.content.jobs.model import AnalysisJob, AnalysisOptions, AnalysisRequest, JobStatus, new_job
from resources.content.model import MediaType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from resources.content.jobs.model import AnalysisResult, JobError
    from resources.database.postgres import Connection, Database

_BRIEF = """id, tenant, status, name, media_type, sha256, size_bytes, options, run_id, errors, created_at, started_at,
    ended_at"""
_COLUMNS = f"{_BRIEF}, result"
_ADD = """INSERT INTO aiw.analysis_job (tenant, id, status, name, media_type, sha256, size_bytes, options, content, created_at)
    VALUES (%(tenant)s, %(id)s, 'queued', %(name)s, %(media_type)s, %(sha256)s, %(size_bytes)s, %(options)s, %(content)s,
        %(now)s)
    ON CONFLICT (tenant, id) DO NOTHING"""
_KEEP = """INSERT INTO aiw.analysis_job (tenant, id, status, name, media_type, sha256, size_bytes, options, result, errors,
        created_at, started_at, ended_at)
    VALUES (%(tenant)s, %(id)s, %(status)s, %(name)s, %(media_type)s, %(sha256)s, %(size_bytes)s, %(options)s, %(result)s,
        %(errors)s, %(created_at)s, %(started_at)s, %(ended_at)s)"""
_GET = f"SELECT {_COLUMNS} FROM aiw.analysis_job WHERE tenant = %s AND id = %s"
_LIST = f"""SELECT {_BRIEF} FROM aiw.analysis_job
    WHERE tenant = %(tenant)s AND (%(status)s::text IS NULL OR status = %(status)s)
        AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(after)s::uuid))
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s"""
_LAUNCHED = f"""UPDATE aiw.analysis_job SET run_id = %s
    WHERE tenant = %s AND id = %s AND status IN ('queued', 'running') RETURNING {_COLUMNS}"""
_START = """UPDATE aiw.analysis_job SET status = 'running', started_at = %s
    WHERE tenant = %s AND id = %s AND status IN ('queued', 'running') RETURNING name, media_type, content, options"""
_END = f"""UPDATE aiw.analysis_job SET status = %(status)s, result = %(result)s, errors = %(errors)s, ended_at = %(now)s,
        content = NULL
    WHERE tenant = %(tenant)s AND id = %(id)s AND status IN ('queued', 'running') RETURNING {_COLUMNS}"""
_FORGET = "DELETE FROM aiw.analysis_job WHERE ended_at < %s"

_JOB = TypeAdapter(AnalysisJob)


class PostgresAnalysisJobs:
    """Safe to share between threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job_id: UUID, request: AnalysisRequest, *, tenant: str, now: datetime) -> AnalysisJob:
        job = new_job(job_id, request, tenant=tenant, now=now)
        row = {
            "tenant": tenant,
            "id": job_id,
            "name": job.name,
            "media_type": job.media_type,
            "sha256": job.sha256,
            "size_bytes": job.size_bytes,
            "options": Jsonb(job.options.model_dump(mode="json")),
            "content": request.content,
            "now": now,
        }
        with self._as(tenant) as connection:
            connection.execute(_ADD, row)
            return _one(connection, job_id, tenant)

    def keep(self, job: AnalysisJob) -> AnalysisJob:
        row = job.model_dump() | {
            "options": Jsonb(job.options.model_dump(mode="json")),
            "result": None if job.result is None else Jsonb(job.result.model_dump(mode="json")),
            "errors": Jsonb([error.model_dump(mode="json") for error in job.errors]),
        }
        with self._as(job.tenant) as connection:
            connection.execute(_KEEP, row)
        return job

    def get(self, job_id: UUID, *, tenant: str) -> AnalysisJob:
        with self._as(tenant) as connection:
            return _one(connection, job_id, tenant)

    def list(
        self, *, tenant: str, status: JobStatus | None = None, after: UUID | None = None, limit: int = 50
    ) -> Sequence[AnalysisJob]:
        with self._as(tenant) as connection:
            at = None if after is None else _one(connection, after, tenant).created_at
            wanted = {"tenant": tenant, "status": status, "at": at, "after": after, "limit": limit}
            return [_job(row) for row in connection.execute(_LIST, wanted)]

    def launched(self, job_id: UUID, run_id: str, *, tenant: str) -> AnalysisJob:
        with self._as(tenant) as connection:
            row = connection.execute(_LAUNCHED, (run_id, tenant, job_id)).fetchone()
            return _one(connection, job_id, tenant) if row is None else _job(row)

    def start(self, job_id: UUID, *, tenant: str, now: datetime) -> AnalysisRequest | None:
        with self._as(tenant) as connection:
            row = connection.execute(_START, (now, tenant, job_id)).fetchone()
            if row is None:
                _one(connection, job_id, tenant)
                return None
        name, media_type, content, options = row
        return AnalysisRequest(
            name=name,
            media_type=None if media_type is None else MediaType(media_type),
            content=bytes(content),
            options=AnalysisOptions.model_validate(options),
        )

    def end(
        self,
        job_id: UUID,
        status: JobStatus,
        *,
        result: AnalysisResult | None = None,
        errors: Sequence[JobError] = (),
        tenant: str,
        now: datetime,
    ) -> AnalysisJob:
        row = {
            "tenant": tenant,
            "id": job_id,
            "status": status,
            "result": None if result is None else Jsonb(result.model_dump(mode="json")),
            "errors": Jsonb([error.model_dump(mode="json") for error in errors]),
            "now": now,
        }
        with self._as(tenant) as connection:
            ended = connection.execute(_END, row).fetchone()
            return _one(connection, job_id, tenant) if ended is None else _job(ended)

    def forget(self, *, before: datetime) -> int:
        with self._as(None) as connection:
            return connection.execute(_FORGET, (before,)).rowcount

    def _as(self, tenant: str | None) -> AbstractContextManager[Connection]:
        return self._database.scoped(tenant, "the analyses")


def _one(connection: Connection, job_id: UUID, tenant: str) -> AnalysisJob:
    row = connection.execute(_GET, (tenant, job_id)).fetchone()
    if row is None:
        raise unknown(job_id)
    return _job(row)


def _job(row: Sequence[Any]) -> AnalysisJob:
    names = [name.strip() for name in _COLUMNS.split(",")]
    return _JOB.validate_python(dict(zip(names, row, strict=False)))
