-- Snapshots are a cache of what the events say: they may be changed and lost.
CREATE TABLE aiw.event_snapshot (
    tenant text COLLATE "C" NOT NULL,
    stream_type text COLLATE "C" NOT NULL,
    stream_id text COLLATE "C" NOT NULL,
    version int NOT NULL CHECK (version > 0),
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    state_version int NOT NULL,
    encoding text NOT NULL CHECK (encoding IN ('plain', 'zstd')),
    checksum bytea NOT NULL,
    state bytea NOT NULL,
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, stream_type, stream_id, version)
);
-- The state is compressed where that pays; doing it twice is work for nothing.
ALTER TABLE aiw.event_snapshot ALTER COLUMN state SET STORAGE EXTERNAL;

ALTER TABLE aiw.event_snapshot ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.event_snapshot FORCE ROW LEVEL SECURITY;
CREATE POLICY snapshot_of_tenant ON aiw.event_snapshot
    USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY snapshot_of_all ON aiw.event_snapshot TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.event_snapshot TO aiw_app, aiw_system;
