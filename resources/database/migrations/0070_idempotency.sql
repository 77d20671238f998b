-- Answers to requests that named an idempotency key, for a day: the same request again gets the same answer, and does nothing.
CREATE TABLE aiw.kept_answer (
    tenant text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    request bytea NOT NULL,
    claimed_at timestamptz NOT NULL,
    status int,
    headers json,
    body bytea,
    PRIMARY KEY (tenant, subject, key)
) WITH (fillfactor = 80);
CREATE INDEX kept_answer_by_age ON aiw.kept_answer (claimed_at);

ALTER TABLE aiw.kept_answer ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.kept_answer FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON aiw.kept_answer USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY of_all ON aiw.kept_answer TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.kept_answer TO aiw_app, aiw_system;
