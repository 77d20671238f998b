-- News may be told by another way than NOTIFY: then who publishes or confirms tells them, from what the function gives.
DROP FUNCTION aiw.confirm_messages(text, uuid[], text[], text[]);
CREATE FUNCTION aiw.confirm_messages(p_tenant text, p_ids uuid[], p_users text[], p_statuses text[], p_tell boolean)
    RETURNS TABLE (message text, at_user text, became text, said_by text) LANGUAGE sql AS $$
    WITH rank(status, place) AS (VALUES ('sent', 0), ('failed', 1), ('delivered', 2), ('read', 3)),
    wanted AS (
        SELECT DISTINCT ON (m.position, w.user_id) m.position, w.user_id, w.status, r.place, m.sender, m.message_id
        FROM unnest(p_ids, p_users, p_statuses) AS w(message_id, user_id, status)
        JOIN rank r USING (status)
        JOIN aiw.message m ON m.tenant = p_tenant AND m.message_id = w.message_id
        ORDER BY m.position, w.user_id, r.place DESC
    ), changed AS (
        UPDATE aiw.message_delivery d SET status = w.status, updated_at = now()
        FROM wanted w
        WHERE d.tenant = p_tenant AND d.user_id = w.user_id AND d.position = w.position
            AND (SELECT place FROM rank WHERE rank.status = d.status) < w.place
        RETURNING w.message_id::text, w.user_id, w.status, coalesce(w.sender, '') AS sender
    ), told AS (
        SELECT c.*, CASE WHEN p_tell THEN pg_notify('aiw_realtime', json_build_array('delivery', p_tenant,
            json_build_array(message_id, user_id, status, sender))::text) END FROM changed c
    )
    SELECT message_id, user_id, status, sender FROM told
$$;

DROP FUNCTION aiw.publish_messages(text, json);
-- Store messages (an array of objects) in one round trip and one commit; answers with id, position and time of each.
CREATE FUNCTION aiw.publish_messages(p_tenant text, p_messages json, p_tell boolean DEFAULT true)
    RETURNS TABLE (id uuid, place bigint, at timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    head bigint;
    added bigint;
    published timestamptz;
BEGIN
    PERFORM set_config('role', 'aiw_app', true), set_config('aiw.tenant', p_tenant, true),
        set_config('lock_timeout', '10s', true);
    INSERT INTO aiw.message_head VALUES (p_tenant, 0) ON CONFLICT DO NOTHING;
    SELECT h.position INTO head FROM aiw.message_head h WHERE h.tenant = p_tenant FOR UPDATE;
    published := clock_timestamp();

    WITH sent AS (
        SELECT m.* FROM ROWS FROM (json_to_recordset(p_messages) AS (message_id uuid, topic text, sender text,
            type text, routing_key text, priority smallint, content json, headers json, targets text[],
            required_subscriptions text[], max_targets int, ttl float8, persist boolean, ack boolean, members text[]))
            WITH ORDINALITY AS m(message_id, topic, sender, type, routing_key, priority, content, headers, targets,
                required_subscriptions, max_targets, ttl, persist, ack, members, ordinal)
    ), fresh AS (
        SELECT s.*, head + row_number() OVER (ORDER BY s.ordinal) AS position,
            published + s.ttl * interval '1 second' AS expires_at
        FROM sent s
        WHERE NOT EXISTS (SELECT FROM aiw.message m WHERE m.tenant = p_tenant AND m.message_id = s.message_id)
    ), stored AS (
        INSERT INTO aiw.message (tenant, position, message_id, topic, sender, type, routing_key, priority, content, headers,
                targets, required_subscriptions, max_targets, ttl, persist, ack, created_at, expires_at)
            SELECT p_tenant, f.position, f.message_id, f.topic, f.sender, f.type, f.routing_key, f.priority, f.content,
                f.headers, f.targets, f.required_subscriptions, f.max_targets, f.ttl, f.persist, f.ack, published,
                f.expires_at
            FROM fresh f
    ), delivered AS (
        INSERT INTO aiw.message_delivery (tenant, user_id, position, message_id, status, expires_at, updated_at)
            SELECT DISTINCT p_tenant, target, f.position, f.message_id, 'sent', f.expires_at, published
            FROM fresh f, unnest(f.targets) AS target WHERE f.ack
    ), spoken AS (
        INSERT INTO aiw.conversation (tenant, topic, members, position, updated_at)
            SELECT p_tenant, f.topic, min(f.members), max(f.position), published
            FROM fresh f WHERE cardinality(f.members) > 0 AND f.persist GROUP BY f.topic
        ON CONFLICT (tenant, topic) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at
    )
    SELECT count(*) INTO added FROM fresh;

    IF added > 0 THEN
        UPDATE aiw.message_head h SET position = head + added WHERE h.tenant = p_tenant;
        IF p_tell THEN
            PERFORM pg_notify('aiw_realtime', json_build_array('message', p_tenant, json_build_array((head + added)::text))::text);
        END IF;
    END IF;
    RETURN QUERY
        SELECT m.message_id, m.position, m.created_at FROM aiw.message m
        WHERE m.tenant = p_tenant
            AND m.message_id IN (SELECT (one ->> 'message_id')::uuid FROM json_array_elements(p_messages) AS one);
END
$$;
