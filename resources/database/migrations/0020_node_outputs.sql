-- What the steps of runs returned: later steps, re-executions and the status of a run read it here. Written in the transaction
-- that writes the step's events, on Dagster's own connection, which works for all tenants: hence no row-level security.
CREATE TABLE aiw.node_outputs (
    tenant text NOT NULL,
    run_id text NOT NULL,
    step_key text NOT NULL,
    output text NOT NULL,
    mapping_key text NOT NULL DEFAULT '',
    codec text NOT NULL CHECK (codec IN ('json', 'json+zstd', 'pickle', 'pickle+zstd')),
    size bigint NOT NULL CHECK (size >= 0),
    checksum text NOT NULL,
    body bytea,
    uri text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, step_key, output, mapping_key),
    CHECK ((body IS NULL) <> (uri IS NULL))
);
COMMENT ON COLUMN aiw.node_outputs.mapping_key IS 'Which of a dynamic output''s values; empty for other outputs';
COMMENT ON COLUMN aiw.node_outputs.size IS 'Bytes as encoded, before compression';
COMMENT ON COLUMN aiw.node_outputs.uri IS 'Where a large value is, if not in body';
-- The body is compressed where that pays; doing it twice is work for nothing.
ALTER TABLE aiw.node_outputs ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX node_outputs_age ON aiw.node_outputs (created_at);

-- Batches of run events: each process that writes them counts its batches here, in the transaction that writes the batch. A
-- batch that is sent again, because nobody heard that it had been committed, is recognised by its number and left out.
CREATE TABLE aiw.event_log_writers (
    writer uuid PRIMARY KEY,
    batch bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
