-- Budgets of requests and tokens besides those of dollars, and windows that slide.
--
-- A window of a minute has sixty buckets of a second, one of an hour sixty of a minute: rows of ai_spend like those of periods.
-- A bucket counts until the last moment that may lie in it is out of the window, so that no minute ever holds more than it may.
-- The row that begins at -infinity stands for the window itself: who changes its buckets locks it first, and it keeps the alerts.
ALTER TABLE aiw.ai_budget RENAME COLUMN limit_usd TO amount;
ALTER TABLE aiw.ai_budget ADD COLUMN unit text COLLATE "C" NOT NULL DEFAULT 'usd' CHECK (unit IN ('usd', 'requests', 'tokens'));
ALTER TABLE aiw.ai_budget DROP CONSTRAINT ai_budget_period_check;
ALTER TABLE aiw.ai_budget ADD CONSTRAINT ai_budget_period_check
    CHECK (period IN ('minute', 'hour', 'day', 'week', 'month', 'year', 'custom', 'total'));
ALTER TABLE aiw.ai_budget ADD CONSTRAINT ai_budget_window_check CHECK (unit <> 'usd' OR period NOT IN ('minute', 'hour'));
DROP INDEX aiw.ai_budget_once;
CREATE UNIQUE INDEX ai_budget_once ON aiw.ai_budget (tenant, scope, subject, unit, period, starts_at, hard) NULLS NOT DISTINCT;
ALTER TABLE aiw.ai_inflight ADD COLUMN tokens bigint NOT NULL DEFAULT 0;
ALTER TABLE aiw.ai_alert RENAME COLUMN limit_usd TO amount;
ALTER TABLE aiw.ai_alert ADD COLUMN unit text COLLATE "C" NOT NULL DEFAULT 'usd';

-- The length of a window and of its buckets; null where the period is one of the calendar.
CREATE FUNCTION aiw.ai_window(p_period text, OUT span interval, OUT grain interval) LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_period WHEN 'minute' THEN interval '1 minute' WHEN 'hour' THEN interval '1 hour' END,
        CASE p_period WHEN 'minute' THEN interval '1 second' WHEN 'hour' THEN interval '1 minute' END
$$;

CREATE OR REPLACE FUNCTION aiw.ai_period_start(p_period text, p_starts timestamptz, p_ends timestamptz, p_at timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE p_period
        WHEN 'total' THEN '-infinity'::timestamptz
        WHEN 'minute' THEN '-infinity'::timestamptz
        WHEN 'hour' THEN '-infinity'::timestamptz
        WHEN 'custom' THEN CASE WHEN p_at >= p_starts AND p_at < p_ends THEN p_starts END
        ELSE date_trunc(p_period, p_at, 'UTC')
    END
$$;

-- What the live buckets of a window hold, once those that are out of it are gone. Its first row is locked already.
CREATE FUNCTION aiw.slide_ai_window(
    p_budget uuid, p_subject text, p_period text, p_moment timestamptz, OUT spent numeric, OUT reserved numeric
) LANGUAGE plpgsql AS $$
DECLARE
    size record;
BEGIN
    SELECT * INTO size FROM aiw.ai_window(p_period);
    DELETE FROM aiw.ai_spend s WHERE s.budget_id = p_budget AND s.subject = p_subject
        AND s.period_start > '-infinity' AND s.period_start + size.grain <= p_moment - size.span;
    SELECT coalesce(sum(s.spent), 0), coalesce(sum(s.reserved), 0) INTO spent, reserved FROM aiw.ai_spend s
        WHERE s.budget_id = p_budget AND s.subject = p_subject AND s.period_start > '-infinity';
END
$$;

-- Seconds until so much is free in a window; null = never, as it is more than the whole.
CREATE FUNCTION aiw.ai_window_opens(
    p_budget uuid, p_subject text, p_period text, p_moment timestamptz, p_beyond numeric
) RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT greatest(0, extract(epoch FROM min(b.period_start) + w.grain + w.span - p_moment))
    FROM aiw.ai_window(p_period) AS w, (
        SELECT s.period_start, sum(s.spent + s.reserved) OVER (ORDER BY s.period_start) AS freed FROM aiw.ai_spend s
        WHERE s.budget_id = p_budget AND s.subject = p_subject AND s.period_start > '-infinity'
    ) AS b
    WHERE b.freed >= p_beyond
    GROUP BY w.grain, w.span
$$;

DROP FUNCTION aiw.begin_ai_call(text, uuid, bytea, boolean, boolean, text[], numeric, boolean, double precision, json);

-- p_subjects: provider, project, user, workflow, run; null = unknown. p_amount null = the price is unknown; p_tokens is the most
-- that the call can take. A tool takes neither dollars nor tokens and is no request.
-- outcome: hit (payload …) | missing (replay only) | busy (somebody else is asking just that) | refused (budget …) | reserved
CREATE FUNCTION aiw.begin_ai_call(
    p_tenant text, p_call_id uuid, p_key bytea, p_look boolean, p_call_allowed boolean, p_subjects text[],
    p_amount numeric, p_tokens bigint, p_refuse_unpriced boolean, p_lease double precision, p_call json,
    OUT outcome text, OUT payload bytea, OUT paid_by uuid, OUT saved_tokens bigint, OUT saved_cost numeric,
    OUT budget json, OUT abandoned boolean
) LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    requests int := (p_call ->> 'kind' <> 'tool')::int;
    wanted record;
    spend record;
    taken boolean;
    needed numeric;
    opens double precision;
    charged_ids uuid[] := '{}';
    charged_subjects text[] := '{}';
    charged_starts timestamptz[] := '{}';
    charged_amounts numeric[] := '{}';
BEGIN
    PERFORM set_config('role', 'aiw_system', true), set_config('aiw.tenant', p_tenant, true),
        set_config('enable_seqscan', 'off', true), set_config('lock_timeout', '10s', true);
    abandoned := EXISTS (SELECT FROM aiw.ai_inflight f WHERE f.lease_until < moment);
    IF p_look THEN
        SELECT m.payload, m.call_id, m.tokens, m.cost INTO payload, paid_by, saved_tokens, saved_cost FROM aiw.ai_memo m
            WHERE m.tenant = p_tenant AND m.key = p_key AND (m.expires_at IS NULL OR m.expires_at > moment);
        IF FOUND THEN
            outcome := 'hit';
            RETURN;
        END IF;
    END IF;
    IF NOT p_call_allowed THEN
        outcome := 'missing';
        RETURN;
    END IF;

    IF p_look THEN
        LOOP
            INSERT INTO aiw.ai_inflight (call_id, tenant, memo_key, amount, tokens, call, lease_until)
                VALUES (p_call_id, p_tenant, p_key, p_amount, p_tokens, p_call, moment + p_lease * interval '1 second')
                ON CONFLICT (tenant, memo_key) WHERE memo_key IS NOT NULL DO NOTHING;
            EXIT WHEN FOUND;
            UPDATE aiw.ai_inflight f SET memo_key = NULL
                WHERE f.tenant = p_tenant AND f.memo_key = p_key AND f.lease_until < moment;
            taken := FOUND;
            IF NOT taken AND EXISTS (SELECT FROM aiw.ai_inflight f WHERE f.tenant = p_tenant AND f.memo_key = p_key) THEN
                outcome := 'busy';
                RETURN;
            END IF;
        END LOOP;
        -- Whoever was asking may have settled between the look and the insert.
        SELECT m.payload, m.call_id, m.tokens, m.cost INTO payload, paid_by, saved_tokens, saved_cost FROM aiw.ai_memo m
            WHERE m.tenant = p_tenant AND m.key = p_key AND (m.expires_at IS NULL OR m.expires_at > moment);
        IF FOUND THEN
            DELETE FROM aiw.ai_inflight f WHERE f.call_id = p_call_id;
            outcome := 'hit';
            RETURN;
        END IF;
    END IF;

    -- Everybody locks from the root to the leaves, so that nobody waits in a circle.
    FOR wanted IN
        SELECT b.*, s.value, aiw.ai_period_start(b.period, b.starts_at, b.ends_at, moment) AS started, w.grain
        FROM (VALUES ('global', 1, '*'), ('tenant', 2, p_tenant), ('provider', 3, p_subjects[1]), ('project', 4, p_subjects[2]),
                ('user', 5, p_subjects[3]), ('workflow', 6, p_subjects[4]), ('run', 7, p_subjects[5])) AS s(scope, rank, value)
        JOIN aiw.ai_budget b ON b.scope = s.scope AND s.value IS NOT NULL AND b.subject IN ('*', s.value)
        CROSS JOIN aiw.ai_window(b.period) AS w
        WHERE b.tenant IS NULL OR b.tenant = p_tenant
        ORDER BY s.rank, b.budget_id
    LOOP
        CONTINUE WHEN wanted.started IS NULL;
        needed := CASE wanted.unit WHEN 'usd' THEN p_amount WHEN 'requests' THEN requests ELSE p_tokens END;
        CONTINUE WHEN wanted.unit <> 'usd' AND needed = 0;
        LOOP
            SELECT s.spent, s.reserved INTO spend FROM aiw.ai_spend s
                WHERE s.budget_id = wanted.budget_id AND s.subject = wanted.value AND s.period_start = wanted.started FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO aiw.ai_spend (budget_id, subject, period_start, tenant)
                VALUES (wanted.budget_id, wanted.value, wanted.started, wanted.tenant) ON CONFLICT DO NOTHING;
        END LOOP;
        IF wanted.grain IS NOT NULL THEN
            moment := clock_timestamp();  -- others may have been let in while this one waited
            SELECT * INTO spend FROM aiw.slide_ai_window(wanted.budget_id, wanted.value, wanted.period, moment);
        END IF;
        IF wanted.hard AND (spend.spent + spend.reserved + coalesce(needed, 0) > wanted.amount
                OR needed IS NULL AND p_refuse_unpriced) THEN
            IF wanted.grain IS NOT NULL AND needed <= wanted.amount THEN
                opens := aiw.ai_window_opens(wanted.budget_id, wanted.value, wanted.period, moment,
                    spend.spent + spend.reserved + needed - wanted.amount);
            END IF;
            DELETE FROM aiw.ai_inflight f WHERE f.call_id = p_call_id;
            outcome := 'refused';
            budget := json_build_object('budget_id', wanted.budget_id, 'scope', wanted.scope, 'subject', wanted.value,
                'unit', wanted.unit, 'period', wanted.period, 'limit', wanted.amount::text, 'spent', spend.spent::text,
                'reserved', spend.reserved::text, 'needed', needed::text, 'retry_after', opens);
            RETURN;
        END IF;
        IF wanted.grain IS NOT NULL THEN
            wanted.started := date_trunc(CASE wanted.period WHEN 'minute' THEN 'second' ELSE 'minute' END, moment, 'UTC');
            INSERT INTO aiw.ai_spend (budget_id, subject, period_start, tenant)
                VALUES (wanted.budget_id, wanted.value, wanted.started, wanted.tenant) ON CONFLICT DO NOTHING;
        END IF;
        charged_ids := charged_ids || wanted.budget_id;
        charged_subjects := charged_subjects || wanted.value;
        charged_starts := charged_starts || wanted.started;
        charged_amounts := charged_amounts || coalesce(needed, 0);
    END LOOP;
    IF cardinality(charged_ids) > 0 THEN
        UPDATE aiw.ai_spend s SET reserved = s.reserved + c.a
            FROM unnest(charged_ids, charged_subjects, charged_starts, charged_amounts) AS c(b, v, t, a)
            WHERE s.budget_id = c.b AND s.subject = c.v AND s.period_start = c.t;
    END IF;
    IF p_look THEN
        UPDATE aiw.ai_inflight f
            SET budget_ids = charged_ids, subjects = charged_subjects, period_starts = charged_starts
            WHERE f.call_id = p_call_id AND cardinality(charged_ids) > 0;
    ELSE
        INSERT INTO aiw.ai_inflight (call_id, tenant, amount, tokens, budget_ids, subjects, period_starts, call, lease_until)
            VALUES (p_call_id, p_tenant, p_amount, p_tokens, charged_ids, charged_subjects, charged_starts, p_call,
                moment + p_lease * interval '1 second');
    END IF;
    outcome := 'reserved';
END
$$;

-- p_call holds the columns of ai_calls. With p_abandoned the call is settled only if its lease is over. Tokens that nobody has
-- counted are charged as they were reserved.
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
    told record;
    first_start timestamptz;
    released numeric;
    charged numeric;
    reached numeric;
    found_alerts jsonb := '[]';
BEGIN
    PERFORM set_config('role', 'aiw_system', true), set_config('aiw.tenant', p_tenant, true),
        set_config('enable_seqscan', 'off', true), set_config('lock_timeout', '10s', true);
    DELETE FROM aiw.ai_inflight f WHERE f.call_id = p_call_id AND (NOT p_abandoned OR f.lease_until < moment)
        RETURNING f.amount, f.tokens, f.budget_ids, f.subjects, f.period_starts INTO held;
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
        SELECT b.*, w.grain INTO known FROM aiw.ai_budget b CROSS JOIN aiw.ai_window(b.period) AS w
            WHERE b.budget_id = held.budget_ids[i];
        CONTINUE WHEN NOT FOUND;
        first_start := CASE WHEN known.grain IS NULL THEN held.period_starts[i] ELSE '-infinity' END;
        IF known.grain IS NOT NULL THEN
            PERFORM FROM aiw.ai_spend s WHERE s.budget_id = known.budget_id AND s.subject = held.subjects[i]
                AND s.period_start = first_start FOR UPDATE;
        END IF;
        released := CASE known.unit WHEN 'usd' THEN held.amount WHEN 'requests' THEN 1 ELSE held.tokens END;
        charged := CASE known.unit WHEN 'usd' THEN p_cost WHEN 'requests' THEN 1
            ELSE coalesce((p_call ->> 'input_tokens')::bigint + (p_call ->> 'output_tokens')::bigint, held.tokens) END;
        UPDATE aiw.ai_spend s SET reserved = s.reserved - coalesce(released, 0), spent = s.spent + coalesce(charged, 0),
                calls = s.calls + 1, unpriced = s.unpriced + (charged IS NULL)::int
            WHERE s.budget_id = known.budget_id AND s.subject = held.subjects[i] AND s.period_start = held.period_starts[i]
            RETURNING s.* INTO spend;
        CONTINUE WHEN NOT FOUND;  -- it is out of the window
        IF known.grain IS NOT NULL THEN
            SELECT s.alerts INTO spend.alerts FROM aiw.ai_spend s WHERE s.budget_id = known.budget_id
                AND s.subject = held.subjects[i] AND s.period_start = first_start;
            SELECT w.spent INTO spend.spent
                FROM aiw.slide_ai_window(known.budget_id, held.subjects[i], known.period, clock_timestamp()) AS w;
        END IF;
        SELECT max(t) INTO reached FROM unnest(known.thresholds) AS t WHERE spend.spent >= t * known.amount;
        CONTINUE WHEN reached IS NULL
            OR coalesce((spend.alerts ->> reached::text)::timestamptz, '-infinity') > moment - known.cooldown;
        UPDATE aiw.ai_spend s SET alerts = s.alerts || jsonb_build_object(reached::text, moment)
            WHERE s.budget_id = known.budget_id AND s.subject = held.subjects[i] AND s.period_start = first_start;
        INSERT INTO aiw.ai_alert (alert_id, budget_id, tenant, scope, subject, unit, period, threshold, amount, spent, reached_at)
            VALUES (uuidv7(), known.budget_id, known.tenant, known.scope, held.subjects[i], known.unit, known.period, reached,
                known.amount, spend.spent, moment)
            RETURNING * INTO told;
        found_alerts := found_alerts || (to_jsonb(told) || jsonb_build_object('threshold', told.threshold::text,
            'amount', told.amount::text, 'spent', told.spent::text));
    END LOOP;
    alerts := found_alerts;

    -- Last, as it takes the lock that orders all events and holds it until the commit.
    IF cardinality(p_event_ids) > 0 THEN
        PERFORM aiw.append_events(p_tenant, true, p_stream_types, p_stream_ids, p_expected, p_stream, p_ordinal, p_event_ids,
            p_types, p_schema_versions, p_occurred_at, p_correlation_ids, p_checksums, p_metadata, p_data);
    END IF;
END
$$;
