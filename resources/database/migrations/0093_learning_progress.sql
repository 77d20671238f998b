-- How far each user has come with each concept.
CREATE TABLE aiw.learning_progress (
    tenant text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    concept text COLLATE "C" NOT NULL,
    status text NOT NULL CHECK (status IN ('not_started', 'in_progress', 'completed', 'mastered')),
    percent integer NOT NULL CHECK (percent BETWEEN 0 AND 100),
    minutes_spent integer NOT NULL CHECK (minutes_spent >= 0),
    difficulty_rating integer CHECK (difficulty_rating BETWEEN 1 AND 5),
    documents text[] NOT NULL,
    notes text NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, user_id, concept)
);

ALTER TABLE aiw.learning_progress ENABLE ROW LEVEL SECURITY;
ALTER TABLE aiw.learning_progress FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON aiw.learning_progress USING (tenant = current_setting('aiw.tenant', true))
    WITH CHECK (tenant = current_setting('aiw.tenant', true));
CREATE POLICY of_all ON aiw.learning_progress TO aiw_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.learning_progress TO aiw_app, aiw_system;
