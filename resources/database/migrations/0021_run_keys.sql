-- Who starts a run for a key, decided once: the launcher, which has chosen the run's id before it creates the run, or one of
-- Dagster's sensors, which asks for a run with this very run key. Only launchers and sensors read it, for all tenants.
CREATE TABLE aiw.run_keys (
    tenant text NOT NULL,
    key text NOT NULL,
    owner text NOT NULL,
    run_id uuid,
    request jsonb,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    launched_at timestamptz,
    PRIMARY KEY (tenant, key),
    CHECK ((run_id IS NULL) = (request IS NULL))
);
COMMENT ON COLUMN aiw.run_keys.owner IS 'launcher, or the name of the sensor';
COMMENT ON COLUMN aiw.run_keys.request IS 'What the launcher was asked for: whoever finds the run missing launches it from this';
CREATE INDEX run_keys_unfinished ON aiw.run_keys (claimed_at) WHERE launched_at IS NULL AND run_id IS NOT NULL;
CREATE INDEX run_keys_age ON aiw.run_keys (claimed_at);
