-- Realtime: a log of messages for each tenant, what became of direct ones, who is connected, and rules of routing.
--
-- Order. The row of a tenant in message_head is locked until the end of the transaction that publishes, and positions are
-- counted in it. So they have no gaps, not even after a rollback, and become visible in their order: a reader that has seen
-- position n has seen all below it.
CREATE TABLE aiw.message_head (
    tenant text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE aiw.message (
    tenant text COLLATE "C" NOT NULL,
    position bigint NOT NULL CHECK (position > 0),
    message_id uuid NOT NULL,
    topic text COLLATE "C" NOT NULL,
    sender text COLLATE "C",
    type text COLLATE "C" NOT NULL,
    routing_key text COLLATE "C",
    priority smallint NOT NULL,
    content json NOT NULL,
    headers json NOT NULL,
    targets text[] COLLATE "C" NOT NULL,
    required_subscriptions text[] COLLATE "C" NOT NULL,
    max_targets int,
    ttl float8,
    persist boolean NOT NULL,
    ack boolean NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (tenant, position),
    CONSTRAINT message_id_once UNIQUE (tenant, message_id)
);
CREATE INDEX message_by_topic ON aiw.message (tenant, topic, position);
CREATE INDEX message_by_age ON aiw.message USING brin (created_at);
CREATE INDEX message_transient ON aiw.message (created_at) WHERE NOT persist;
-- A text of more than a megabyte of words has no place in an index; its beginning has.
CREATE FUNCTION aiw.message_words(p_content json) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('simple'::regconfig, left(p_content #>> '{}', 100000))
$$;
CREATE INDEX message_by_words ON aiw.message USING gin (aiw.message_words(content)) WHERE persist;

CREATE TABLE aiw.message_delivery (
    tenant text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    message_id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('sent', 'delivered', 'read', 'failed')),
    expires_at timestamptz,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, user_id, position),
    FOREIGN KEY (tenant, position) REFERENCES aiw.message (tenant, position) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX message_delivery_by_message ON aiw.message_delivery (tenant, position);
CREATE INDEX message_delivery_open ON aiw.message_delivery (tenant, user_id, position) WHERE status = 'sent';

CREATE TABLE aiw.conversation (
    tenant text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    members text[] COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, topic)
);
CREATE INDEX conversation_by_member ON aiw.conversation USING gin (members);

CREATE TABLE aiw.realtime_rule (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    definition jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name)
);

-- Who is connected: gone with a crash of the server, and then written again by the processes that hold the connections.
CREATE UNLOGGED TABLE aiw.presence_device (
    id text COLLATE "C" PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    hub text COLLATE "C" NOT NULL,
    joined_at timestamptz NOT NULL,
    active_at timestamptz NOT NULL,
    status text NOT NULL,
    note text
);
CREATE INDEX presence_device_by_user ON aiw.presence_device (tenant, user_id);
CREATE INDEX presence_device_by_hub ON aiw.presence_device (hub);
CREATE UNLOGGED TABLE aiw.realtime_hub (
    hub text COLLATE "C" PRIMARY KEY,
    seen_at timestamptz NOT NULL
);

DO $$
DECLARE
    walled text;
BEGIN
    FOREACH walled IN ARRAY ARRAY['message_head', 'message', 'message_delivery', 'conversation', 'realtime_rule',
            'presence_device'] LOOP
        EXECUTE format('ALTER TABLE aiw.%I ENABLE ROW LEVEL SECURITY', walled);
        EXECUTE format('ALTER TABLE aiw.%I FORCE ROW LEVEL SECURITY', walled);
        EXECUTE format('CREATE POLICY %I ON aiw.%I USING (tenant = current_setting(''aiw.tenant'', true))
            WITH CHECK (tenant = current_setting(''aiw.tenant'', true))', walled || '_of_tenant', walled);
        EXECUTE format('CREATE POLICY %I ON aiw.%I TO aiw_system USING (true) WITH CHECK (true)', walled || '_of_all', walled);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.%I TO aiw_app, aiw_system', walled);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.realtime_hub TO aiw_system;

-- Store messages (an array of objects) in one round trip and one commit; answers with id, position and time of each.
CREATE FUNCTION aiw.publish_messages(p_tenant text, p_messages json)
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
        PERFORM pg_notify('aiw_realtime', json_build_array('message', p_tenant, json_build_array((head + added)::text))::text);
    END IF;
    RETURN QUERY
        SELECT m.message_id, m.position, m.created_at FROM aiw.message m
        WHERE m.tenant = p_tenant
            AND m.message_id IN (SELECT (one ->> 'message_id')::uuid FROM json_array_elements(p_messages) AS one);
END
$$;

-- Note what became of messages; tells of each that is news. A delivery never goes back from read to delivered.
CREATE FUNCTION aiw.confirm_messages(p_tenant text, p_ids uuid[], p_users text[], p_statuses text[]) RETURNS bigint
    LANGUAGE sql AS $$
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
        RETURNING w.message_id, w.user_id, w.status, w.sender
    ), told AS (
        SELECT pg_notify('aiw_realtime', json_build_array('delivery', p_tenant,
            json_build_array(message_id::text, user_id, status, coalesce(sender, '')))::text) FROM changed
    )
    SELECT count(*) FROM told
$$;
