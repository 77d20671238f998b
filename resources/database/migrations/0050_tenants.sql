-- Tenants, users and their credentials. Forced row-level security: a transaction as aiw_app sees its own tenant's rows.
-- What names no tenant (signing keys, failed logins) is for aiw_system alone.
CREATE TABLE aiw.tenant (
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name text NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'suspended')),
    limits jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);

CREATE TABLE aiw.account (
    tenant text COLLATE "C" NOT NULL REFERENCES aiw.tenant (id),
    id uuid NOT NULL,
    username text COLLATE "C" NOT NULL,
    email text COLLATE "C",
    role text NOT NULL CHECK (role IN ('admin', 'operator', 'member', 'viewer', 'agent', 'service')),
    status text NOT NULL CHECK (status IN ('active', 'suspended')),
    password_hash text,
    oidc_subject text COLLATE "C",
    created_at timestamptz NOT NULL,
    last_login_at timestamptz,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, username),
    UNIQUE (tenant, email),
    UNIQUE (tenant, oidc_subject)
);

-- A session is a family of tokens. Used refresh tokens are kept until it ends: one that comes again was stolen.
CREATE TABLE aiw.session (
    tenant text COLLATE "C" NOT NULL REFERENCES aiw.tenant (id),
    id uuid NOT NULL,
    account_id uuid,
    subject text NOT NULL,
    role text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, account_id) REFERENCES aiw.account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX session_of_account ON aiw.session (tenant, account_id) WHERE revoked_at IS NULL;
CREATE INDEX session_ended ON aiw.session (expires_at);

CREATE TABLE aiw.refresh_token (
    hash bytea PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    session_id uuid NOT NULL,
    used_at timestamptz,
    FOREIGN KEY (tenant, session_id) REFERENCES aiw.session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX refresh_token_of_session ON aiw.refresh_token (tenant, session_id);

CREATE TABLE aiw.api_key (
    id text COLLATE "C" PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    account_id uuid NOT NULL,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    FOREIGN KEY (tenant, account_id) REFERENCES aiw.account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX api_key_of_tenant ON aiw.api_key (tenant, account_id);

CREATE TABLE aiw.provider_key (
    tenant text COLLATE "C" NOT NULL REFERENCES aiw.tenant (id),
    provider text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    hint text NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, provider)
);

CREATE TABLE aiw.signing_key (
    kid text COLLATE "C" PRIMARY KEY,
    public jsonb NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz
);

CREATE TABLE aiw.login_attempt (
    subject text COLLATE "C" PRIMARY KEY,
    failures int NOT NULL,
    failed_at timestamptz NOT NULL,
    blocked_until timestamptz
) WITH (fillfactor = 70);
CREATE INDEX login_attempt_failed ON aiw.login_attempt (failed_at);

-- Rate limits that all processes share: worth nothing after a crash, so not worth a write-ahead log.
CREATE UNLOGGED TABLE aiw.rate_bucket (
    key text COLLATE "C" PRIMARY KEY,
    tokens double precision NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION aiw.rate_tokens(tokens float8, since timestamptz, until timestamptz, per_second float8, burst float8)
RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN least(burst, tokens + greatest(0, extract(epoch FROM until - since)) * per_second);

DO $$
DECLARE
    name text;
    owner text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenant', 'account', 'session', 'refresh_token', 'api_key', 'provider_key'] LOOP
        owner := CASE name WHEN 'tenant' THEN 'id' ELSE 'tenant' END;
        EXECUTE format('ALTER TABLE aiw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE aiw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_tenant ON aiw.%I USING (%I = current_setting(''aiw.tenant'', true))
            WITH CHECK (%I = current_setting(''aiw.tenant'', true))', name, owner, owner);
        EXECUTE format('CREATE POLICY of_all ON aiw.%I TO aiw_system USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.%I TO aiw_app, aiw_system', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['signing_key', 'login_attempt', 'rate_bucket'] LOOP
        EXECUTE format('ALTER TABLE aiw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE aiw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_all ON aiw.%I TO aiw_system USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.%I TO aiw_system', name);
    END LOOP;
END
$$;
