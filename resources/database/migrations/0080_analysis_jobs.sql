-- Analyses that were asked for: what is to be analysed, until it has been; then what came of it. Done by runs of Dagster.
CREATE TABLE aiw.analysis_job (
    tenant text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'partial', 'failed', 'cancelled')),
    name text NOT NULL,
    media_type text,
    sha256 text NOT NULL,
    size_bytes integer NOT NULL CHECK (size_bytes >= 0),
    options jsonb NOT NULL,
    content bytea,
    run_id text,
    result jsonb,
    errors jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (tenant, id),
    CHECK (content IS NOT NULL OR status NOT IN ('queued', 'running'))
);
CREATE INDEX analysis_job_by_age ON aiw.analysis_job (tenant, created_at DESC, id DESC);
ALTER TABLE aiw.analysis_job ALTER COLUMN content SET STORAGE EXTERNAL;

ALTER TABLE aiw.analysis_job ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.analysis_job FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON aiw.analysis_job USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY of_all ON aiw.analysis_job TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.analysis_job TO aiw_app, aiw_system;
