-- What the processes of the platform use, together, of the requests and tokens that a provider allows a minute.
--
-- A place is a key and a model. What was granted within the span counts; what others use of the key is told by the provider's
-- headers, and counts under the tenant ''. Next is the waiting tenant that was granted the fewest tokens. Unlogged: after a
-- crash of the server the window is empty, and the provider's refusals fill it again.
CREATE UNLOGGED TABLE aiw.ai_rate_place (
    place text COLLATE "C" PRIMARY KEY,
    closed_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE aiw.ai_rate_grant (
    grant_id uuid PRIMARY KEY,
    place text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    tokens bigint NOT NULL,
    granted_at timestamptz NOT NULL
);
CREATE INDEX ai_rate_grant_by_place ON aiw.ai_rate_grant (place, granted_at);
CREATE UNLOGGED TABLE aiw.ai_rate_wait (
    place text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    asked_at timestamptz NOT NULL,
    PRIMARY KEY (place, tenant)
) WITH (fillfactor = 50);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['ai_rate_place', 'ai_rate_grant', 'ai_rate_wait'] LOOP
        EXECUTE format('ALTER TABLE aiw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE aiw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY %I ON aiw.%I TO aiw_system USING (true) WITH CHECK (true)', name || '_of_all', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.%I TO aiw_system', name);
    END LOOP;
END
$$;

-- Seconds to wait before asking again; 0 = granted. A limit that is null is not known. Who waits asks at least once a second.
CREATE FUNCTION aiw.take_ai_rate(
    p_place text, p_tenant text, p_grant uuid, p_tokens bigint, p_request_limit bigint, p_token_limit bigint, p_span float8
) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz;
    closed timestamptz;
    requests bigint;
    used bigint;
    mine bigint;
    oldest timestamptz;
    fits boolean;
BEGIN
    PERFORM set_config('role', 'aiw_system', true), set_config('lock_timeout', '10s', true);
    INSERT INTO aiw.ai_rate_place (place) VALUES (p_place) ON CONFLICT DO NOTHING;
    SELECT p.closed_until INTO closed FROM aiw.ai_rate_place p WHERE p.place = p_place FOR UPDATE;
    moment := clock_timestamp();
    DELETE FROM aiw.ai_rate_grant g WHERE g.place = p_place AND g.granted_at <= moment - p_span * interval '1 second';
    SELECT count(*) FILTER (WHERE g.tenant <> ''), coalesce(sum(g.tokens), 0),
            coalesce(sum(g.tokens) FILTER (WHERE g.tenant = p_tenant), 0), min(g.granted_at)
        INTO requests, used, mine, oldest FROM aiw.ai_rate_grant g WHERE g.place = p_place;
    -- One that is larger than the whole quota goes alone, and the provider decides.
    fits := oldest IS NULL OR (p_request_limit IS NULL OR requests < p_request_limit)
        AND (p_token_limit IS NULL OR used + p_tokens <= p_token_limit);
    IF closed <= moment AND fits AND NOT EXISTS (
        SELECT FROM aiw.ai_rate_wait w
        WHERE w.place = p_place AND w.tenant <> p_tenant AND w.asked_at > moment - interval '2 seconds' AND mine >
            (SELECT coalesce(sum(g.tokens), 0) FROM aiw.ai_rate_grant g WHERE g.place = p_place AND g.tenant = w.tenant)
    ) THEN
        INSERT INTO aiw.ai_rate_grant (grant_id, place, tenant, tokens, granted_at)
            VALUES (p_grant, p_place, p_tenant, p_tokens, moment);
        DELETE FROM aiw.ai_rate_wait w WHERE w.place = p_place AND w.tenant = p_tenant;
        RETURN 0;
    END IF;
    INSERT INTO aiw.ai_rate_wait (place, tenant, asked_at) VALUES (p_place, p_tenant, moment)
        ON CONFLICT (place, tenant) DO UPDATE SET asked_at = excluded.asked_at;
    IF closed > moment THEN
        RETURN least(1, extract(epoch FROM closed - moment));
    END IF;
    RETURN CASE WHEN fits THEN 0.05
        ELSE greatest(0.02, least(1, p_span - extract(epoch FROM moment - oldest))) END;
END
$$;

-- What the provider's headers say is used and nobody here was granted, is somebody else's.
CREATE FUNCTION aiw.learn_ai_rate(p_place text, p_grant uuid, p_used bigint, p_span float8) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz;
    known bigint;
BEGIN
    PERFORM set_config('role', 'aiw_system', true), set_config('lock_timeout', '10s', true);
    INSERT INTO aiw.ai_rate_place (place) VALUES (p_place) ON CONFLICT DO NOTHING;
    PERFORM FROM aiw.ai_rate_place p WHERE p.place = p_place FOR UPDATE;
    moment := clock_timestamp();
    SELECT coalesce(sum(g.tokens), 0) INTO known FROM aiw.ai_rate_grant g
        WHERE g.place = p_place AND g.granted_at > moment - p_span * interval '1 second';
    IF p_used > known THEN
        INSERT INTO aiw.ai_rate_grant (grant_id, place, tenant, tokens, granted_at)
            VALUES (p_grant, p_place, '', p_used - known, moment);
    END IF;
END
$$;
