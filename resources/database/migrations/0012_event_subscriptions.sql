-- Durable subscriptions: where each stands, and what it could not digest. For the platform's own role alone.
CREATE TABLE aiw.subscription (
    name text COLLATE "C" PRIMARY KEY,
    definition jsonb NOT NULL,
    paused boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A partition is a share of the streams. Whoever holds its advisory lock delivers its events, in order.
CREATE TABLE aiw.subscription_partition (
    subscription text COLLATE "C" NOT NULL REFERENCES aiw.subscription (name) ON DELETE CASCADE,
    partition int NOT NULL,
    position bigint NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    claims int NOT NULL DEFAULT 0,
    not_before timestamptz,
    error text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscription, partition)
) WITH (fillfactor = 70);

CREATE TABLE aiw.dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription text COLLATE "C" NOT NULL REFERENCES aiw.subscription (name) ON DELETE CASCADE,
    position bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    stream_type text COLLATE "C" NOT NULL,
    stream_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    attempts int NOT NULL,
    error text NOT NULL,
    poison boolean NOT NULL,
    status text NOT NULL DEFAULT 'failed' CHECK (status IN ('failed', 'retrying', 'resolved', 'discarded')),
    edited json,
    failed_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (subscription, position)
);
CREATE INDEX dead_letter_open ON aiw.dead_letter (subscription, type, stream_type, stream_id)
    WHERE status IN ('failed', 'retrying');

GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.subscription, aiw.subscription_partition, aiw.dead_letter TO aiw_system;
