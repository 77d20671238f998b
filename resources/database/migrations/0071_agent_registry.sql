-- Agents that run elsewhere: where they are, what they can do, and how they are.
CREATE TABLE aiw.registered_agent (
    tenant text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    endpoint text NOT NULL,
    capabilities text[] COLLATE "C" NOT NULL,
    weight float8 NOT NULL CHECK (weight > 0),
    health_url text,
    metadata jsonb NOT NULL,
    registered_at timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    reported text NOT NULL CHECK (reported IN ('healthy', 'degraded', 'draining', 'unhealthy')),
    connections int NOT NULL CHECK (connections >= 0),
    response_ms float8,
    checks int NOT NULL,
    failed int NOT NULL,
    streak int NOT NULL,
    down boolean NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) WITH (fillfactor = 70);
CREATE INDEX registered_agent_by_capability ON aiw.registered_agent USING gin (capabilities);

ALTER TABLE aiw.registered_agent ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.registered_agent FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON aiw.registered_agent USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY of_all ON aiw.registered_agent TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.registered_agent TO aiw_app, aiw_system;
