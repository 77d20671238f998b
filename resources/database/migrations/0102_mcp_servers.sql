-- MCP servers that tenants have configured. Headers are sealed; everything else is in the config.
CREATE TABLE aiw.mcp_server (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    config jsonb NOT NULL,
    sealed bytea,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, name)
);
ALTER TABLE aiw.mcp_server ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.mcp_server FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON aiw.mcp_server USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY of_all ON aiw.mcp_server TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.mcp_server TO aiw_app, aiw_system;
