-- What came of logging in to MCP servers, sealed; and until when somebody refreshes the tokens.
CREATE TABLE aiw.mcp_login (
    tenant text COLLATE "C" NOT NULL,
    server text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    claimed_until timestamptz,
    PRIMARY KEY (tenant, server)
);
ALTER TABLE aiw.mcp_login ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.mcp_login FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON aiw.mcp_login USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY of_all ON aiw.mcp_login TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.mcp_login TO aiw_app, aiw_system;
