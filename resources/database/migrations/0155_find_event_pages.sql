-- Pages of events among the rows that are read together (0058): `events` takes a name such as "41 100", the position behind which
-- the page begins and how many there may be, and gives them with the position of the newest one, all as of one moment.
CREATE OR REPLACE FUNCTION aiw.find_rows(p_kinds text[], p_tenants text[], p_names text[])
    RETURNS TABLE (place int, content text)
LANGUAGE plpgsql AS $$
DECLARE
    wanted record;
    acting_for text;
    behind bigint;
    at_most int;
BEGIN
    -- Plans of this function are kept for the session: without statistics they must not settle on a sequential scan.
    PERFORM set_config('role', 'aiw_app', true), set_config('enable_seqscan', 'off', true);
    FOR wanted IN
        SELECT w.kind, w.tenant, w.name, w.number::int FROM unnest(p_kinds, p_tenants, p_names)
            WITH ORDINALITY AS w(kind, tenant, name, number) ORDER BY w.tenant
    LOOP
        IF wanted.tenant IS DISTINCT FROM acting_for THEN
            PERFORM set_config('aiw.tenant', wanted.tenant, true);
            acting_for := wanted.tenant;
        END IF;
        content := NULL;
        IF wanted.kind = 'document' THEN
            SELECT row_to_json(f)::text INTO content FROM (
                SELECT d.id, d.tenant, d.source, d.media_type, encode(d.sha256, 'hex') AS sha256, d.size_bytes, d.status,
                    d.title, d.language, d.chunk_count, d.concept_count, d.rejection_code, d.rejection_reason,
                    d.received_at, d.updated_at
                FROM aiw.document d WHERE d.tenant = wanted.tenant AND d.id = wanted.name
            ) f;
        ELSIF wanted.kind = 'execution' THEN
            SELECT r.data::text INTO content FROM aiw.read_model r
                WHERE r.projection = 'workflow_execution_history' AND r.tenant = wanted.tenant AND r.key = wanted.name;
        ELSIF wanted.kind = 'events' THEN
            behind := split_part(wanted.name, ' ', 1)::bigint;
            at_most := split_part(wanted.name, ' ', 2)::int;
            SELECT json_build_object(
                'head', (SELECT max(h.position) FROM aiw.event h WHERE h.tenant = wanted.tenant),
                'events', coalesce(json_agg(row_to_json(p) ORDER BY p.position), '[]')
            )::text INTO content FROM (
                SELECT e.position, e.event_id, e.stream_type, e.stream_id, e.version, e.type, e.schema_version, e.data,
                    e.metadata, e.occurred_at, e.recorded_at, encode(e.checksum, 'hex') AS checksum
                FROM aiw.event e WHERE e.tenant = wanted.tenant AND e.position > behind
                ORDER BY e.position LIMIT at_most
            ) p;
        ELSE
            RAISE EXCEPTION 'aiw.find_rows: there is no kind %', wanted.kind;
        END IF;
        place := wanted.number;
        RETURN NEXT;
    END LOOP;
END
$$;
