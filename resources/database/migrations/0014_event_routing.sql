-- Routing rules. A change is a new version; nothing is overwritten, so that it can be told why an event went where it went.
CREATE TABLE aiw.event_rule (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version int NOT NULL CHECK (version > 0),
    enabled boolean NOT NULL,
    definition jsonb NOT NULL,
    changed_by text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name, version)
);
ALTER TABLE aiw.event_rule ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.event_rule FORCE ROW LEVEL SECURITY;
CREATE POLICY rule_of_tenant ON aiw.event_rule
    USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY rule_of_all ON aiw.event_rule TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON aiw.event_rule TO aiw_app, aiw_system;

-- Replays: what was asked, and how far it is.
CREATE TABLE aiw.event_replay (
    id uuid PRIMARY KEY,
    tenant text COLLATE "C",
    definition jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'completed', 'cancelled', 'failed')),
    position bigint NOT NULL,
    up_to bigint NOT NULL,
    events bigint NOT NULL DEFAULT 0,
    error text,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE ON aiw.event_replay TO aiw_system;
