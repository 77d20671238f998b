-- Workflows started for many past events, or for many partitions, at a rate. What a backfill starts is written down when it is
-- asked for, so that it can be seen before, and goes on where it was after a crash.
CREATE TABLE aiw.backfills (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    workflow text NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'completed', 'cancelled')),
    rate double precision NOT NULL CHECK (rate > 0),
    created_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX backfills_of_tenant ON aiw.backfills (tenant, created_at DESC, id);
CREATE INDEX backfills_running ON aiw.backfills (created_at) WHERE state = 'running';

CREATE TABLE aiw.backfill_runs (
    backfill_id uuid NOT NULL REFERENCES aiw.backfills ON DELETE CASCADE,
    number integer NOT NULL,
    reason text NOT NULL,
    key text NOT NULL,
    inputs jsonb NOT NULL,
    partition text,
    correlation_id text,
    run_id text,
    error text,
    PRIMARY KEY (backfill_id, number)
);
CREATE INDEX backfill_runs_left ON aiw.backfill_runs (backfill_id, number) WHERE run_id IS NULL AND error IS NULL;
