-- The books of the AI layer: what was called, what it cost, what may still be spent, and what was answered before.
--
-- A call costs two round trips. `begin_ai_call` looks for a recorded answer, makes sure that nobody else asks the same at this
-- moment, and reserves the worst case on every budget that applies: all or nothing. `settle_ai_call` releases the reservation,
-- charges what it did cost, writes the row and its events, and keeps the answer: one transaction, and safe to repeat.
--
-- A process that dies leaves its row in ai_inflight. When the lease is over, its call is written as lost and charged in full:
-- nobody knows what the provider bills, and the cap must hold.

CREATE TABLE aiw.ai_calls (
    call_id uuid PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('chat', 'embed', 'tool')),
    outcome text COLLATE "C" NOT NULL
        CHECK (outcome IN ('answered', 'cut', 'refused', 'filtered', 'failed', 'cancelled', 'lost')),
    memo text COLLATE "C" NOT NULL CHECK (memo IN ('hit', 'miss', 'off')),
    fingerprint text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    answered_by text COLLATE "C",
    prompt_version text COLLATE "C",
    attempt int NOT NULL,
    -- null = unknown, never 0
    input_tokens bigint CHECK (input_tokens >= 0),
    output_tokens bigint CHECK (output_tokens >= 0),
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    measured boolean NOT NULL,
    cost numeric CHECK (cost >= 0),
    price_source text COLLATE "C",
    saved_tokens bigint,
    saved_cost numeric,
    simulated boolean NOT NULL,
    latency_ms double precision,
    first_token_ms double precision,
    run_id text COLLATE "C",
    workflow text COLLATE "C",
    node_id text COLLATE "C",
    asset text COLLATE "C",
    partition text COLLATE "C",
    user_id text COLLATE "C",
    project text COLLATE "C",
    correlation_id text COLLATE "C",
    provider_request_id text COLLATE "C",
    error_code text COLLATE "C",
    created_at timestamptz NOT NULL
);
CREATE INDEX ai_calls_by_time ON aiw.ai_calls (tenant, created_at);
CREATE INDEX ai_calls_by_run ON aiw.ai_calls (tenant, run_id) WHERE run_id IS NOT NULL;
CREATE INDEX ai_calls_by_asset ON aiw.ai_calls (tenant, asset, partition) WHERE asset IS NOT NULL;
COMMENT ON TABLE aiw.ai_calls IS 'One row for each attempt to call a model or a tool, and for each answer given from the memo.';

-- tenant null: it counts the calls of all tenants. subject '*': each user, each run and so on has this budget of its own.
CREATE TABLE aiw.ai_budget (
    budget_id uuid PRIMARY KEY,
    tenant text COLLATE "C",
    scope text COLLATE "C" NOT NULL
        CHECK (scope IN ('global', 'tenant', 'provider', 'project', 'user', 'workflow', 'run')),
    subject text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL CHECK (period IN ('day', 'week', 'month', 'year', 'custom', 'total')),
    starts_at timestamptz,
    ends_at timestamptz,
    limit_usd numeric NOT NULL CHECK (limit_usd >= 0),
    hard boolean NOT NULL,
    thresholds numeric[] NOT NULL,
    cooldown interval NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((period = 'custom') = (starts_at IS NOT NULL AND ends_at IS NOT NULL)),
    CHECK ((scope = 'global') <= (tenant IS NULL))
);
CREATE UNIQUE INDEX ai_budget_once ON aiw.ai_budget (tenant, scope, subject, period, starts_at, hard) NULLS NOT DISTINCT;

CREATE TABLE aiw.ai_spend (
    budget_id uuid NOT NULL REFERENCES aiw.ai_budget ON DELETE CASCADE,
    subject text COLLATE "C" NOT NULL,
    period_start timestamptz NOT NULL,
    tenant text COLLATE "C",
    spent numeric NOT NULL DEFAULT 0,
    reserved numeric NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    calls bigint NOT NULL DEFAULT 0,
    unpriced bigint NOT NULL DEFAULT 0,
    alerts jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (budget_id, subject, period_start)
) WITH (fillfactor = 50);

CREATE TABLE aiw.ai_inflight (
    call_id uuid PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    memo_key bytea,
    amount numeric,
    budget_ids uuid[] NOT NULL DEFAULT '{}',
    subjects text[] NOT NULL DEFAULT '{}',
    period_starts timestamptz[] NOT NULL DEFAULT '{}',
    call json NOT NULL,
    lease_until timestamptz NOT NULL
);
CREATE UNIQUE INDEX ai_inflight_once ON aiw.ai_inflight (tenant, memo_key) WHERE memo_key IS NOT NULL;
CREATE INDEX ai_inflight_by_lease ON aiw.ai_inflight (lease_until);

CREATE TABLE aiw.ai_memo (
    tenant text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    call_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    payload bytea NOT NULL,
    tokens bigint,
    cost numeric,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX ai_memo_by_time ON aiw.ai_memo (tenant, kind, created_at);

-- Prices that differ from the bundled tables. Rows are never changed: the newest that is in effect counts.
CREATE TABLE aiw.ai_price (
    version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C",
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    effective_from timestamptz NOT NULL,
    input_mtok numeric NOT NULL CHECK (input_mtok >= 0),
    output_mtok numeric NOT NULL CHECK (output_mtok >= 0),
    cache_read_mtok numeric CHECK (cache_read_mtok >= 0),
    cache_write_mtok numeric CHECK (cache_write_mtok >= 0),
    note text,
    created_at timestamptz NOT NULL DEFAULT now()
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['ai_calls', 'ai_budget', 'ai_spend', 'ai_inflight', 'ai_memo', 'ai_price'] LOOP
        EXECUTE format('ALTER TABLE aiw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE aiw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format($policy$CREATE POLICY %I ON aiw.%I USING (tenant = current_setting('aiw.tenant', true))
            WITH CHECK (tenant = current_setting('aiw.tenant', true))$policy$, name || '_of_tenant', name);
        EXECUTE format('CREATE POLICY %I ON aiw.%I TO aiw_system USING (true) WITH CHECK (true)', name || '_of_all', name);
    END LOOP;
END
$$;
GRANT SELECT ON aiw.ai_calls, aiw.ai_budget, aiw.ai_spend, aiw.ai_memo, aiw.ai_price TO aiw_app;
GRANT INSERT, UPDATE, DELETE ON aiw.ai_budget TO aiw_app;
GRANT DELETE ON aiw.ai_memo TO aiw_app;
GRANT INSERT ON aiw.ai_price TO aiw_app;
GRANT SELECT, INSERT ON aiw.ai_calls TO aiw_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.ai_budget, aiw.ai_spend, aiw.ai_inflight, aiw.ai_memo TO aiw_system;
GRANT SELECT, INSERT ON aiw.ai_price TO aiw_system;
CREATE POLICY ai_price_of_everybody ON aiw.ai_price FOR SELECT TO aiw_app USING (tenant IS NULL);

CREATE TRIGGER ai_calls_are_facts BEFORE UPDATE OR DELETE OR TRUNCATE ON aiw.ai_calls
    FOR EACH STATEMENT EXECUTE FUNCTION aiw.refuse_change();

-- The beginning, in UTC, of the period that `p_at` lies in; null = outside of a custom period.
CREATE FUNCTION aiw.ai_period_start(p_period text, p_starts timestamptz, p_ends timestamptz, p_at timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE p_period
        WHEN 'total' THEN '-infinity'::timestamptz
        WHEN 'custom' THEN CASE WHEN p_at >= p_starts AND p_at < p_ends THEN p_starts END
        ELSE date_trunc(p_period, p_at, 'UTC')
    END
$$;

-- p_subjects: provider, project, user, workflow, run; null = unknown. p_amount null = the price is unknown.
-- outcome: hit (payload …) | missing (replay only) | busy (somebody else is asking just that) | refused (budget …) | reserved
CREATE FUNCTION aiw.begin_ai_call(
    p_tenant text, p_call_id uuid, p_key bytea, p_look boolean, p_call_allowed boolean, p_subjects text[],
    p_amount numeric, p_refuse_unpriced boolean, p_lease double precision, p_call json,
    OUT outcome text, OUT payload bytea, OUT paid_by uuid, OUT saved_tokens bigint, OUT saved_cost numeric,
    OUT budget json, OUT abandoned boolean
) LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    wanted record;
    spend record;
    taken boolean;
    charged_ids uuid[] := '{}';
    charged_subjects text[] := '{}';
    charged_starts timestamptz[] := '{}';
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
            INSERT INTO aiw.ai_inflight (call_id, tenant, memo_key, amount, call, lease_until)
                VALUES (p_call_id, p_tenant, p_key, p_amount, p_call, moment + p_lease * interval '1 second')
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
        SELECT b.*, s.value, aiw.ai_period_start(b.period, b.starts_at, b.ends_at, moment) AS started
        FROM (VALUES ('global', 1, '*'), ('tenant', 2, p_tenant), ('provider', 3, p_subjects[1]), ('project', 4, p_subjects[2]),
                ('user', 5, p_subjects[3]), ('workflow', 6, p_subjects[4]), ('run', 7, p_subjects[5])) AS s(scope, rank, value)
        JOIN aiw.ai_budget b ON b.scope = s.scope AND s.value IS NOT NULL AND b.subject IN ('*', s.value)
        WHERE b.tenant IS NULL OR b.tenant = p_tenant
        ORDER BY s.rank, b.budget_id
    LOOP
        CONTINUE WHEN wanted.started IS NULL;
        LOOP
            SELECT s.spent, s.reserved INTO spend FROM aiw.ai_spend s
                WHERE s.budget_id = wanted.budget_id AND s.subject = wanted.value AND s.period_start = wanted.started FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO aiw.ai_spend (budget_id, subject, period_start, tenant)
                VALUES (wanted.budget_id, wanted.value, wanted.started, wanted.tenant) ON CONFLICT DO NOTHING;
        END LOOP;
        IF wanted.hard AND (spend.spent + spend.reserved + coalesce(p_amount, 0) > wanted.limit_usd
                OR p_amount IS NULL AND p_refuse_unpriced) THEN
            DELETE FROM aiw.ai_inflight f WHERE f.call_id = p_call_id;
            outcome := 'refused';
            budget := json_build_object('budget_id', wanted.budget_id, 'scope', wanted.scope, 'subject', wanted.value,
                'period', wanted.period, 'limit', wanted.limit_usd::text, 'spent', spend.spent::text,
                'reserved', spend.reserved::text, 'needed', p_amount::text);
            RETURN;
        END IF;
        charged_ids := charged_ids || wanted.budget_id;
        charged_subjects := charged_subjects || wanted.value;
        charged_starts := charged_starts || wanted.started;
    END LOOP;
    IF cardinality(charged_ids) > 0 THEN
        UPDATE aiw.ai_spend s SET reserved = s.reserved + coalesce(p_amount, 0)
            FROM unnest(charged_ids, charged_subjects, charged_starts) AS c(b, v, t)
            WHERE s.budget_id = c.b AND s.subject = c.v AND s.period_start = c.t;
    END IF;
    IF p_look THEN
        UPDATE aiw.ai_inflight f
            SET budget_ids = charged_ids, subjects = charged_subjects, period_starts = charged_starts
            WHERE f.call_id = p_call_id AND cardinality(charged_ids) > 0;
    ELSE
        INSERT INTO aiw.ai_inflight (call_id, tenant, amount, budget_ids, subjects, period_starts, call, lease_until)
            VALUES (p_call_id, p_tenant, p_amount, charged_ids, charged_subjects, charged_starts, p_call,
                moment + p_lease * interval '1 second');
    END IF;
    outcome := 'reserved';
END
$$;

-- p_call holds the columns of ai_calls. With p_abandoned the call is settled only if its lease is over.
-- alerts: the thresholds of budgets that were reached and not told of within the cooldown.
CREATE FUNCTION aiw.settle_ai_call(
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
        found_alerts := found_alerts || jsonb_build_object('budget_id', known.budget_id, 'tenant', known.tenant,
            'scope', known.scope, 'subject', held.subjects[i], 'period', known.period, 'threshold', reached::text,
            'limit', known.limit_usd::text, 'spent', spend.spent::text);
    END LOOP;
    alerts := found_alerts;

    -- Last, as it takes the lock that orders all events and holds it until the commit.
    IF cardinality(p_event_ids) > 0 THEN
        PERFORM aiw.append_events(p_tenant, true, p_stream_types, p_stream_ids, p_expected, p_stream, p_ordinal, p_event_ids,
            p_types, p_schema_versions, p_occurred_at, p_correlation_ids, p_checksums, p_metadata, p_data);
    END IF;
END
$$;
