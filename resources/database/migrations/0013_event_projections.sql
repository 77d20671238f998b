-- Read models. The rows of a projection live in generations: one is read, another may be built beside it and then take over.
CREATE TABLE aiw.projection (
    name text COLLATE "C" PRIMARY KEY,
    version int NOT NULL,
    active int NOT NULL,
    rebuilding int,
    state text NOT NULL CHECK (state IN ('building', 'active', 'rebuilding', 'failed', 'stopped')),
    error text,
    cancelled boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE aiw.projection_generation (
    projection text COLLATE "C" NOT NULL REFERENCES aiw.projection (name) ON DELETE CASCADE,
    generation int NOT NULL,
    version int NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation)
) WITH (fillfactor = 50);
CREATE TABLE aiw.projection_row (
    projection text COLLATE "C" NOT NULL,
    generation int NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (projection, generation, tenant, key),
    FOREIGN KEY (projection, generation) REFERENCES aiw.projection_generation ON DELETE CASCADE
) WITH (fillfactor = 80);

ALTER TABLE aiw.projection_row ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.projection_row FORCE ROW LEVEL SECURITY;
CREATE POLICY row_of_tenant ON aiw.projection_row
    USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY row_of_all ON aiw.projection_row TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT ON aiw.projection, aiw.projection_row TO aiw_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.projection, aiw.projection_generation, aiw.projection_row TO aiw_system;

-- What dashboards read: the rows of the generation in use.
CREATE VIEW aiw.read_model WITH (security_invoker = true) AS
    SELECT r.projection, r.tenant, r.key, r.data
    FROM aiw.projection p JOIN aiw.projection_row r ON r.projection = p.name AND r.generation = p.active;
GRANT SELECT ON aiw.read_model TO aiw_app, aiw_system;
