-- Alerts of budgets are written with the call that reached the threshold: whoever settled it tells of them at once, and if that
-- process dies, another does. A row is gone when its event is in the store.
ALTER TABLE aiw.ai_budget ADD COLUMN webhook_url text;

CREATE TABLE aiw.ai_alert (
    alert_id uuid PRIMARY KEY,
    budget_id uuid NOT NULL,
    tenant text COLLATE "C",
    scope text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    threshold numeric NOT NULL,
    limit_usd numeric NOT NULL,
    spent numeric NOT NULL,
    reached_at timestamptz NOT NULL
);
ALTER TABLE aiw.ai_alert ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.ai_alert FORCE ROW LEVEL SECURITY;
CREATE POLICY ai_alert_of_all ON aiw.ai_alert TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON aiw.ai_alert TO aiw_system;

-- p_call holds the columns of ai_calls. With p_abandoned the call is settled only if its lease is over.
-- alerts: the thresholds of budgets that were reached and not told of within the cooldown; they are in ai_alert too.
CREATE OR REPLACE FUNCTION aiw.settle_ai_call(
    p_tenant text, p_call_id uuid, p_abandoned boolean, p_cost numeric, p_call json,
    p_key bytea, p_payload bytea, p_tokens bigint, p_ttl double precision,
    p_stream_types text[], p_stream_ids text[], p_expected bigint[],
    p_stream int[], p_ordinal int[], p_event_ids uuid[], p_types text[], p_schema_versions int[],
    p_occurred_at timestamptz[], p_correlation_ids text[], p_checksums bytea[], p_metadata json[], p_data json[],
    OUT stored boolean, OUT alerts json
) LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    held record;
    known record;
    spend record;
    reached numeric;
    told record;
    found_alerts jsonb := '[]';
BEGIN
    PERFORM set_config('role', 'aiw_system', true), set_config('aiw.tenant', p_tenant, true),
        set_config('enable_seqscan', 'off', true), set_config('lock_timeout', '10s', true);
    DELETE FROM aiw.ai_inflight f WHERE f.call_id = p_call_id AND (NOT p_abandoned OR f.lease_until < moment)
        RETURNING f.amount, f.budget_ids, f.subjects, f.period_starts INTO held;
    IF p_abandoned AND NOT FOUND THEN
        stored := false;
        RETURN;
    END IF;
    INSERT INTO aiw.ai_calls SELECT * FROM json_populate_record(NULL::aiw.ai_calls, p_call) ON CONFLICT DO NOTHING;
    stored := FOUND;
    IF p_key IS NOT NULL THEN
        INSERT INTO aiw.ai_memo (tenant, key, call_id, kind, provider, model, payload, tokens, cost, expires_at)
            VALUES (p_tenant, p_key, p_call_id, p_call ->> 'kind', p_call ->> 'provider', p_call ->> 'model', p_payload, p_tokens,
                p_cost, moment + p_ttl * interval '1 second')
            ON CONFLICT (tenant, key) DO UPDATE SET call_id = excluded.call_id, payload = excluded.payload,
                tokens = excluded.tokens, cost = excluded.cost, created_at = now(), expires_at = excluded.expires_at;
    END IF;
    IF NOT stored THEN
        RETURN;
    END IF;

    FOR i IN 1 .. coalesce(cardinality(held.budget_ids), 0) LOOP
        UPDATE aiw.ai_spend s SET reserved = s.reserved - coalesce(held.amount, 0), spent = s.spent + coalesce(p_cost, 0),
                calls = s.calls + 1, unpriced = s.unpriced + (p_cost IS NULL)::int
            WHERE s.budget_id = held.budget_ids[i] AND s.subject = held.subjects[i] AND s.period_start = held.period_starts[i]
            RETURNING s.* INTO spend;
        CONTINUE WHEN NOT FOUND;
        SELECT b.* INTO known FROM aiw.ai_budget b WHERE b.budget_id = held.budget_ids[i];
        SELECT max(t) INTO reached FROM unnest(known.thresholds) AS t WHERE spend.spent >= t * known.limit_usd;
        CONTINUE WHEN reached IS NULL
            OR coalesce((spend.alerts ->> reached::text)::timestamptz, '-infinity') > moment - known.cooldown;
        UPDATE aiw.ai_spend s SET alerts = s.alerts || jsonb_build_object(reached::text, moment)
            WHERE s.budget_id = held.budget_ids[i] AND s.subject = held.subjects[i] AND s.period_start = held.period_starts[i];
        INSERT INTO aiw.ai_alert (alert_id, budget_id, tenant, scope, subject, period, threshold, limit_usd, spent, reached_at)
            VALUES (uuidv7(), known.budget_id, known.tenant, known.scope, held.subjects[i], known.period, reached,
                known.limit_usd, spend.spent, moment)
            RETURNING * INTO told;
        found_alerts := found_alerts || (to_jsonb(told) || jsonb_build_object('threshold', told.threshold::text,
            'limit_usd', told.limit_usd::text, 'spent', told.spent::text));
    END LOOP;
    alerts := found_alerts;

    -- Last, as it takes the lock that orders all events and holds it until the commit.
    IF cardinality(p_event_ids) > 0 THEN
        PERFORM aiw.append_events(p_tenant, true, p_stream_types, p_stream_ids, p_expected, p_stream, p_ordinal, p_event_ids,
            p_types, p_schema_versions, p_occurred_at, p_correlation_ids, p_checksums, p_metadata, p_data);
    END IF;
END
$$;
