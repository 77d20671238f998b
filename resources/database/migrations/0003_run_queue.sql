-- Dagster's own tables live in a schema of their own; Dagster creates and upgrades them.
CREATE SCHEMA IF NOT EXISTS dagster;

-- Runs that wait for a warm worker, or are being executed by one. A row leaves when its run has ended.
CREATE TABLE aiw.run_queue (
    run_id text PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY,
    job text NOT NULL,
    priority int NOT NULL DEFAULT 0,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    host text,
    claims int NOT NULL DEFAULT 0,
    claimed_at timestamptz,
    lease_until timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    CHECK ((host IS NULL) = (lease_until IS NULL))
);
COMMENT ON COLUMN aiw.run_queue.host IS 'The pool that executes the run; NULL while it waits';
COMMENT ON COLUMN aiw.run_queue.lease_until IS 'A pool that has not renewed its lease by then is taken to be dead';

CREATE INDEX run_queue_waiting ON aiw.run_queue (priority DESC, place) WHERE host IS NULL;
CREATE INDEX run_queue_host ON aiw.run_queue (host) WHERE host IS NOT NULL;
