-- Plugins that tenants have installed, and the journal of their calls.
CREATE TABLE aiw.plugin (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    module bytea NOT NULL,
    manifest jsonb NOT NULL,
    installed_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    enabled boolean NOT NULL,
    grants text[] NOT NULL,
    config jsonb NOT NULL,
    limits jsonb NOT NULL,
    PRIMARY KEY (tenant, name)
);
-- A module is compressed code already or will not shrink much: it is stored as it is, so that a read is a copy.
ALTER TABLE aiw.plugin ALTER COLUMN module SET STORAGE EXTERNAL;
CREATE INDEX plugin_by_hash ON aiw.plugin (tenant, sha256);

CREATE TABLE aiw.plugin_run (
    tenant text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    plugin text COLLATE "C" NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    outcome text NOT NULL,
    milliseconds float8 NOT NULL,
    input_bytes bigint NOT NULL,
    output_bytes bigint NOT NULL,
    fuel bigint NOT NULL,
    memory_bytes bigint NOT NULL,
    cached boolean NOT NULL,
    run_id text,
    logs jsonb NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, plugin) REFERENCES aiw.plugin ON DELETE CASCADE
);
CREATE INDEX plugin_run_by_time ON aiw.plugin_run (tenant, plugin, at DESC);
CREATE INDEX plugin_run_by_age ON aiw.plugin_run USING brin (at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['plugin', 'plugin_run'] LOOP
        EXECUTE format('ALTER TABLE aiw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE aiw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_tenant ON aiw.%I USING (tenant = current_setting(''aiw.tenant'', true))
            WITH CHECK (tenant = current_setting(''aiw.tenant'', true))', name);
        EXECUTE format('CREATE POLICY of_all ON aiw.%I TO aiw_system USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.%I TO aiw_app, aiw_system', name);
    END LOOP;
END
$$;
