-- The event store: one append-only table, one order.
--
-- Order. Whoever inserts holds one advisory lock until the end of the transaction, and takes positions only while holding
-- it. So transactions become visible in the order of their positions, and a reader that has seen position n never meets a
-- smaller one later. Rolled back appends leave gaps in the positions; versions of a stream have none.
--
-- Tenants. Row-level security is forced: the role aiw_app sees and writes the rows of the setting aiw.tenant and no
-- others; aiw_system (projections, exports, administration) sees all. Both are NOLOGIN: a transaction switches to one of
-- them, so that the wall stands even for a login that is a superuser.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['aiw_app', 'aiw_system'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this server is being migrated at the same time
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA aiw TO aiw_app, aiw_system;

CREATE SEQUENCE aiw.event_position AS bigint;

CREATE TABLE aiw.event (
    position bigint PRIMARY KEY,
    version int NOT NULL CHECK (version > 0),
    schema_version int NOT NULL CHECK (schema_version > 0),
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    stream_type text COLLATE "C" NOT NULL,
    stream_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    correlation_id text COLLATE "C",
    checksum bytea NOT NULL CHECK (length(checksum) = 32),
    -- json, not jsonb: the bytes that were hashed are the bytes that are kept (jsonb rewrites numbers and refuses \u0000)
    metadata json NOT NULL,
    data json NOT NULL,
    CONSTRAINT event_id_once UNIQUE (tenant, event_id),
    CONSTRAINT event_version_once UNIQUE (tenant, stream_type, stream_id, version)
);
ALTER SEQUENCE aiw.event_position OWNED BY aiw.event.position;
CREATE INDEX event_by_tenant ON aiw.event (tenant, position);
CREATE INDEX event_by_type ON aiw.event (tenant, type, position);
CREATE INDEX event_by_correlation ON aiw.event (tenant, correlation_id, position) WHERE correlation_id IS NOT NULL;

COMMENT ON TABLE aiw.event IS 'Every fact, in order, for ever. Rows are never updated or deleted.';

ALTER TABLE aiw.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.event FORCE ROW LEVEL SECURITY;
CREATE POLICY event_of_tenant ON aiw.event
    USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY event_of_all ON aiw.event TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON aiw.event TO aiw_app, aiw_system;
GRANT USAGE, UPDATE ON SEQUENCE aiw.event_position TO aiw_app, aiw_system;

CREATE FUNCTION aiw.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of %.% are facts: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER event_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON aiw.event
    FOR EACH STATEMENT EXECUTE FUNCTION aiw.refuse_change();
ALTER TABLE aiw.event ENABLE ALWAYS TRIGGER event_is_immutable;

CREATE FUNCTION aiw.lock_event_order() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(7301402612)
$$;

CREATE FUNCTION aiw.keep_event_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7301402612);
    RETURN NULL;
END
$$;
CREATE TRIGGER event_in_order BEFORE INSERT ON aiw.event
    FOR EACH STATEMENT EXECUTE FUNCTION aiw.keep_event_order();
ALTER TABLE aiw.event ENABLE ALWAYS TRIGGER event_in_order;

-- The next p_count positions. The caller holds the lock.
CREATE FUNCTION aiw.take_event_positions(p_count int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    first_taken bigint := nextval('aiw.event_position');
BEGIN
    IF p_count > 1 THEN
        PERFORM setval('aiw.event_position', first_taken + p_count - 1);
    END IF;
    RETURN first_taken;
END
$$;

-- Append to one or several streams at once, in one round trip and one commit.
--
-- p_expected has one entry a stream: the version it must have (0 = it must not exist), -1 = any, -2 = it must exist.
-- p_stream tells for each event the index of its stream, p_ordinal its place among the call's events of that stream.
-- outcome: appended | stored (all ids were there already) | partly stored | conflict (failed_stream, heads).
CREATE FUNCTION aiw.append_events(
    p_tenant text, p_durable boolean,
    p_stream_types text[], p_stream_ids text[], p_expected bigint[],
    p_stream int[], p_ordinal int[], p_event_ids uuid[], p_types text[], p_schema_versions int[],
    p_occurred_at timestamptz[], p_correlation_ids text[], p_checksums bytea[], p_metadata json[], p_data json[],
    OUT outcome text, OUT failed_stream int, OUT heads int[], OUT first_position bigint, OUT recorded timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    wanted bigint;
    known int;
    head int;
    latest timestamptz;
BEGIN
    -- Plans of this function are kept for the session: without statistics they must not settle on a sequential scan.
    PERFORM set_config('role', 'aiw_app', true), set_config('aiw.tenant', p_tenant, true),
        set_config('enable_seqscan', 'off', true), set_config('lock_timeout', '10s', true);
    IF NOT p_durable THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM pg_advisory_xact_lock(7301402612);

    SELECT count(*) INTO known FROM aiw.event e WHERE e.tenant = p_tenant AND e.event_id = ANY (p_event_ids);
    IF known > 0 THEN
        outcome := CASE WHEN known = cardinality(p_event_ids) THEN 'stored' ELSE 'partly stored' END;
        RETURN;
    END IF;

    heads := '{}';
    recorded := clock_timestamp();
    FOR i IN 1 .. cardinality(p_stream_types) LOOP
        SELECT e.version, e.recorded_at INTO head, latest FROM aiw.event e
            WHERE e.tenant = p_tenant AND e.stream_type = p_stream_types[i] AND e.stream_id = p_stream_ids[i]
            ORDER BY e.version DESC LIMIT 1;
        heads := heads || coalesce(head, 0);
        recorded := greatest(recorded, latest);  -- a clock that goes back must not reorder a stream's times
        wanted := p_expected[i];
        IF NOT (wanted = -1 OR (wanted = -2 AND head IS NOT NULL) OR wanted = coalesce(head, 0)) THEN
            outcome := 'conflict';
            failed_stream := i;
            RETURN;
        END IF;
    END LOOP;

    first_position := aiw.take_event_positions(cardinality(p_event_ids));
    INSERT INTO aiw.event (position, version, schema_version, occurred_at, recorded_at, event_id, tenant, stream_type,
            stream_id, type, correlation_id, checksum, metadata, data)
        SELECT first_position + e.place - 1, heads[e.stream] + e.ordinal, e.schema_version, e.occurred_at, recorded,
            e.event_id, p_tenant, p_stream_types[e.stream], p_stream_ids[e.stream], e.type, e.correlation_id, e.checksum,
            e.metadata, e.data
        FROM unnest(p_stream, p_ordinal, p_event_ids, p_types, p_schema_versions, p_occurred_at, p_correlation_ids,
                p_checksums, p_metadata, p_data) WITH ORDINALITY
            AS e(stream, ordinal, event_id, type, schema_version, occurred_at, correlation_id, checksum, metadata, data,
                place);
    PERFORM pg_notify('aiw_event', (first_position + cardinality(p_event_ids) - 1)::text);
    outcome := 'appended';
END
$$;
