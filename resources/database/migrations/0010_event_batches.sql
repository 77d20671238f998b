-- Group commit: many appends of many writers share one transaction (resources/events/writer.py).

-- Take the lock, then tell where the streams stand and reserve positions. A function and not a query, because the snapshot
-- of a query would be older than the lock. The transaction ends by itself when the client freezes in the middle of it.
CREATE FUNCTION aiw.begin_event_batch(
    p_tenants text[], p_stream_types text[], p_stream_ids text[], p_count int, p_durable boolean,
    OUT heads int[], OUT first_position bigint, OUT recorded timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    latest timestamptz;
BEGIN
    PERFORM set_config('enable_seqscan', 'off', true), set_config('lock_timeout', '10s', true),
        set_config('transaction_timeout', '30s', true);
    IF NOT p_durable THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM pg_advisory_xact_lock(7301402612);
    SELECT array_agg(coalesce(h.version, 0) ORDER BY s.place), max(h.recorded_at) INTO heads, latest
        FROM unnest(p_tenants, p_stream_types, p_stream_ids) WITH ORDINALITY AS s(tenant, type, id, place)
        LEFT JOIN LATERAL (
            SELECT e.version, e.recorded_at FROM aiw.event e
            WHERE e.tenant = s.tenant AND e.stream_type = s.type AND e.stream_id = s.id
            ORDER BY e.version DESC LIMIT 1
        ) h ON true;
    recorded := greatest(clock_timestamp(), latest);
    first_position := aiw.take_event_positions(p_count);
    PERFORM pg_notify('aiw_event', (first_position + p_count - 1)::text);
END
$$;
